#!/usr/bin/env python3
"""Which reward, and how long a proxy, ranks distillers as a long training does.

    python tools/benchmarks/ranking.py [SHORT.csv.gz LONG.csv.gz] [--quick] [--out FILE.json]

Both tables are of tools/benchmarks/make_table.py: the same distillers and seeds on the proxy (with
--curve) and trained longer. Every reward is computed from SHORT, seed by seed against the
undistilled student of that seed, and compared with the mean accuracy on the test images in LONG
(the metric on the held-out ones where nothing was tested, as of detectors and segmentors):
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

from parts import figures

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.dirname(os.path.dirname(FOLDER)))

DIGITS = os.path.join(FOLDER, 'tables', 'ranking_digits_{}.csv.gz')
PAIRS = ('calibrated_loss', 'metric')
# Candidates of detectors and segmentors, see parts/dense_terms.py.
DENSE = ('recall', 'foreground_gap', 'maps_gap')
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


def dense_terms(row):
    """Those that a row has."""
    return {name: float(row[name]) for name in DENSE if row.get(name) not in (None, '')}


class DenseReward:
    """The gain in one candidate of a term, alone or with a half of another reward.

    Args:
        term: of :data:`DENSE`.
        values: of all runs, by outcome.
        beside: weights of a reward; ``None``: alone.
    """

    def __init__(self, term, values, beside=None):
        from autokd_mm.search.reward import Reward
        self.term, self.values = term, values
        self.beside = beside and Reward(beside)

    def __call__(self, outcome, baseline):
        own, base = (self.values[id(one)][self.term] for one in (outcome, baseline))
        gain = (own - base) / max(abs(base), 0.01)
        gain = gain if self.term == 'recall' else -gain
        if not math.isfinite(gain):
            raise ValueError(f'{self.term} is not finite')
        gain = 1 + math.log(gain) if gain > 1 else max(-1.0, gain)
        return gain if self.beside is None else (gain + self.beside(outcome, baseline)) / 2


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
    reward, sums = weights if callable(weights) else Reward(weights), {}
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


def about_the_long_training(found, long, none):
    """How far apart the distillers end, and how much of that is chance.

    Args:
        long: accuracy of the long training by (index, seed).
        none: accuracies of the undistilled student in it.
    """
    by_index = {}
    for (index, _), value in long.items():
        by_index.setdefault(index, []).append(value)
    means = [sum(values) / len(values) for values in by_index.values()]
    spread = [abs(values[0] - values[-1]) for values in by_index.values() if len(values) > 1]
    undistilled = sum(none) / len(none)
    found.add('distillers', len(means), 'distillers')
    for name, value in (('lowest', min(means)), ('highest', max(means)),
                        ('undistilled', undistilled)):
        found.add(f'long training: {name} accuracy', 100 * value, '%')
    found.add('long training: better than undistilled',
              sum(value > undistilled for value in means), 'distillers')
    if spread:
        found.add('long training: difference of two seeds, mean',
                  100 * sum(spread) / len(spread), 'points')
    own = between_seeds(long)
    if own:  # no reward can be expected to do much better
        found.add('long training, seed against seed: tau', own[0], "Kendall's tau")
        found.add('long training, seed against seed: common best', own[1], 'of 5')


def rank(found, short, baseline, long, more):
    """A table of all rewards, the best first; returns the names of those that points of a curve
    has.

    Args:
        more: other rewards by name.
    """
    table = []
    for name, weights in {**candidates(), **more}.items():
        result = compare(weights, short, baseline, long)
        if result and math.isfinite(result[0]):
            table.append((name, *result))
    table.sort(key=lambda line: -line[1])
    print('\n| reward | tau | p | of the best five |\n|---|---|---|---|')
    for name, tau, p, hits, _ in table:
        print(f'| {name} | {tau:.2f} | {p:.0e} | {hits} |')
    print()
    for name, tau, _, hits, _ in table:
        found.add(f'{name}: tau', tau, "Kendall's tau")
        found.add(f'{name}: of the best five', hits, 'of 5')
    return [name for name, *_ in table if name not in more]


def by_epoch(found, names, short, baseline, long):
    """A table of what the proxy would say, had it ended behind an earlier epoch."""
    epochs = range(len(next(iter(short.values())).curve))
    if not epochs:
        return
    print('\n| reward | ' + ' | '.join(f'epoch {e + 1}' for e in epochs) + ' |')
    print('|---' * (len(epochs) + 1) + '|')
    lines = {}
    for name in names:
        weights = candidates()[name]
        lines[name] = [compare(weights, short, baseline, long, e) for e in epochs]
        print(f'| {name} | ' + ' | '.join(f'{c[0]:.2f}' if c else '-' for c in lines[name]) + ' |')
    print()
    for name, line in lines.items():
        for epoch, result in enumerate(line, 1):
            found.add(f'{name}, behind epoch {epoch}: tau', result[0] if result else None,
                      "Kendall's tau")


def worth(row):
    """Of a long training."""
    return float(row.get('test_metric') or row['metric'])


def dense_rewards(head, rows, short, baseline):
    """Rewards by name of the terms that only detectors and segmentors have, if they are there."""
    values = {id(one): dense_terms(rows[key]) for key, one in short.items()}
    values.update((id(one), dense_terms(head['baseline'][str(seed)]))
                  for seed, one in baseline.items())
    terms = [name for name in DENSE if values and all(name in one for one in values.values())]
    found = {}
    for term in terms:
        found[term] = DenseReward(term, values)
        for beside in ('gap', 'metric'):
            found[f'{beside} + {term}'] = DenseReward(term, values, {beside: 1.0})
    return found


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('short', nargs='?', metavar='SHORT', help='table of the proxy')
    parser.add_argument('long', nargs='?', metavar='LONG', help='table of the long training; '
                        'without both, those of the digits')
    parser.set_defaults(followed=8)  # so many rewards are looked at behind every epoch
    args = figures.parse(parser, dict(followed=1))
    if args.short and not args.long:
        parser.error('LONG is missing beside SHORT')
    args.short, args.long = args.short or DIGITS.format('short'), args.long or DIGITS.format('long')
    return args


def main():
    args, found = parse_args(), figures.Figures()
    head, rows = read(args.short)
    about, later = read(args.long)
    short = {key: outcome(row) for key, row in rows.items() if row['state'] == 'complete'}
    baseline = {int(seed): outcome(row) for seed, row in head['baseline'].items()}
    long = {key: worth(row) for key, row in later.items() if row['state'] == 'complete'}
    about_the_long_training(found, long, [worth(row) for row in about['baseline'].values()])
    names = rank(found, short, baseline, long, dense_rewards(head, rows, short, baseline))
    by_epoch(found, names[:args.followed], short, baseline, long)
    found.finish(args)


if __name__ == '__main__':
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    import _cli
    _cli.run(main)
