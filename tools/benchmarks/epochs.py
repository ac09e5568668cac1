#!/usr/bin/env python3
"""Accuracy of a few distillers against the epochs of the training.

    python tools/benchmarks/epochs.py TABLE.csv.gz TABLE.csv.gz ... [--names KD found ...] \\
        [--figure F.svg] [--out F.json]

The tables are of tools/benchmarks/make_table.py with one `--only` and trainings of different
lengths over the same images. Prints a table of Markdown: the accuracy of each seed on the test
images (on the held-out ones where some table has no other), and the mean where there are several.
The figure has a line for each distiller through the means.
"""
import argparse
import os
import statistics
import sys

import ranking
from parts import figures

sys.path.append(os.path.dirname(os.path.dirname(ranking.FOLDER)))

UNDISTILLED = 'undistilled'


class Trained:
    """One table: ``rows`` by name, and ``accuracies`` in percent, one for each seed."""

    def __init__(self, path, names=()):
        from autokd_mm.space import DistillerSpec
        head, rows = ranking.read(path)
        self.epochs, self.images = head['proxy']['epochs'], head['proxy']['images']
        self.distillers = head['distillers']
        words = [DistillerSpec.from_dict(values).in_words() for values in self.distillers]
        self.names = [UNDISTILLED, *names, *words[len(names):]]
        self.rows = {UNDISTILLED: [row for _, row in sorted(head['baseline'].items())]}
        for (index, _), row in sorted(rows.items()):
            if row['state'] == 'complete':
                self.rows.setdefault(self.names[1 + index], []).append(row)
        self.tested = all(row.get('test_metric') for own in self.rows.values() for row in own)
        self.accuracies = {}

    def take(self, column):
        self.accuracies = {name: [100 * float(row[column]) for row in own]
                           for name, own in self.rows.items()}


def show(found, tables):
    """The table of Markdown, and its means as figures."""
    lines = ['| | ' + ' | '.join(f'{one.epochs} epochs' for one in tables) + ' |',
             '|---' * (1 + len(tables)) + '|']
    for name in tables[0].names:
        cells = []
        for one in tables:
            seeds = one.accuracies.get(name, [])
            mean = f' ({statistics.mean(seeds):.2f})' if len(seeds) > 1 else ''
            cells.append(' '.join(f'{value:.2f}' for value in seeds) + mean)
            if seeds:
                found.add(f'{name}, {one.epochs} epochs', statistics.mean(seeds), '%')
        lines.append(f'| {name} | ' + ' | '.join(cells) + ' |')
    print('\n'.join(lines))


def draw(path, tables):
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    for name in tables[0].names:
        points = [(one.epochs, one.accuracies[name]) for one in tables if name in one.accuracies]
        line, = axes.plot([epochs for epochs, _ in points],
                          [statistics.mean(seeds) for _, seeds in points], label=name,
                          color='black' if name == UNDISTILLED else None)
        for epochs, seeds in points:
            axes.plot([epochs] * len(seeds), seeds, '.', color=line.get_color())
    axes.set(xscale='log', xlabel=f'epochs over {tables[0].images:,} images', ylabel='top-1 (%)')
    axes.set_xticks([one.epochs for one in tables], [str(one.epochs) for one in tables])
    axes.minorticks_off()
    axes.legend(fontsize='small')
    figure.tight_layout()
    figure.savefig(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('tables', nargs='+', metavar='TABLE.csv.gz')
    parser.add_argument('--names', nargs='+', default=[], metavar='NAME',
                        help='of the distillers, in the order of the tables; else what they are')
    parser.add_argument('--figure', metavar='F.svg')
    args = figures.parse(parser, {})
    tables = sorted((Trained(path, args.names) for path in args.tables),
                    key=lambda one: one.epochs)
    if any(one.distillers != tables[0].distillers or one.images != tables[0].images
           for one in tables):
        parser.error('tables of one list of distillers, over the same images, are needed')
    if len(args.names) > len(tables[0].distillers):
        parser.error(f'--names: {len(args.names)} of them for {len(tables[0].distillers)} '
                     'distillers')
    tested = all(one.tested for one in tables)
    print(f'top-1 (%) on the {"test" if tested else "held-out"} images')
    for one in tables:
        one.take('test_metric' if tested else 'metric')
    found = figures.Figures()
    show(found, tables)
    if args.figure:
        draw(args.figure, tables)
    found.finish(args)


if __name__ == '__main__':
    main()
