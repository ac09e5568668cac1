#!/usr/bin/env python3
"""Write the bank of a training's teacher: its outputs on every training image, in several views.

``tools/train.py CONFIG --teacher-bank DIR`` then trains without running the teacher. A run that
was interrupted goes on with the shards that are complete.
"""
import os

import _cli


def parse_args():
    parser = _cli.parser(__doc__.splitlines()[0])
    parser.add_argument('--out', metavar='DIR', help='default: teacher_bank in the work dir')
    parser.add_argument('--views', type=int,
                        help='augmented versions of each image; epoch e of a training reads view e '
                        'mod VIEWS (default: 8)')
    parser.add_argument('--seed', type=int, help='of the augmentation (default: 0)')
    parser.add_argument('--dtype', help='float16 (default), bfloat16 or float32')
    parser.add_argument('--layers', nargs='+', metavar='NAME',
                        help="the teacher's modules (default: those that the distiller records)")
    return parser.parse_args()


def main():
    args = parse_args()
    config = _cli.load(args)
    out = args.out or os.path.join(config.work_dir, 'teacher_bank')
    _cli.teacher_bank(config, out, args.launcher, views=args.views, seed=args.seed,
                      dtype=args.dtype, layers=args.layers)


if __name__ == '__main__':
    _cli.run(main)
