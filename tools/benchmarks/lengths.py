#!/usr/bin/env python3
"""How distillers change places when the training becomes longer.

    python tools/benchmarks/lengths.py TABLE.csv.gz TABLE.csv.gz ... [--figure F.svg] [--out F.json]

The tables are of tools/benchmarks/make_table.py with one `--only @FILE` and proxies of different
lengths (images x epochs). Of the distillers that all of them have: Kendall's tau between what is
measured at each length and the held-out accuracy and loss at the longest; the gain over no
distillation of the best hand-crafted method and of the best other; of the hand-crafted methods,
which stand there with several weights, the best weight; which options gain and which lose; and the
gains that a search would foretell, with how often the truth lay inside.
"""
import argparse
import os
import sys
from collections import defaultdict
from dataclasses import replace

import ranking
from parts import figures

sys.path.append(os.path.dirname(os.path.dirname(ranking.FOLDER)))

TRUTHS = dict(metric=1, held_out_loss=-1)
LEAST = 4  # distillers that an option needs to be told of
LEADERS = 10  # whose gain is foretold: a search asks about its winner


class Length:
    """One table.

    Attributes:
        samples: images x epochs, or steps x batch size.
        held_out: images on which the metric was measured.
        specs, rows: by place in the list.
    """

    def __init__(self, path):
        from autokd_mm.experience.sources import samples_of
        from autokd_mm.space import DistillerSpec
        head, rows = ranking.read(path)
        self.samples = round(samples_of(head['proxy']))
        self.held_out = head['proxy']['held_out']
        self.specs = [DistillerSpec.from_dict(values) for values in head['distillers']]
        self.rows = {index: ranking.outcome(row) for (index, seed), row in rows.items()
                     if seed == 0 and row['state'] == 'complete'}
        self.baseline = ranking.outcome(head['baseline']['0'])


def signals(length, indices):
    """What a search could go by: each term, and today's reward."""
    from autokd_mm.search.reward import Reward
    reward = Reward()
    found = {'reward': [reward(length.rows[i], length.baseline) for i in indices]}
    for name, sign in dict(TRUTHS, gap=-1).items():
        found[name] = [sign * getattr(length.rows[i], name) for i in indices]
    return found


def method_of(spec):
    """The hand-crafted method that a distiller is but for its weight; None."""
    from autokd_mm.space.handcrafted import HANDCRAFTED

    def bare(one):
        return replace(one, connector=None, feature_weight=None, logits_weight=None)

    return next((name for name, known in HANDCRAFTED.items() if bare(known) == bare(spec)), None)


def weight_of(spec):
    return spec.feature_weight if spec.has_feature else spec.logits_weight


def places(values):
    """0 for the worst, 1 for the best."""
    order = sorted(range(len(values)), key=values.__getitem__)
    found = [0.0] * len(values)
    for place, index in enumerate(order):
        found[index] = place / max(len(values) - 1, 1)
    return found


def taus(found, lengths, indices):
    from scipy.stats import kendalltau
    longest = lengths[-1]
    for truth, sign in TRUTHS.items():
        wanted = [sign * getattr(longest.rows[i], truth) for i in indices]
        for length in lengths[:-1]:
            for name, values in signals(length, indices).items():
                found.add(f'tau of {name} at {length.samples:,} samples with {truth} at '
                          f'{longest.samples:,}', float(kendalltau(values, wanted)[0]), '')


def gains(found, lengths, indices):
    for length in lengths:
        for what, hand_made in (('hand-crafted', True), ('other', False)):
            best = max((i for i in indices
                        if (method_of(length.specs[i]) is not None) == hand_made),
                       key=lambda i: length.rows[i].metric)
            found.add(f'gain of the best {what} one at {length.samples:,} samples',
                      100 * (length.rows[best].metric - length.baseline.metric), 'points')
            print(f'    {length.specs[best].in_words()}')


def weights(lengths, indices):
    """A table: the best weight of each method at each length."""
    methods = defaultdict(list)
    for i in indices:
        name = method_of(lengths[0].specs[i])
        if name is not None:
            methods[name].append(i)
    print('\n| best weight, by held-out loss | ' + ' | '.join(f'{one.samples:,}' for one in lengths)
          + ' |\n' + '|---' * (1 + len(lengths)) + '|')
    for name, members in methods.items():
        if len(members) < 2:
            continue
        best = [min(members, key=lambda i: one.rows[i].held_out_loss) for one in lengths]
        print(f'| {name} | ' + ' | '.join(f'{weight_of(lengths[0].specs[i]):g}' for i in best)
              + ' |')


