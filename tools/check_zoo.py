#!/usr/bin/env python3
"""Does the whole way work for every family of the model zoo?

    make check-zoo                                       # all of them; it resumes
    make check-zoo ARGS="--package mmseg --family segformer --again"

Takes one config of each folder of configs that mmdet, mmseg and mmpretrain install, makes its
numbers small (types stay, which is asserted), and pairs it with its next size, or with itself, on
digit scenes: a step of the package's own training, tools/make_pair.py, a dry run, a search of two
candidates of two steps, one step of tools/train.py with what was found, and the export of the
student. Each family is a process; a line tells how it ended. With --write-docs the table goes into
docs/zoo.md.
"""
import argparse
import datetime
import gc
import json
import os
import resource
import shutil
import sys
import time

TOOLS = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(TOOLS)
sys.path[:0] = [TOOLS, ROOT]
from _forked import forked  # noqa: E402
from zoo import data, listing, table, way  # noqa: E402

_GIB = 1 << 30


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--package', action='append', choices=listing.PACKAGES,
                        help='again for more')
    parser.add_argument('--family', action='append', metavar='FOLDER', help='again for more')
    parser.add_argument('--out', default=os.path.join('work_dirs', 'zoo', 'results.jsonl'),
                        help='results, one line each; families that stand in it are left out')
    parser.add_argument('--again', choices=['all', 'failed'], nargs='?', const='all',
                        help='run families that stand in it, too, or those that did not go through')
    parser.add_argument('--seconds', type=float, default=60, help='of the processor for a family')
    parser.add_argument('--memory', type=float, default=8, metavar='GIB', help='for a family')
    parser.add_argument('--keep', action='store_true', help='keep what a family has written')
    parser.add_argument('--write-docs', action='store_true',
                        help='write docs/zoo.md from the results, and run nothing')
    return parser.parse_args()


class Results:
    """A record for each family: a file with a line of JSON each, always written as a whole."""

    def __init__(self, path):
        self._path, self.found = os.path.abspath(path), {}
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        if os.path.exists(self._path):
            with open(self._path) as file:
                for record in map(json.loads, file):
                    self.found[record['package'], record['family']] = record
        self.folder = os.path.dirname(self._path)

    def add(self, record):
        from autokd_mm.whole_file import whole_file
        self.found[record['package'], record['family']] = record
        with whole_file(self._path, 'w') as file:
            file.writelines(json.dumps(each) + '\n' for _, each in sorted(self.found.items()))


def run(package, family, results, args):
    """The record of one family, made in a forked process."""
    folder = os.path.join(results.folder, 'families', f'{package}_{family}')
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    known = results.found.get((package, family), {}).get('level')

    def work():
        resource.setrlimit(resource.RLIMIT_DATA, (int(args.memory * _GIB), ) * 2)
        return way.Way(package, family, os.path.join(results.folder, 'data'), folder, known).go()

    start = time.monotonic()
    record = forked(work, args.seconds, f'{folder}.log')
    if not record:
        ended = dict(outcome=way.DEFECT, line='the process died')
        if record is None:
            ended = dict(outcome=way.SLOW, line=f'over {args.seconds:.0f} s of the processor')
        record = dict(so_far(folder), package=package, family=family, seconds=args.seconds, **ended)
    if not args.keep:
        shutil.rmtree(folder, ignore_errors=True)
    return dict(record, wall=round(time.monotonic() - start, 1),
                date=datetime.date.today().isoformat())


def so_far(folder):
    """The record of a process that was killed, as it was when its last step began."""
    try:
        with open(os.path.join(folder, way.SO_FAR)) as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}


def wanted(results, args):
    """[(package, family)] that are asked for, and not done yet; the packages take turns."""
    found = []
    for package in args.package or listing.PACKAGES:
        if listing.root(package) is None:
            print(f'{package} is not installed with its configs, left out')
            continue
        names = listing.families(package)
        for place, family in enumerate(args.family or names):
            if family in names:
                found.append((place, package, family))
            elif args.package:
                raise SystemExit(f'error: --family: {package} has no {family}')
    done = {key for key, record in results.found.items()
            if not args.again or args.again == 'failed' and record['outcome'] in (
                way.THROUGH, way.OTHER)}
    return [key for _, *key in sorted(found, key=lambda each: each[0]) if tuple(key) not in done]


def main():
    args = parse_args()
    results = Results(args.out)
    if args.write_docs:
        table.write(os.path.join(ROOT, 'docs', 'zoo.md'), list(results.found.values()))
        return
    left = wanted(results, args)
    if not left:
        print(table.summary(results.found.values()))
        return
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    from zoo import warm
    warm.load_everything()
    warm.prepare()
    gc.collect()
    gc.freeze()  # else each child copies all of it when it counts references
    place = os.path.join(results.folder, 'data')
    if not os.path.isdir(place):
        data.write(place)
    print(table.HEAD, flush=True)
    start = time.monotonic()
    for number, (package, family) in enumerate(left, 1):
        results.add(run(package, family, results, args))
        each = (time.monotonic() - start) / number
        print(table.row(results.found[package, family]) +
              f' {each * (len(left) - number) / 60:.0f} min left', flush=True)
    print(table.summary(results.found.values()))


if __name__ == '__main__':
    main()
