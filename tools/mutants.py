#!/usr/bin/env python3
"""Which small mistakes in the package would no test notice?

    make mutants                                    # all of them: hours; it resumes
    make mutants ARGS="--sample 80 --seed 0"        # 80 of each room, drawn at random
    make mutants ARGS="--room measure --room bank"

A mutant is a file with one small change (`_mutations.py`). It is killed when a test of its room
fails; one that survives is either the same program (these stand, each with its reason, in
`mutants_equivalent.txt`), or asks for a test. Only the tests beside the room run, of these only
those that call the changed function, the fastest first. What was found is kept in the work dir: of
a killed mutant until its file changes, of a survivor until a test of the room does, too.
"""
import argparse
import glob
import hashlib
import json
import os
import random
import sys
from collections import Counter

import _mutant_runs as mutant_runs
import _mutations as mutations
from _mutant_runs import ROOT

# The tests of a room are tests/test_<room>, and what is named here.
ROOMS = {'space': [], 'search': [], 'measure': [], 'bank': [], 'models/losses': [],
         'models/distances': [],
         'models/transforms': ['tests/test_models/test_losses/test_padding.py']}
EQUIVALENT = os.path.join('tools', 'mutants_equivalent.txt')
_HEAD = '| room | mutants | killed | timeout | survived | equivalent | noticed |'


def read(path):
    with open(os.path.join(ROOT, path)) as file:
        return file.read()


def digest(paths):
    return hashlib.sha256('\0'.join(read(path) for path in sorted(paths)).encode()).hexdigest()[:16]


def files_of(*folders):
    """Python files, as named or in the folders named."""
    return sorted({os.path.relpath(path, ROOT) for folder in folders for path in
                   ([os.path.join(ROOT, folder)] if folder.endswith('.py') else
                    glob.glob(os.path.join(ROOT, folder, '**', '*.py'), recursive=True))})


def equivalents():
    """{(path, line before, line after)} of the mutants that are the same program."""
    found, path, before = set(), None, None
    for line in read(EQUIVALENT).splitlines():
        mark, rest = line[:2], line[2:]
        if mark == '@ ':
            path = rest
        elif mark == '- ':
            before = rest
        elif mark == '+ ':
            found.add((path, before, rest))
    return found


class Kept:
    """JSON by key, one a line of a file: what was added last counts."""

    def __init__(self, path):
        self._path, self._values = path, {}
        self.read()

    def read(self):
        if os.path.exists(self._path):
            with open(self._path) as file:
                for line in file:
                    if line.endswith('\n'):  # the last one may have been cut off
                        key, value = json.loads(line)
                        self._values[key] = value

    def get(self, key):
        return self._values.get(key)

    def add(self, key, value):
        self._values[key] = value
        with open(self._path, 'a') as file:
            file.write(json.dumps([key, value]) + '\n')


class Room:
    """The mutants of a room and what its tests say of them."""

    def __init__(self, name, work_dir, slowest=3.0, budget=20.0):
        self.name, self._slowest, self._budget = name, slowest, budget
        sources = files_of(f'autokd_mm/{name}')
        self._beside = 'tests/' + '/'.join(f'test_{part}' for part in name.split('/'))
        files = files_of(self._beside, *ROOMS[name])
        self._tests = [path for path in files if os.path.basename(path).startswith('test_')]
        self._texts = {path: read(path) for path in sources}
        self._around = digest(sources + [path for path in files if path not in self._tests])
        self._state = f'{digest(files)} {slowest} {budget}'
        self._folder = os.path.join(work_dir, name.replace('/', '_'))
        self._log = os.path.join(self._folder, 'log')
        os.makedirs(self._folder, exist_ok=True)
        self._looked = Kept(os.path.join(self._folder, 'tests.jsonl'))
        self._found = Kept(os.path.join(self._folder, 'mutants.jsonl'))

    def mutants(self):
        """[(path, change)] of the whole room."""
        return [(path, change) for path, text in self._texts.items()
                for change in mutations.changes(text)]

    def lines(self, path, change):
        """The lines before and after, each as one."""
        return tuple(part.replace('\n', ' ') for part in change.lines(self._texts[path]))

    def known(self, path, change):
        """(outcome, the test that noticed) from the work dir; None where there is none, or the
        tests have changed since."""
        found = self._found.get(self._key(path, change))
        if found is None or found['outcome'] == 'survived' and found['state'] != self._state \
                or found['outcome'] == 'import':
            return None
        return found['outcome'], found['by']

    def try_all(self, mutants):
        """Try what is not known; yields (path, change)."""
        mutants = [mutant for mutant in mutants if self.known(*mutant) is None]
        if mutants and not mutant_runs.hold(
                self._tests, lambda session: self._try_in(session, mutants), self._folder):
            sys.exit(f'the tests of {self.name} do not run, see {self._folder}/collected')
        self._found.read()
        for path, change in mutants:
            found = self._found.get(self._key(path, change))
            if found['outcome'] == 'import':
                self._add(path, change, *mutant_runs.run(
                    path, change.apply(self._texts[path]), found['by'], self._folder))

    def _try_in(self, session, mutants):
        """In the process that holds the tests: those that change the body of a function, and the
        tests to run for the others."""
        reach = self._reach(session)
        for path, change in mutants:
            tests = self._tests_of(path, change, reach)
            if not tests:
                self._add(path, change, 'survived', '')
                continue
            found = change.body_of and session.run(
                path, change.body_of, change.apply(self._texts[path]), tests, self._log)
            self._add(path, change, *(found or ('import', tests)))

    def _reach(self, session):
        """{test: (seconds, functions)}; runs the tests as they are where that is not known."""
        reach = {}
        for path in self._tests:
            key = f'{path} {digest([path])} {self._around} {self._slowest}'
            found = self._looked.get(key)
            if found is None:
                items = [item for name, item in session.items.items()
                         if name.split('::')[0] == path]
                found = session.look(items, f'autokd_mm/{self.name}', self._slowest, self._log)
                if not found or found['failed']:
                    raise RuntimeError(f'{path} fails as it is, see {self._log}')
                self._looked.add(key, found)
            for test, (seconds, calls) in found['tests'].items():
                reach[test] = seconds, set(calls) | set(found['wide'])
        return reach

    def _tests_of(self, path, change, reach):
        """{test: seconds}: the file beside the changed one first, then the room's, the fastest
        first, as many as the budget allows."""
        chosen = [test for test, (_, calls) in reach.items()
                  if change.function is None or f'{path}:{change.function}' in calls]
        cost = Counter()
        for test in chosen:
            cost[test.split('::')[0]] += reach[test][0]

        def rank(test):
            file = test.split('::')[0]
            return (os.path.basename(file) != f'test_{os.path.basename(path)}',
                    not file.startswith(self._beside), cost[file], file, reach[test][0])

        tests, seconds = {}, 0.0
        for test in sorted(chosen, key=rank):
            seconds += reach[test][0]
            if seconds > self._budget:
                break
            tests[test] = reach[test][0]
        return tests

    def _key(self, path, change):
        digest_of = hashlib.sha256(self._texts[path].encode()).hexdigest()[:16]
        return f'{path}:{change.start}:{change.end}:{change.new}:{digest_of}'

    def _add(self, path, change, outcome, by):
        self._found.add(self._key(path, change), dict(outcome=outcome, by=by, state=self._state))


