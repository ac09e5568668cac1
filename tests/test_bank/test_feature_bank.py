"""The bank on disk: complete or not there, sound or mended, and never another one's."""
import json
import os

import numpy as np
import pytest

from autokd_mm.bank import FeatureBank, Plan, TornBank
from autokd_mm.errors import ConfigError


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


def test_a_file_is_no_place_for_a_bank(open_bank, path, make):
    path.parent.mkdir()
    path.write_text('thesis')
    with pytest.raises(ConfigError, match='is a file, and a bank is a folder'):
        open_bank()
    assert not make.spans and path.read_text() == 'thesis'


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
    from autokd_mm.bank import damage
    monkeypatch.setattr(damage, 'checksum', lambda file: 'another')
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


class MakeRagged:
    """Row i: a map of 2 x (i + 1) x 3, and i % 3 boxes."""

    def __init__(self):
        self.spans = []

    def __call__(self, start, stop):
        self.spans.append((start, stop))
        return dict(map=[np.arange(6. * (row + 1)).reshape(2, row + 1, 3) - row
                         for row in range(start, stop)],
                    boxes=[np.full((row % 3, 4), row) for row in range(start, stop)],
                    labels=np.arange(start, stop))


@pytest.fixture
def ragged(path, warnings):
    """``open()`` of a bank in shards of 4, 4 and 2 rows, ``make`` of its rows."""
    make = MakeRagged()

    def open_ragged(dtype='float32'):
        plan = Plan(dict(teacher='abc'), dict(
            map=((10, 2, None, 3), dtype), boxes=((10, None, 4), 'float32'),
            labels=((10, ), 'int64')), 4, dict(map=33, boxes=4))
        return FeatureBank.open_or_build(str(path), plan, make, warnings.append)

    open_ragged.make = make
    return open_ragged


@pytest.mark.parametrize('dtype', ['float32', 'float16', 'bfloat16'])
def test_rows_of_different_shape(ragged, path, dtype):
    ragged(dtype)
    bank = ragged(dtype)
    assert ragged.make.spans == [(0, 4), (4, 8), (8, 10)]
    for row, found in zip((9, 0, 5), bank.rows('map', np.array([9, 0, 5]))):
        expected = ragged.make(row, row + 1)['map'][0]
        assert found.shape == expected.shape and np.array_equal(found, expected)
        assert found.dtype == (np.float16 if dtype == 'float16' else np.float32)
    assert [part.tolist() for part in bank.rows('boxes', np.array([3, 1, 8]))] == [
        [], [[1] * 4], [[8] * 4] * 2]
    assert np.load(str(path / 'map.shape.00001.npy')).tolist() == [[2, i + 1, 3]
                                                                   for i in range(4, 8)]
    assert np.load(str(path / 'map.00002.npy')).shape == (6 * 9 + 6 * 10, )
    assert bank.ragged('boxes').shapes.tolist() == [[row % 3, 4] for row in range(10)]
    with pytest.raises(TypeError, match='the rows of labels have one shape'):
        bank.ragged('labels')


def test_shard_in_which_no_row_has_anything(path):
    plan = Plan({}, dict(boxes=((3, None, 4), 'float32')), 2, dict(boxes=0))
    made = [np.zeros((0, 4)), np.zeros((0, 4)), np.ones((1, 4))]
    bank = FeatureBank.open_or_build(str(path), plan, lambda *span: dict(boxes=made[slice(*span)]),
                                     pytest.fail)
    assert [part.shape for part in bank.rows('boxes', np.arange(3))] == [(0, 4), (0, 4), (1, 4)]


@DAMAGE
@pytest.mark.parametrize('name, span', [('map.00001.npy', (4, 8)),
                                        ('boxes.shape.00002.npy', (8, 10))])
def test_damage_of_a_ragged_array(ragged, path, warnings, name, span, damage):
    ragged()
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    damage(path / name)
    ragged.make.spans.clear()
    with pytest.raises(TornBank, match=name):
        FeatureBank(str(path))
    bank = ragged()
    assert ragged.make.spans == [span] and len(warnings) == 1 and name in warnings[0]
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before
    assert bank.rows('map', np.array([7]))[0].shape == (2, 8, 3)


@pytest.mark.parametrize('name', ['map.00001.npy', 'map.shape.00001.npy'])
def test_numbers_that_do_not_fit_their_shapes_are_torn(ragged, path, name):
    """Though each file has the checksum that the manifest says."""
    from autokd_mm.bank.files import checksum
    from autokd_mm.bank.manifest import read_manifest, write_manifest
    bank = ragged()
    there = np.load(str(path / name))
    np.save(str(path / name), there[:-1] if there.ndim == 1 else there - [0, 1, 0])
    manifest = read_manifest(str(path))
    checksums = {key: entry['checksums'] for key, entry in manifest['arrays'].items()}
    array = name[:-len('.00001.npy')]
    checksums[array][1] = checksum(str(path / name))
    write_manifest(str(path), bank.plan, checksums, {})
    with pytest.raises(TornBank, match=r'map.00001.npy, .*map.shape.00001.npy'):
        FeatureBank(str(path))
    ragged.make.spans.clear()
    assert ragged_mended(path, ragged.make).rows('map', np.array([4]))[0].shape == (2, 5, 3)
    assert ragged.make.spans == [(4, 8)] and np.array_equal(np.load(str(path / name)), there)


def ragged_mended(path, make):
    from autokd_mm.bank.writing import mend
    mend(str(path), make)
    return FeatureBank(str(path))
