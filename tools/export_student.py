#!/usr/bin/env python3
"""Write the student of a distillation checkpoint as plain OpenMMLab weights, or as an ONNX file.

The weights are the student's state dict and nothing else: no teacher, no connector, no optimiser.
mmpretrain, mmdet and mmseg load them with the student's own config.
"""
import argparse

import _cli


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('checkpoint', help='of tools/train.py; for --onnx of any network')
    parser.add_argument('out', nargs='?', help='file of weights to write')
    parser.add_argument('--onnx', metavar='FILE', help='ONNX file to write: a classifier, a '
                        'segmentor or a one-stage detector without its post-processing')
    parser.add_argument('--config', help='of the training; by default the one beside CHECKPOINT')
    parser.add_argument('--shape', nargs='+', type=int, metavar='PIXELS',
                        help="height and width of the ONNX file's images, or one number for both; "
                        "by default as the config's test pipeline makes them")
    parser.add_argument('--opset', type=int, help="version of ONNX's operators (17)")
    args = parser.parse_args()
    if not args.out and not args.onnx:
        parser.error('name OUT, --onnx FILE or both')
    for name in ('config', 'shape', 'opset'):
        if getattr(args, name) is not None and not args.onnx:
            parser.error(f'--{name} is for --onnx')
    if args.shape and (len(args.shape) > 2 or min(args.shape) < 1):
        parser.error('--shape: HEIGHT WIDTH, or one number for both')
    return args


def write_weights(checkpoint, out):
    from autokd_mm.engine.config import check_file
    from autokd_mm.errors import CheckpointError
    from autokd_mm.models.algorithms.teacher import read_validated
    from autokd_mm.teacher.checkpoint import save_weights
    weights, which, _ = read_validated(checkpoint, 'CHECKPOINT')
    prefix = 'architecture.'
    student = {name[len(prefix):]: value.detach().cpu().clone() for name, value in weights.items()
               if name.startswith(prefix)}
    if not student:
        raise CheckpointError(f'CHECKPOINT: {checkpoint} has no parameter below '
                              f"'{prefix}', so it is not of a distillation")
    check_file(out, 'OUT', checkpoint)
    save_weights(student, out)
    size = sum(value.numel() for value in student.values())
    print(f'{out}: {len(student)} tensors, {size:,} numbers' + (which and f', {which}'))


def write_onnx(args):
    from autokd_mm.cli.shipped import config_file
    from autokd_mm.deploy import OPSET, config_beside, export_onnx, student_of
    from autokd_mm.engine.config import check_file, load_config
    from autokd_mm.models.algorithms.teacher import trained_on
    from autokd_mm.pairs.forms import read_forms
    path = config_file(args.config) if args.config else config_beside(args.checkpoint)
    config = load_config(path)
    _cli.require(config, path, 'model')
    read_forms(config)
    check_file(args.onnx, '--onnx', args.checkpoint, path, args.out)
    network = student_of(config, args.checkpoint)
    size = args.shape and (args.shape[0], args.shape[-1])
    opset = OPSET if args.opset is None else args.opset
    print('\n'.join(export_onnx(config, network, args.onnx, size, opset, trained_on(network))))


def main():
    args = parse_args()
    if args.out:
        write_weights(args.checkpoint, args.out)
    if args.onnx:
        write_onnx(args)


if __name__ == '__main__':
    _cli.run(main)
