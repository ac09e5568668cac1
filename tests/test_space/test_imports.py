"""What can be searched and how the next point is chosen need neither torch nor OpenMMLab."""
import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / 'autokd_mm'
ALLOWED = {'space': ('autokd_mm.space', ), 'search': ('autokd_mm.space', 'autokd_mm.search')}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}: relative import'
            yield node.module


@pytest.mark.parametrize('room', ALLOWED)
def test_imports_go_downwards(room):
    files = sorted((PACKAGE / room).rglob('*.py'))
    assert files
    for path in files:
        for name in imported(path):
            top = name.split('.')[0]
            known = getattr(sys, 'stdlib_module_names', None)
            assert top not in ('torch', 'mmengine', 'mmcv', 'mmrazor', 'mmdet', 'mmseg',
                               'mmpretrain'), (path, name)
            if top == 'autokd_mm':
                assert name.startswith(ALLOWED[room]), (path, name)
            elif known:
                others = ('optuna', 'numpy') if room == 'search' else ()
                assert top in known or top in others, (path, name)


def test_nobody_imports_the_engine():
    for path in PACKAGE.rglob('*.py'):
        if 'engine' not in path.parts and path != PACKAGE / '__init__.py':
            upwards = [name for name in imported(path) if name.startswith('autokd_mm.engine')]
            assert not upwards, path
