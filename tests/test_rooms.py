"""The rooms of the package stand on floors; a room imports what stands below it or beside it.

``docs/design.md`` draws the same floors and says what each room is for.
"""
import ast
import sys
from importlib import import_module
from inspect import isclass, isfunction
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / 'autokd_mm'
FLOORS = [
    ['space', 'ops', 'pairs', 'errors', 'compat', 'installed', 'moved', 'restricted_unpickler',
     'safe_load', 'seeding', 'whole_file', 'version', 'differing'],
    ['search', 'bank', 'registry'],
    ['models', 'datasets', 'study', 'optim', 'experience'],
    ['page'],
    ['layers', 'visualization', 'report'],
    ['measure'],
    ['proxy'],
    ['teacher'],
    ['task'],
    ['engine'],
    ['zoo', 'deploy'],
    ['registration'],
    ['__init__'],
    ['cli'],
]
FLOOR = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
# What can be searched and how the next point is chosen are for anybody with NumPy and Optuna.
LIGHT = {'space': (), 'search': ('numpy', 'optuna'), 'study': ('optuna', 'sqlalchemy'),
         'page': ('numpy', 'optuna', 'jinja2', 'markupsafe', 'matplotlib'),
         'experience': ('numpy', 'optuna')}


def module_of(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' and len(parts) > 2 else parts)


MODULES = {module_of(path): path for path in sorted(PACKAGE.rglob('*.py'))
           if '.mim' not in path.parts}


def room_of(module):
    return (module.split('.') + ['__init__'])[1]


def names_in(path):
    """Modules that a file imports; ``from X import Y`` is X.Y where that is a module of ours."""
    def walk(node):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f'{path}: relative import'
                for alias in child.names:
                    deeper = f'{child.module}.{alias.name}'
                    yield deeper if deeper in MODULES else child.module
            else:
                yield from walk(child)
    return walk(ast.parse(path.read_text(encoding='utf-8')))


def arrows():
    """What each of our files imports of ours. A package stands for its ``__init__``."""
    for module, path in MODULES.items():
        for name in names_in(path):
            if name in MODULES and name != module:
                yield module, name


def circle(edges):
    """A list of names that lead back to the first one, or ``None``."""
    following = {}
    for start, end in edges:
        following.setdefault(start, set()).add(end)
    done, path = set(), []

    def visit(name):
        if name in path:
            return path[path.index(name):] + [name]
        if name in done:
            return None
        path.append(name)
        for other in sorted(following.get(name, ())):
            found = visit(other)
            if found:
                return found
        done.add(path.pop())
        return None

    return next(filter(None, map(visit, sorted(following))), None)


def test_every_room_has_a_floor():
    assert {room_of(module) for module in MODULES} == set(FLOOR)


def test_no_arrow_runs_upward():
    upward = [(start, end) for start, end in arrows()
              if end != 'autokd_mm.__init__' and FLOOR[room_of(end)] > FLOOR[room_of(start)]]
    assert not upward


def test_no_circle():
    assert circle(arrows()) is None
    between = {(room_of(start), room_of(end)) for start, end in arrows()}
    assert circle((start, end) for start, end in between if start != end) is None


def test_circles_are_found():
    assert circle([('a', 'b'), ('b', 'c'), ('d', 'b')]) is None
    assert circle([('a', 'b'), ('b', 'c'), ('c', 'b')]) == ['b', 'c', 'b']


@pytest.mark.parametrize('room', LIGHT)
def test_light_rooms_name_nothing_heavy(room):
    known = getattr(sys, 'stdlib_module_names', None)
    for module, path in MODULES.items():
        if room_of(module) != room:
            continue
        for name in names_in(path):
            top = name.split('.')[0]
            assert top not in ('torch', 'mmengine', 'mmcv', 'mmrazor', 'mmdet', 'mmseg',
                               'mmpretrain'), (path, name)
            assert known is None or top in known or top in ('autokd_mm', *LIGHT[room]), (path, name)


@pytest.mark.parametrize('room', sorted(path.parent.name for path in PACKAGE.glob('*/__init__.py')))
def test_public_names_are_there(room):
    module = import_module(f'autokd_mm.{room}')
    names = getattr(module, '__all__', [])
    assert len(set(names)) == len(names)
    for name in names:
        found = getattr(module, name)
        assert found.__doc__ or not (isclass(found) or isfunction(found)), name
    assert not hasattr(module, 'no_such_name')
