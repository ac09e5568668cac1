"""The bank on disk: complete or not there, sound or mended, and never another one's."""
import json
import os

import numpy as np
import pytest

from autokd_mm.bank import FeatureBank, TornBank
from autokd_mm.space.errors import ConfigError


def test_written_once_and_read_by_row(open_bank, make, warnings, path):
    open_bank()
    bank = open_bank()
    assert make.spans == [(0, 4), (4, 8), (8, 10)] and warnings == []
    assert bank.rows('feature', np.array([9, 0])).tolist() == [
        [[54, 55, 56], [57, 58, 59]], [[0, 1, 2], [3, 4, 5]]]
    assert np.array_equal(bank.arrays['labels'], np.arange(10)) and bank.path == str(path)
    assert sorted(file.name for file in path.iterdir()) == sorted(
        [f'{name}.0000{shard}.npy' for name in ('feature', 'labels') for shard in range(3)]
        + ['manifest.json'])
    manifest = json.loads((path / 'manifest.json').read_text())
    assert manifest['made_from'] == dict(teacher='abc', views=2, layers=['a', 'b'])
    assert manifest['arrays']['feature']['shape'] == [10, 2, 3] and manifest['rows'] == 10
    assert {'autokd_mm', 'torch', 'mmcv', 'mmengine'} <= set(manifest['versions'])


def test_shards_are_plain_numpy_files(open_bank, path):
    open_bank()
    assert np.load(str(path / 'labels.00002.npy')).tolist() == [8, 9]
    assert np.load(str(path / 'feature.00000.npy')).shape == (4, 2, 3)


@pytest.mark.parametrize('dtype', ['float16', 'bfloat16'])
def test_half_as_long_numbers(open_bank, path, dtype):
    bank = open_bank(dtype=dtype)
    assert np.array_equal(np.asarray(bank.arrays['feature'][3:5]), np.arange(
        18., 30).reshape(2, 2, 3))
    shard = np.load(str(path / 'feature.00001.npy'))
    assert shard.dtype == (np.uint16 if dtype == 'bfloat16' else np.float16)
    manifest = json.loads((path / 'manifest.json').read_text())
    assert manifest['arrays']['feature']['dtype'] == dtype


def cut(path):
    with open(str(path), 'rb+') as file:
        file.truncate(os.path.getsize(str(path)) - 1)


def flip(path):
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(bytes(data))


DAMAGE = pytest.mark.parametrize('damage', [cut, flip, os.remove],
                                 ids=['torn', 'corrupt', 'missing'])


@DAMAGE
@pytest.mark.parametrize('name, span', [('feature.00001.npy', (4, 8)),
                                        ('labels.00002.npy', (8, 10))])
def test_damage_is_found_and_only_that_shard_is_made_again(open_bank, make, warnings, path, name,
                                                           span, damage):
    open_bank()
    before = {file.name: (file.read_bytes(), os.stat(str(file)).st_ino) for file in path.iterdir()}
    damage(path / name)
    make.spans.clear()
    with pytest.raises(TornBank, match=name):
        FeatureBank(str(path))
    bank = open_bank()
    assert make.spans == [span] and len(warnings) == 1 and name in warnings[0]
    for file in path.iterdir():
        content, inode = before[file.name]
        assert file.read_bytes() == content
        assert file.name in (name, 'manifest.json') or os.stat(str(file)).st_ino == inode
    assert bank.arrays['labels'][9] == 9
    open_bank()
    assert len(warnings) == 1


@DAMAGE
def test_bank_without_its_manifest_is_made_again(open_bank, make, warnings, path, damage):
    open_bank()
    damage(path / 'manifest.json')
    bank = open_bank()
    assert len(make.spans) == 6 and len(warnings) == 1 and 'manifest.json' in warnings[0]
    assert bank.arrays['labels'][5] == 5


@pytest.mark.parametrize('damaged', [False, True])
def test_folder_with_other_files_is_left_alone(open_bank, path, make, damaged):
    if damaged:
        open_bank()
        cut(path / 'manifest.json')
    (path / 'thesis').mkdir(parents=True)
    (path / 'thesis' / 'chapter1.tex').write_text('')
    with pytest.raises(ConfigError, match='is not a folder for a bank: it holds thesis'):
        open_bank()
    assert (path / 'thesis' / 'chapter1.tex').exists() and len(make.spans) == 3 * damaged


def test_empty_folder_is_filled(open_bank, path, warnings):
    path.mkdir(parents=True)
    assert len(open_bank().arrays['labels']) == 10 and warnings == []


def test_changed_manifest_is_noticed(open_bank, path):
    """A number in it that is still JSON."""
    open_bank()
    file = path / 'manifest.json'
    file.write_text(file.read_text().replace('"views": 2', '"views": 3'))
    with pytest.raises(TornBank, match='manifest.json'):
        FeatureBank(str(path))


def test_several_damaged_shards_are_counted(open_bank, path):
    open_bank()
    for file in path.glob('*.npy'):
        flip(file)
    with pytest.raises(TornBank, match='feature.00000.npy, .* and 3 more'):
        FeatureBank(str(path))


def test_damage_that_comes_back_ends_with_an_error(open_bank, path, monkeypatch):
    from autokd_mm.bank import feature_bank
    monkeypatch.setattr(feature_bank, 'checksum', lambda file: 'another')
    with pytest.raises(OSError, match='torn again'):
        open_bank()


def test_another_ones_bank_is_refused_with_what_differs(open_bank, make):
    open_bank()
    with pytest.raises(ConfigError) as refused:
        open_bank(dict(teacher='xyz', views=3, layers=['a', 'b']))
    assert 'teacher: "abc" there, "xyz" here' in str(refused.value)
    assert 'views: 2 there, 3 here' in str(refused.value) and 'layers' not in str(refused.value)
    assert len(make.spans) == 3


def test_bank_of_another_layout_is_refused(open_bank, path):
    """Of the time before shards."""
    path.mkdir(parents=True)
    (path / 'manifest.json').write_text(json.dumps(dict(made_from={}, arrays={})))
    with pytest.raises(ConfigError, match='layout 1 there, 2 here'):
        open_bank()


def test_other_versions_inform_and_do_not_refuse(open_bank, warnings, monkeypatch, make):
    from autokd_mm.bank import manifest
    open_bank()
    monkeypatch.setattr(manifest, '__version__', '99.1')
    bank = open_bank()
    assert len(warnings) == 1 and '"99.1" here' in warnings[0] and 'autokd_mm' in bank.news
    assert len(make.spans) == 3