def options(lengths, indices):
    """A table: mean place (0 worst, 1 best, by held-out loss) of the distillers with an option."""
    ranked = [dict(zip(indices, places([-one.rows[i].held_out_loss for i in indices])))
              for one in lengths]
    members = defaultdict(list)
    for i in indices:
        for level, value in lengths[0].specs[i].to_dict().items():
            members[level, value].append(i)
    told = {key: [sum(one[i] for i in own) / len(own) for one in ranked]
            for key, own in members.items() if LEAST <= len(own) < len(indices)}
    print('\n| option | distillers | ' + ' | '.join(f'{one.samples:,}' for one in lengths)
          + ' | change |\n' + '|---' * (3 + len(lengths)) + '|')
    for key in sorted(told, key=lambda key: told[key][0] - told[key][-1]):
        means = told[key]
        print(f'| {key[0]}={key[1]} | {len(members[key])} | '
              + ' | '.join(f'{mean:.2f}' for mean in means) + f' | {means[-1] - means[0]:+.2f} |')


def foretold(found, lengths, indices):
    """A table: the gains of the best ten at one length, foretold for a longer one, and measured."""
    from autokd_mm.search.extrapolation import expected_gain
    print(f'\n| measured up to | foretold for | mean gain of the best {LEADERS} | measured | '
          'root mean square of the error | four of five within | were |\n' + '|---' * 7 + '|')
    shares = {}
    for last, longest in enumerate(lengths[:-1]):
        leaders = sorted(indices, key=lambda i: -longest.rows[i].metric)[:LEADERS]
        known = lengths[:last + 1]
        for later in lengths[last + 1:]:
            own = [expected_gain({one.samples: one.rows[i].metric for one in known},
                                 {one.samples: one.baseline.metric for one in known},
                                 later.samples, longest.held_out) for i in leaders]
            true = [later.rows[i].metric - later.baseline.metric for i in leaders]
            wrong = [one.gain - gain for one, gain in zip(own, true)]
            # The truth is measured on as few images.
            base = later.baseline.metric
            blur = 1.2816 * (base * (1 - base) / later.held_out) ** 0.5
            inside = sum(abs(error) <= (one.spread ** 2 + blur ** 2) ** 0.5
                         for error, one in zip(wrong, own)) / len(own)
            size = (sum(error ** 2 for error in wrong) / len(wrong)) ** 0.5
            print(f'| {longest.samples:,} | {later.samples:,} | '
                  f'{100 * sum(one.gain for one in own) / len(own):+.1f} | '
                  f'{100 * sum(true) / len(true):+.1f} | {100 * size:.1f} | '
                  f'{100 * sum(one.spread for one in own) / len(own):.1f} | {inside:.0%} |')
            shares[f'inside, {longest.samples:,} to {later.samples:,} samples'] = inside
    for name, share in shares.items():
        found.add(name, share, '')


def draw(path, lengths, indices):
    """Rank and gain against length, a line for each distiller."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4.5), sharex=True)
    samples = [one.samples for one in lengths]
    ranked = [dict(zip(indices, places([-one.rows[i].held_out_loss for i in indices])))
              for one in lengths]
    for i in indices:
        colour = 'tab:blue' if method_of(lengths[0].specs[i]) else 'tab:orange'
        left.plot(samples, [one[i] for one in ranked], color=colour, alpha=0.7)
        right.plot(samples, [100 * (one.rows[i].metric - one.baseline.metric) for one in lengths],
                   color=colour, alpha=0.7)
    left.set(xscale='log', xlabel='samples (images x epochs)',
             ylabel='place by held-out loss (1: best)')
    left.set_xticks(samples, [f'{number:,}' for number in samples])
    left.minorticks_off()
    right.set(xlabel='samples (images x epochs)', ylabel='gain over no distillation (points)')
    right.axhline(0, color='black', linewidth=0.8)
    for name, colour in (('hand-crafted', 'tab:blue'), ('others of the space', 'tab:orange')):
        right.plot([], [], color=colour, label=name)
    right.legend()
    figure.tight_layout()
    figure.savefig(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('tables', nargs='+', metavar='TABLE.csv.gz')
    parser.add_argument('--figure', metavar='F.svg')
    args = figures.parse(parser, {})
    lengths = sorted(map(Length, args.tables), key=lambda one: one.samples)
    if len(lengths) < 2 or any(one.specs != lengths[0].specs for one in lengths):
        parser.error('two tables or more of one list of distillers are needed')
    indices = sorted(set.intersection(*(set(one.rows) for one in lengths)))
    print(f'{len(indices)} of {len(lengths[0].specs)} distillers at '
          + ', '.join(f'{one.samples:,}' for one in lengths) + ' samples')
    found = figures.Figures()
    for one in lengths:
        found.add(f'undistilled at {one.samples:,} samples', 100 * one.baseline.metric, '%')
    taus(found, lengths, indices)
    gains(found, lengths, indices)
    weights(lengths, indices)
    options(lengths, indices)
    foretold(found, lengths, indices)
    if args.figure:
        draw(args.figure, lengths, indices)
    found.finish(args)


if __name__ == '__main__':
    main()
