"""A config that names a module where it was before is told where it is."""
import importlib
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from autokd_mm.engine.config import load_config
from autokd_mm.errors import ConfigError
from autokd_mm.moved import MOVED, tell_new_places

PACKAGE = Path(__file__).resolve().parents[1] / 'autokd_mm'
LINE = 'autokd_mm.engine.teacher_bank has moved to autokd_mm.teacher.full_bank'


def file_of(name):
    return PACKAGE.joinpath(*name.split('.')).with_suffix('.py')


@pytest.fixture
def config(tmp_path):
    def write(*imports):
        path = tmp_path / 'old.py'
        path.write_text(f'custom_imports = dict(imports={list(imports)!r})\n')
        return str(path)
    return write


def test_the_table():
    assert len(MOVED) == 43
    for old, new in MOVED.items():
        assert not file_of(old).exists() and file_of(new).is_file(), (old, new)


@pytest.mark.parametrize('old', ['engine.teacher_bank', 'space.errors', 'engine.view_report'])
def test_an_import_says_the_new_place(old):
    with pytest.raises(ModuleNotFoundError) as raised:
        importlib.import_module(f'autokd_mm.{old}')
    assert str(raised.value) == f'autokd_mm.{old} has moved to autokd_mm.{MOVED[old]}'


def test_other_names_are_left_alone():
    for name in ('autokd_mm.engine.nothing', 'other.engine.teacher_bank'):
        with pytest.raises(ModuleNotFoundError, match='No module named'):
            importlib.import_module(name)


def test_it_is_asked_once_and_last():
    before = list(sys.meta_path)
    tell_new_places()
    assert sys.meta_path == before


def test_the_tools_say_it_in_one_line(config):
    with pytest.raises(ConfigError) as raised:
        load_config(config('autokd_mm', 'autokd_mm.engine.teacher_bank'))
    assert str(raised.value).startswith(f'custom_imports: {LINE}')
    assert '\n' not in str(raised.value)


def test_plain_mmengine_says_it_too(config):
    with pytest.raises(ImportError) as raised:
        Config.fromfile(config('autokd_mm.engine.teacher_bank'))
    error, told = raised.value, []
    while error is not None:
        told.append(str(error))
        error = error.__cause__ or error.__context__
    assert LINE in told


def test_a_module_that_never_was(config):
    with pytest.raises(ConfigError, match="^custom_imports: No module named 'nowhere'"):
        load_config(config('nowhere'))
