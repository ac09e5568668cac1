"""The manner that all benchmarks share: ``--quick``, ``--out`` and the list of figures in it.

A figure is ``{"name", "value", "unit", "goal"}``: a number with its unit, null where it was not
reached or cannot be known; a goal such as ``"<= 1.25"``, null where there is none.
"""
import argparse
import json
import math
import operator
import os

_COMPARISONS = {'<=': operator.le, '>=': operator.ge, '<': operator.lt, '>': operator.gt}


def parse(parser, quick):
    """The arguments of ``parser``, with ``--quick`` and ``--out`` among them.

    Args:
        quick: what arguments are under ``--quick`` where the command line does not name them; may
            hold settings beside the arguments.
    """
    parser.add_argument('--quick', action='store_true',
                        help='a rough run, under two minutes on two cores; other arguments hold '
                        'all the same')
    parser.add_argument('--out', type=_file_to_be, metavar='FILE.json',
                        help='write the figures, a list of {"name", "value", "unit", "goal"}')
    args = parser.parse_args()
    if args.quick:
        parser.set_defaults(**quick)
        args = parser.parse_args()
    return args


def _file_to_be(path):
    """``path``, looked at before the figures are made: minutes of work are not thrown away."""
    if os.path.isdir(path):
        raise argparse.ArgumentTypeError(f'{path} is a folder and must be a file')
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise argparse.ArgumentTypeError(f'there is no folder {folder}')
    return path


class Figures:
    """What a run found, said as it comes and written at the end."""

    def __init__(self):
        self.rows = []

    def add(self, name, value, unit, goal=None):
        """
        Args:
            value: a number; None, NaN and infinity are what is not there.
            goal: a comparison and a number, such as ``'<= 1.25'``.
        """
        if value is not None:
            value = _short(value) if math.isfinite(value) else None
        self.rows.append(dict(name=name, value=value, unit=unit, goal=goal))
        print(in_words(self.rows[-1]), flush=True)

    def finish(self, args):
        """Sum the goals up, and write all figures to the file ``args.out``, or none of them."""
        aimed = [row for row in self.rows if row['goal'] is not None]
        missed = [row['name'] for row in aimed if not reached(row)]
        if aimed:
            print(f'{len(missed)} of {len(aimed)} goals missed'
                  + ' by the rough figures of a quick run' * args.quick
                  + ''.join(f'\n  {name}' for name in missed))
        if args.out:
            from autokd_mm.whole_file import whole_file
            with whole_file(args.out, 'w', encoding='utf-8') as file:
                json.dump(self.rows, file, indent=1, ensure_ascii=False, allow_nan=False)
                file.write('\n')


def _short(value):
    return value if isinstance(value, int) else float(f'{value:.6g}')


def reached(row):
    """Whether a figure that has a goal reaches it; what is not there does not."""
    comparison, limit = row['goal'].split()
    return row['value'] is not None and _COMPARISONS[comparison](row['value'], float(limit))


def in_words(row):
    value = row['value']
    if value is not None:
        value = f'{value:,}' if isinstance(value, int) else f'{value:,.4g}'
    text = f'{row["name"]:60s} {value or "-":>9s} {row["unit"]}'
    if row['goal'] is None:
        return text
    return f'{text}  (goal {row["goal"]}{"" if reached(row) else ", MISSED"})'
