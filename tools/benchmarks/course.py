#!/usr/bin/env python3
"""Draw the course of a search from the leaderboard in its work dir.

    python tools/benchmarks/course.py work_dirs/digits --figure docs/images/search_digits.svg
"""
import argparse
import csv
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import _cli  # noqa: E402

_WORST = -0.6  # what is worse, or was rejected or failed, is drawn here


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('work_dir', help='of a search')
    parser.add_argument('--figure', required=True, help='file to draw: .svg or .png')
    return parser.parse_args()


def read(work_dir):
    """The trials of a search in their order: number, state, reward (None: none), final reward.

    Raises:
        ConfigError: no leaderboard, or one without rewards.
    """
    from autokd_mm.errors import ConfigError
    path = os.path.join(work_dir, 'leaderboard.csv')
    if not os.path.isfile(path):
        raise ConfigError(f'WORK_DIR: there is no {path}; is a search under way there?')
    with open(path, newline='', encoding='utf-8') as file:
        rows = sorted(csv.DictReader(file), key=lambda row: int(row['trial']))
    trials = [(int(row['trial']), row['state'], _number(row['reward']),
               _number(row.get('final_reward'))) for row in rows]
    if not any(reward is not None for _, _, reward, _ in trials):
        raise ConfigError(f'WORK_DIR: no trial in {path} has a reward yet')
    return trials


def _number(text):
    return float(text) if text else None


def best_so_far(trials):
    """Numbers of trials, and the highest reward of a finished one up to each."""
    numbers, best = [], []
    for number, state, reward, _ in trials:
        if state == 'complete' and reward is not None:
            numbers.append(number)
            best.append(max(reward, best[-1]) if best else reward)
    return numbers, best


def draw(trials, path):
    import matplotlib
    matplotlib.use('agg')
    matplotlib.rcParams['svg.hashsalt'] = 'course'  # the same file from the same search
    import matplotlib.pyplot as plt
    figure, axes = plt.subplots(figsize=(7, 3))
    for label, wanted, colour, marker in (('finished', 'complete', '#1f77b4', 'o'),
                                          ('given up half way', 'pruned', '#9ecae1', 'o')):
        shown = [(number, max(reward, _WORST)) for number, state, reward, _ in trials
                 if state == wanted and reward is not None]
        axes.scatter(*zip(*shown) if shown else ((), ()), s=16, color=colour, marker=marker,
                     label=label, zorder=2)
    without = [number for number, _, reward, _ in trials if reward is None]
    if without:
        axes.scatter(without, [_WORST] * len(without), s=16, color='#999999', marker='x',
                     label='rejected or failed', zorder=2)
    axes.step(*best_so_far(trials), where='post', color='#d62728', label='best so far', zorder=1)
    finals = [(final, number, reward) for number, _, reward, final in trials if final is not None]
    if finals:
        _, number, reward = max(finals)
        axes.scatter([number], [reward], s=110, facecolors='none', edgecolors='#d62728',
                     label='winner of the final round', zorder=3)
    axes.axhline(0, color='black', linewidth=0.6)
    axes.set_xlabel('trial'), axes.set_ylabel('gain over no distillation')
    axes.legend(loc='lower right', fontsize=7)
    figure.tight_layout()
    figure.savefig(path, metadata={'Date': None} if path.endswith('.svg') else None)


def main():
    args = parse_args()
    draw(read(args.work_dir), args.figure)
    print(args.figure)


if __name__ == '__main__':
    _cli.run(main)
