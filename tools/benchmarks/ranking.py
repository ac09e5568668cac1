#!/usr/bin/env python3
"""Which reward, and how long a proxy, ranks distillers as a long training does.

    python tools/benchmarks/ranking.py SHORT.csv.gz LONG.csv.gz

Both tables are of tools/benchmarks/make_table.py: the same distillers and seeds on the proxy (with
--curve) and trained longer. Every reward is computed from SHORT, seed by seed against the
undistilled student of that seed, and compared with the mean accuracy on the test images in LONG:
Kendall's tau over all distillers that could be trained, and how many of the best five are among
the reward's best five.
"""
import argparse
import csv
import gzip
import io
import json
import math
import os
import sys

sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

PAIRS = ('calibrated_loss', 'metric')
GAPS = ('gap', 'debiased_gap', 'mse_gap', 'linear_gap', 'relation_gap')


def read(path):
    """The lines of JSON on top, and {(index, seed): row}."""
    with gzip.open(path, 'rt') as file:
        head, text = {}, []
        for line in file:
            if line.startswith('# '):
                head.update(json.loads(line[2:]))
            else:
                text.append(line)
    rows = {(int(row['index']), int(row['seed'])): row
            for row in csv.DictReader(io.StringIO(''.join(text)))}
    return head, rows


def outcome(row):
    from autokd_mm.search.reward import MEASURED, Outcome
    curve = row.get('curve') or '[]'
    curve = json.loads(curve) if isinstance(curve, str) else curve
    return Outcome(seconds=float(row['seconds']), curve=tuple(curve),
                   **{name: float(row.get(name) or 'nan') for name in MEASURED})


def candidates():
    """Rewards by name: every term, the paper's pair, and pairs of a loss and a gap."""
    from autokd_mm.search.reward import TERMS
    found = {term: {term: 1.0} for term in TERMS}
    found["the paper's pair: held_out_loss + gap"] = dict(held_out_loss=0.5, gap=0.5)
    for loss in PAIRS:
        for gap in GAPS:
            found[f'{loss} + {gap}'] = {loss: 0.5, gap: 0.5}
    for loss in PAIRS:
        found[f'{loss} + {loss}_slope'] = {loss: 0.5, f'{loss}_slope': 0.5}
    return found


def compare(weights, short, baseline, long, epoch=None):
    """tau, its p-value, hits among the best five, number of distillers."""
    from scipy.stats import kendalltau

    from autokd_mm.search.reward import Reward
    reward, sums = Reward(weights), {}
    for (index, seed), result in short.items():
        if (index, seed) not in long:
            continue
        base = baseline[seed]
        try:
            value = (reward(result, base) if epoch is None
                     else reward(result.at(epoch), base.at(epoch)))
        except (ValueError, KeyError, IndexError):
            return None
        sums.setdefault(index, []).append((value, long[index, seed]))
    pairs = {index: [sum(side) / len(side) for side in zip(*found)]
             for index, found in sums.items()}
    ours, truth = zip(*pairs.values())
    if len(set(ours)) < 2:
        return None
    tau = kendalltau(ours, truth)
    best = [set(sorted(pairs, key=lambda index: -pairs[index][side])[:5]) for side in (0, 1)]
    return tau.statistic, tau.pvalue, len(best[0] & best[1]), len(pairs)


def between_seeds(long):
    """tau and common best five of the first two seeds of the long training."""
    from scipy.stats import kendalltau
    sides = [{index: value for (index, seed), value in long.items() if seed == wanted}
             for wanted in sorted({seed for _, seed in long})[:2]]
    common = sorted(set(sides[0]) & set(sides[-1]))
    if len(sides) < 2 or len(common) < 3:
        return None
    best = [set(sorted(common, key=lambda index: -side[index])[:5]) for side in sides]
    return (kendalltau(*[[side[index] for index in common] for side in sides]).statistic,
            len(best[0] & best[1]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('short')
    parser.add_argument('long')
    args = parser.parse_args()
    head, rows = read(args.short)
    about, later = read(args.long)
    short = {key: outcome(row) for key, row in rows.items() if row['state'] == 'complete'}
    baseline = {int(seed): outcome(row) for seed, row in head['baseline'].items()}
    long = {key: float(row['test_metric']) for key, row in later.items()
            if row['state'] == 'complete'}
    none = [float(row['test_metric']) for row in about['baseline'].values()]
    by_index = {}
    for (index, _), value in long.items():
        by_index.setdefault(index, []).append(value)
    means = [sum(values) / len(values) for values in by_index.values()]
    spread = [abs(values[0] - values[-1]) for values in by_index.values() if len(values) > 1]
    print(f'{len(means)} distillers, long training: {min(means):.2%} to {max(means):.2%}, '
          f'undistilled {sum(none) / len(none):.2%}, better than it '
          f'{sum(value > sum(none) / len(none) for value in means)}; two seeds differ by '
          f'{sum(spread) / max(len(spread), 1):.2%} in the mean')
    own = between_seeds(long)
    if own:
        print(f'the long training against itself, seed against seed: tau {own[0]:.2f}, {own[1]} of '
              'the best five (no reward can be expected to do much better)')
    print('\n| reward | tau | p | of the best five |\n|---|---|---|---|')
    table = []
    for name, weights in candidates().items():
        found = compare(weights, short, baseline, long)
        if found and math.isfinite(found[0]):
            table.append((name, *found))
    for name, tau, p, hits, _ in sorted(table, key=lambda line: -line[1]):
        print(f'| {name} | {tau:.2f} | {p:.0e} | {hits} |')
    epochs = len(next(iter(short.values())).curve)
    if epochs:
        print('\n| reward | ' + ' | '.join(f'epoch {e + 1}' for e in range(epochs)) + ' |')
        print('|---' * (epochs + 1) + '|')
        for name, *_ in sorted(table, key=lambda line: -line[1])[:8]:
            cells = [compare(candidates()[name], short, baseline, long, e) for e in range(epochs)]
            print(f'| {name} | ' + ' | '.join(f'{c[0]:.2f}' if c else '-' for c in cells) + ' |')


if __name__ == '__main__':
    main()
