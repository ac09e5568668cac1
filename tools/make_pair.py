#!/usr/bin/env python3
"""Write the search config of two networks: ``tools/make_pair.py TEACHER STUDENT``.

Each is a config file, or a name of the model zoo of MMDetection, MMSegmentation or MMPretrain, such
as retinanet_r101_fpn_2x_coco. Nothing is downloaded. Prints which layers are compared and why.
"""
import argparse
import os

import _cli


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('teacher', metavar='TEACHER', help='config file or name')
    parser.add_argument('student', metavar='STUDENT',
                        help='config file or name; it brings data and schedule')
    parser.add_argument('--data-root', help="folder of the images, in the place of the student's")
    parser.add_argument('--out', help='the config to write (TEACHER_teaches_STUDENT.py)')
    parser.add_argument('--distiller', metavar='BEST_DISTILLER',
                        help='config that a search wrote, or the name of one of distill/: its '
                        'distiller is put on this pair, and a '
                        'config for tools/train.py is written')
    parser.add_argument('--debug', action='store_true', help='show the traceback of a mistake')
    return parser.parse_args()


def named(word):
    """A config of the package by its name (vanilla/resnet20_cifar10), anything else as it is."""
    from autokd_mm.cli.shipped import configs
    return str(configs().get(word, word))


def main():
    args = parse_args()
    if args.debug:
        os.environ['AUTOKD_DEBUG'] = '1'
    from autokd_mm.zoo import make_pair
    print(make_pair(named(args.teacher), named(args.student), args.out, args.data_root,
                    args.distiller and named(args.distiller)))


if __name__ == '__main__':
    _cli.run(main)
