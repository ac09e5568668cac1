#!/usr/bin/env python3
"""How long a search takes, and how much of it is not the student's own training.

    python tools/benchmarks/search_speed.py [--quick] [--out speed.json]
        [--data-root DIR --teacher-ckpt FILE]

Runs `tools/search.py` as a user does, on the embedded digits with 60 trials (teacher and baseline
included) and, when the data are named, on CIFAR-10. The share of time outside forward, backward
and optimiser step is what the search itself measures and writes to its scalars.
"""
import argparse
import glob
import json
import os
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def search(config, trials, options):
    """Run a search in an empty work dir; its wall seconds and its last scalars."""
    with tempfile.TemporaryDirectory() as work_dir:
        command = [sys.executable, os.path.join(ROOT, 'tools', 'search.py'),
                   os.path.join(ROOT, config), '--work-dir', work_dir, '--trials', str(trials)]
        if options:
            command += ['--cfg-options', *options]
        start = time.perf_counter()
        finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        seconds = time.perf_counter() - start
        if finished.returncode:
            sys.exit(finished.stderr[-2000:])
        scalars = {}
        for path in glob.glob(os.path.join(work_dir, '2*', 'vis_data', 'scalars.json')):
            with open(path) as file:
                for line in file:
                    scalars.update(json.loads(line))
    return seconds, scalars


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--quick', action='store_true', help='few trials, under two minutes')
    parser.add_argument('--out', help='write a JSON list of {name, value, unit, goal}')
    parser.add_argument('--data-root', help='CIFAR-10 in its own layout')
    parser.add_argument('--teacher-ckpt', help='a published CIFAR-10 ResNet-56')
    args = parser.parse_args()

    rows = []
    trials = 10 if args.quick else 60
    seconds, scalars = search('configs/search/digits.py', trials, [])
    rows.append(dict(name=f'digits: search with {trials} trials, teacher and baseline included',
                     value=round(seconds, 1), unit='s', goal=240))
    rows.append(dict(name='digits: outside forward, backward and step',
                     value=round(100 * scalars['search/outside_model'], 2), unit='%', goal=20))
    if args.data_root and args.teacher_ckpt:
        trials = 1 if args.quick else 6
        seconds, scalars = search(
            'configs/search/resnet56_resnet20_cifar10.py', trials,
            [f'data_root={args.data_root}', f'teacher_ckpt={args.teacher_ckpt}']
            + (['train_cfg.proxy.images=500', 'train_cfg.proxy.held_out=250'] if args.quick
               else []))
        rows.append(dict(name=f'CIFAR-10: search with {trials} trials, teacher evaluated first',
                         value=round(seconds, 1), unit='s', goal=None))
        rows.append(dict(name='CIFAR-10: outside forward, backward and step',
                         value=round(100 * scalars['search/outside_model'], 2), unit='%', goal=5))
    for row in rows:
        print(f'{row["name"]}: {row["value"]} {row["unit"]} (goal {row["goal"]})')
    if args.out:
        with open(args.out, 'w') as file:
            json.dump(rows, file, indent=1)


if __name__ == '__main__':
    main()
