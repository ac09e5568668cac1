"""tools/mutants.py: which changes it makes, how they are tried, what it remembers."""
import ast
import importlib
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


@pytest.fixture(autouse=True)
def tools(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))


@pytest.fixture
def mutations():
    return importlib.import_module('_mutations')


@pytest.fixture
def runs():
    return importlib.import_module('_mutant_runs')


@pytest.fixture
def mutants():
    return importlib.import_module('mutants')


@pytest.mark.parametrize('before, after', [
    ('x = a < b', ['x = a <= b']),
    ('x = a is not b', ['x = a is b']),
    ('x = (a) not in (b)', ['x = (a) in (b)']),
    ('x = a - b', ['x = a + b']),
    ('x = a ** b', ['x = a * b']),
    ("x = 'a' + b", []),
    ('x = a and b', ['x = True and b', 'x = a and True']),
    ('x = a or b', ['x = False or b', 'x = a or False']),
    ('x = not a', ['x = bool(a)']),
    ('x = -a', ['x = a']),
    ('x = 1', ['x = 2']),
    ('x = 0.0', ['x = 1.0']),
    ('x = 0.25', ['x = 0.5']),
    ('x = True', ['x = False']),
    ("x = 'text'", []),
    ('x += a', ['pass', 'x -= a']),
    ('x[a] = b', ['pass']),
    ('x = a if b else c', ['x = a if False else c', 'x = a if True else c']),
    ('x = [a for a in b if a]', ['x = [a for a in b if True]']),
    ('x = a.argsort()', ['x = (a)']),
    ('x = self.f(a)', []),
    ('x = F.relu(a)', ['x = (a)']),
    ('x = max(a, b)', ['x = min(a, b)']),
    ('x = sorted(a)', ['x = (a)']),
    ("x = ', '.join(a)", []),
    ('"""1 < 2"""', []),
    ('f(a)', ['pass']),
    ("raise ValueError(f'{1 + a}')", ['pass']),
    ('x: int = a', []),
    ('def f(x: int = 1): return x', ['def f(x: int = 2): return x']),
    ('for x in a: continue', ['for x in a: break'])])
def test_changes(mutations, before, after):
    found = mutations.changes(before)
    assert sorted(change.apply(before) for change in found) == sorted(after)
    for change in found:
        assert change.lines(before) == (before, change.apply(before))


CODE = '''"""Über 1 < 2."""
LIMIT = 3


class Thing:
    @property
    def size(self):
        def inner(x, y=4):
            return (x +
                    5)
        return inner(6)
'''


def test_where_a_change_is(mutations):
    found = {change.apply(CODE)[change.start:change.start + 1]: change
             for change in mutations.changes(CODE) if change.new.isdigit()}
    place = {new: (change.line, change.function, change.body_of) for new, change in found.items()}
    # a default of an inner function is made when the outer one runs; a decorator counts
    assert place == {'4': (2, None, None), '5': (8, 8, 6), '6': (10, 8, 6), '7': (11, 6, 6)}
    plus, = [change for change in mutations.changes(CODE) if change.new == '-']
    assert plus.lines(CODE) == ('return (x +', 'return (x -')


def test_every_change_of_the_core_is_python(mutations, mutants):
    """And the table of equivalent ones is about them (the tool tells which are out of date)."""
    same, known = mutants.equivalents(), set()
    for path in mutants.files_of(*(f'autokd_mm/{room}' for room in mutants.ROOMS)):
        text = mutants.read(path)
        for change in mutations.changes(text):
            known.add((path, *(part.replace('\n', ' ') for part in change.lines(text))))
            if change.start % 29 == 0:  # all of them take a minute
                ast.parse(change.apply(text))
    assert len(same & known) > len(same) / 2


def test_what_is_forked(runs, tmp_path):
    log = str(tmp_path / 'log')

    def die():
        os.kill(os.getpid(), 11)

    def fail():
        raise ValueError('so it is')

    def busy():
        while True:
            pass

    assert runs.forked(lambda: dict(a=[1]), 5, log) == dict(a=[1])
    assert runs.forked(die, 5, log) == {} and runs.forked(fail, 5, log) == {}
    assert 'so it is' in Path(log).read_text()
    start = time.monotonic()
    assert runs.forked(busy, 1, log) is None and time.monotonic() - start < 60


def test_a_function_gets_its_new_code(runs, mutations, tmp_path):
    path = tmp_path / 'module_of_test_mutants.py'
    path.write_text('def f(x):\n    """1 < x."""\n    return [y + 1 for y in x]\n')
    sys.path.insert(0, str(tmp_path))
    try:
        f = importlib.import_module('module_of_test_mutants').f
    finally:
        sys.path.remove(str(tmp_path))
    session = runs.Session(None)
    session._functions = {(str(path), 1, 'f'): [f]}
    kept, text = f.__code__, path.read_text()
    change, = [change for change in mutations.changes(text) if change.new == '-']
    assert f([1, 2]) == [2, 3]
    assert session._change(str(path), change.body_of, change.apply(text))
    assert f([1, 2]) == [0, 1] and f.__code__ is not kept
    assert not session._change(str(path), 2, text)


def test_what_is_kept(mutants, tmp_path):
    kept = mutants.Kept(str(tmp_path / 'kept'))
    kept.add('a', 1)
    kept.add('b', 2)
    kept.add('a', 3)
    with open(str(tmp_path / 'kept'), 'a') as file:
        file.write('["b", ')  # killed while it wrote
    again = mutants.Kept(str(tmp_path / 'kept'))
    assert (again.get('a'), again.get('b'), again.get('c')) == (3, 2, None)


def test_a_survivor_is_tried_again_when_a_test_has_changed(mutants, tmp_path):
    room = mutants.Room('bank', str(tmp_path))
    killed, survivor, new = room.mutants()[:3]
    room._add(*killed, 'killed', 'test')
    room._add(*survivor, 'survived', '')
    again = mutants.Room('bank', str(tmp_path))
    assert again.known(*killed) == ('killed', 'test')
    assert again.known(*survivor) == ('survived', '') and again.known(*new) is None
    again._state = 'of other tests'
    assert again.known(*killed) == ('killed', 'test') and again.known(*survivor) is None


def test_the_nearest_and_fastest_tests_come_first(mutants, tmp_path):
    room = mutants.Room('bank', str(tmp_path))
    path = 'autokd_mm/bank/plan.py'
    calls = {f'{path}:7'}
    reach = {'tests/test_bank/test_plan.py::slow': (2, calls),
             'tests/test_bank/test_plan.py::fast': (1, calls),
             'tests/test_bank/test_writing.py::quick': (0.1, calls),
             'tests/test_bank/test_plan.py::other': (0.1, {f'{path}:8'})}
    tests = room._tests_of(path, SimpleNamespace(function=7), reach)
    assert [test.split('::')[1] for test in tests] == ['fast', 'slow', 'quick']
    room = mutants.Room('bank', str(tmp_path), budget=3.05)
    assert len(room._tests_of(path, SimpleNamespace(function=7), reach)) == 2


def test_an_endless_loop_is_left(runs):
    with pytest.raises(runs.TooSlow), runs._limited(0.2) as late:
        while True:
            pass
    assert late
    with runs._limited(100) as late:
        pass
    assert not late
