#!/usr/bin/env python3
"""Write digit scenes, in COCO's and in Cityscapes' layout, into a folder; nothing is downloaded.

The configs of digit scenes do it themselves where their data_root has none; here the number of
scenes, their size and the seed can be chosen.
"""
import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import _cli  # noqa: E402


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', required=True, metavar='DIR', help='folder to write')
    parser.add_argument('--train', type=int, default=400, help='scenes for training')
    parser.add_argument('--val', type=int, default=100, help='scenes for validation')
    parser.add_argument('--size', type=int, default=128, help='sides of a scene in pixels')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--masks', action='store_true', help='outlines of the digits, too, for '
                        'instance segmentation')
    return parser.parse_args()


def main():
    args = parse_args()
    from autokd_mm.bank.files import filled
    from autokd_mm.datasets.digit_scenes import ensure_scenes
    from autokd_mm.errors import ConfigError
    if filled(args.out):
        raise ConfigError(f'--out: {args.out} is not empty; name a folder that is empty or not '
                          'there')
    ensure_scenes(args.out, train=args.train, val=args.val, size=args.size, seed=args.seed,
                  masks=args.masks)
    print(f'{args.out}: digit scenes; use them with --cfg-options data_root={args.out}')


if __name__ == '__main__':
    _cli.run(main)
