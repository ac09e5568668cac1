"""The bank on disk: complete or not there, and never another one's."""
import json
import os
import shutil
from collections import namedtuple

import numpy as np
import pytest

from autokd_mm.engine import bank as banks
from autokd_mm.engine.bank import FeatureBank, TornBank, differing
from autokd_mm.space.errors import ConfigError

SHAPES = dict(feature=((6, 2, 3), 'float32'), labels=((6, ), np.int64))
MADE_FROM = dict(teacher='abc', views=2, layers=('a', 'b'))
Usage = namedtuple('Usage', 'total used free')


class Fill:
    """Fills the arrays with numbers, and counts how often it was asked."""

    def __init__(self):
        self.calls = 0

    def __call__(self, arrays):
        self.calls += 1
        arrays['feature'][:] = np.arange(36, dtype=np.float32).reshape(6, 2, 3)
        arrays['labels'][:] = np.arange(6)


@pytest.fixture
def fill():
    return Fill()


@pytest.fixture
def warnings():
    return []


@pytest.fixture
def open_bank(tmp_path, fill, warnings):
    return lambda made_from=MADE_FROM: FeatureBank.open_or_build(
        str(tmp_path / 'bank' / 'train'), made_from, SHAPES, fill, warnings.append)


def test_written_once_and_read_by_row(open_bank, fill, warnings, tmp_path):
    open_bank()
    bank = open_bank()
    assert fill.calls == 1 and warnings == []
    assert bank.rows('feature', np.array([4, 0])).tolist() == [
        [[24, 25, 26], [27, 28, 29]], [[0, 1, 2], [3, 4, 5]]]
    labels = bank.arrays['labels']
    assert isinstance(labels, np.memmap) and not labels.flags.writeable
    assert [path.name for path in (tmp_path / 'bank').iterdir()] == ['train']
    manifest = json.loads((tmp_path / 'bank/train/manifest.json').read_text())
    assert manifest['made_from'] == dict(teacher='abc', views=2, layers=['a', 'b'])
    assert manifest['arrays']['feature']['shape'] == [6, 2, 3]


def cut(path):
    with open(str(path), 'rb+') as file:
        file.truncate(os.path.getsize(str(path)) - 1)


def flip(path):
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize('name', ['feature.npy', 'labels.npy', 'manifest.json'])
@pytest.mark.parametrize('damage', [cut, flip, os.remove], ids=['torn', 'corrupt', 'missing'])
def test_damage_is_found_and_rebuilt(open_bank, fill, warnings, tmp_path, name, damage):
    open_bank()
    path = tmp_path / 'bank' / 'train' / name
    before = path.read_bytes()
    if name == 'manifest.json' and damage is flip:
        path.write_text(path.read_text().replace('"checksum"', '"checksum'))
    else:
        damage(path)
    with pytest.raises(TornBank):
        FeatureBank(str(path.parent), MADE_FROM)
    bank = open_bank()
    assert fill.calls == 2 and len(warnings) == 1 and name in warnings[0]
    assert path.read_bytes() == before and bank.arrays['labels'][5] == 5


def test_another_ones_bank_is_refused_with_what_differs(open_bank, fill):
    open_bank()
    with pytest.raises(ConfigError) as refused:
        open_bank(dict(MADE_FROM, teacher='xyz', views=3))
    assert 'teacher: "abc" there, "xyz" here' in str(refused.value)
    assert 'views: 2 there, 3 here' in str(refused.value) and 'layers' not in str(refused.value)
    assert fill.calls == 1


@pytest.mark.parametrize('error', [RuntimeError, KeyboardInterrupt])
def test_nothing_is_left_of_an_interrupted_write(tmp_path, error):

    def fill(arrays):
        raise error

    with pytest.raises(error):
        banks.write(str(tmp_path / 'bank' / 'train'), MADE_FROM, SHAPES, fill)
    assert list((tmp_path / 'bank').iterdir()) == []


def test_small_disk_is_refused_before_anything_is_written(open_bank, fill, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: Usage(0, 0, 1 << 20))
    with pytest.raises(ConfigError, match='1 MiB are free at .*proxy.images or proxy.views'):
        open_bank()
    assert fill.calls == 0 and list((tmp_path / 'bank').iterdir()) == []


def test_disk_that_fills_up_is_an_error_and_not_the_end_of_the_process(open_bank, tmp_path,
                                                                      monkeypatch):

    def full(*args):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'posix_fallocate', full)
    with pytest.raises(OSError, match='No space left'):
        open_bank()
    assert list((tmp_path / 'bank').iterdir()) == []


def test_size():
    assert banks.size_in_bytes(SHAPES) == 6 * 2 * 3 * 4 + 6 * 8


def test_differing_descends_and_shows_where_long_values_part():
    found = dict(proxy=dict(images=640, seed=0), student='x' * 100 + 'depth=8' + 'y' * 90, a=1)
    expected = dict(proxy=dict(images=320, seed=0), student='x' * 100 + 'depth=20' + 'y' * 90, b=2)
    lines = differing(found, expected)
    assert lines[:3] == ['a: 1 there, null here', 'b: null there, 2 here',
                         'proxy.images: 640 there, 320 here']
    assert 'depth=8y' in lines[3] and 'depth=20y' in lines[3] and len(lines[3]) < 180
    assert differing(dict(a=[1, 2]), dict(a=(1, 2))) == []
