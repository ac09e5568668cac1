#!/usr/bin/env python3
"""How long a search takes, and how much of it is not the student's own training.

    python tools/benchmarks/search_speed.py [--quick] [--out FILE.json]
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

from parts import figures

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.append(ROOT)


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


def digits(found, trials, options):
    """The goal of the wall time is that of 60 trials."""
    seconds, scalars = search('configs/search/digits.py', trials, options)
    found.add(f'digits: search with {trials} trials, teacher and baseline included', seconds, 's',
              '<= 240' if trials == 60 else None)
    found.add('digits: outside forward, backward and step', 100 * scalars['search/outside_model'],
              '%', '<= 20')


def cifar10(found, trials, options):
    seconds, scalars = search('configs/search/resnet56_resnet20_cifar10.py', trials, options)
    found.add(f'CIFAR-10: search with {trials} trials, teacher evaluated first', seconds, 's')
    found.add('CIFAR-10: outside forward, backward and step',
              100 * scalars['search/outside_model'], '%', '<= 5')


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data-root', help='CIFAR-10 in its own layout')
    parser.add_argument('--teacher-ckpt', help='a published CIFAR-10 ResNet-56')
    parser.set_defaults(trials=60, options=[], cifar10_trials=6, cifar10_options=[])
    return figures.parse(parser, dict(
        trials=10, options=['train_cfg.final_round=None'], cifar10_trials=1,
        cifar10_options=['train_cfg.proxy.images=500', 'train_cfg.proxy.held_out=250']))


def main():
    args, found = parse_args(), figures.Figures()
    digits(found, args.trials, args.options)
    if args.data_root and args.teacher_ckpt:
        cifar10(found, args.cifar10_trials,
                [f'data_root={args.data_root}', f'teacher_ckpt={args.teacher_ckpt}',
                 *args.cifar10_options])
    found.finish(args)


if __name__ == '__main__':
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    import _cli
    _cli.run(main)
