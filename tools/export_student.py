#!/usr/bin/env python3
"""Write the student of a distillation checkpoint as plain OpenMMLab weights.

The file holds the student's state dict and nothing else: no teacher, no connector, no optimiser.
mmpretrain, mmdet and mmseg load it with the student's own config.
"""
import argparse
import os

import _cli


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('checkpoint', help='of tools/train.py')
    parser.add_argument('out', help='file to write')
    return parser.parse_args()


def main():
    args = parse_args()
    from autokd_mm.engine.config import check_writable
    from autokd_mm.errors import CheckpointError
    from autokd_mm.models.algorithms.teacher import read_validated
    from autokd_mm.teacher.checkpoint import save_weights
    weights, which, _ = read_validated(args.checkpoint, 'CHECKPOINT')
    prefix = 'architecture.'
    student = {name[len(prefix):]: value.detach().cpu().clone() for name, value in weights.items()
               if name.startswith(prefix)}
    if not student:
        raise CheckpointError(f'CHECKPOINT: {args.checkpoint} has no parameter below '
                              f"'{prefix}', so it is not of a distillation")
    check_writable(os.path.dirname(os.path.abspath(args.out)), 'OUT')
    save_weights(student, args.out)
    size = sum(value.numel() for value in student.values())
    print(f'{args.out}: {len(student)} tensors, {size:,} numbers' + (which and f', {which}'))


if __name__ == '__main__':
    _cli.run(main)