def measure(room, args, same):
    """Try the room's mutants; prints the survivors and returns its row of the table."""
    mutants = room.mutants()
    possible, lines = len(mutants), {(path, *room.lines(path, change)) for path, change in mutants}
    for entry in sorted(same - lines):
        if os.path.dirname(entry[0]) == f'autokd_mm/{room.name}':
            print('{}: {!r} -> {!r} is no change of it any more, take it out'.format(
                EQUIVALENT, *entry[1:]))
    if args.sample and args.sample < possible:
        mutants = random.Random(f'{args.seed} {room.name}').sample(mutants, args.sample)
    equal = {mutant for mutant in mutants if (mutant[0], *room.lines(*mutant)) in same}
    room.try_all([mutant for mutant in mutants if mutant not in equal])
    counts = Counter(equivalent=len(equal))
    for path, change in mutants:
        if (path, change) in equal:
            continue
        outcome, by = room.known(path, change)
        counts[outcome] += 1
        if args.verbose or outcome == 'survived':
            before, after = room.lines(path, change)
            print(f'{outcome} {by}\n@ {path}:{change.line}\n- {before}\n+ {after}', flush=True)
    tried, noticed = len(mutants) - len(equal), counts['killed'] + counts['timeout']
    return [room.name, f'{len(mutants)} of {possible}', counts['killed'], counts['timeout'],
            counts['survived'], counts['equivalent'], f'{100 * noticed / max(tried, 1):.0f} %']


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--room', action='append', choices=list(ROOMS), help='again for more')
    parser.add_argument('--sample', type=int, default=0, metavar='N', help='mutants of each room')
    parser.add_argument('--seed', type=int, default=0, help='of the sample')
    parser.add_argument('--slowest', type=float, default=3, metavar='SECONDS',
                        help='tests that take longer are left out')
    parser.add_argument('--budget', type=float, default=20, metavar='SECONDS',
                        help='of tests for each mutant')
    parser.add_argument('--work-dir', default=os.path.join('work_dirs', 'mutants'))
    parser.add_argument('--verbose', action='store_true', help='print what was killed, too')
    args = parser.parse_args()
    work_dir = os.path.abspath(args.work_dir)
    os.chdir(ROOT)
    sys.path.insert(0, ROOT)
    os.environ.update(OMP_NUM_THREADS='1', PYTHONPATH=ROOT)
    # children read what others have compiled, also where PYTHONDONTWRITEBYTECODE is set
    sys.dont_write_bytecode, sys.pycache_prefix = False, os.path.join(work_dir, 'pycache')
    mutant_runs.preload()
    same, rows = equivalents(), []
    for name in args.room or ROOMS:
        rows.append(measure(Room(name, work_dir, args.slowest, args.budget), args, same))
        print('\n'.join([_HEAD, '|---' * 7 + '|']
                        + ['| ' + ' | '.join(map(str, row)) + ' |' for row in rows]), flush=True)


if __name__ == '__main__':
    main()
