from types import SimpleNamespace

import numpy as np
import pytest

from autokd_mm.bank import FeatureBank, Plan, TeacherRecords
from autokd_mm.bank.records import KIND, keys_of, read_made_from, sources_of, where_from
from autokd_mm.errors import ConfigError


@pytest.fixture
def records(tmp_path):
    """Of 5 samples in 2 views; each number says its row and place."""
    arrays = {'fc': ((10, 2), 'float16'), 'neck[0]': ((10, ), 'float32'),
              'neck[1]': ((10, ), 'float32')}
    plan = Plan(dict(kind=KIND, data=dict(samples=5, views=2, seed=3)), arrays, rows_per_shard=4)

    def make(start, stop):
        rows = np.arange(start, stop)
        return {'fc': np.stack([rows, -rows], 1), 'neck[0]': rows, 'neck[1]': rows + 100}

    FeatureBank.open_or_build(str(tmp_path / 'bank'), plan, make, pytest.fail)
    return TeacherRecords(str(tmp_path / 'bank'))


def test_read_by_sample_and_view(records):
    assert (records.samples, records.views, records.seed) == (5, 2, 3)
    assert records.read('fc', [4, 0, 2], [1, 0, 1]).tolist() == [[9, -9], [0, 0], [7, -7]]
    assert isinstance(records.read('neck', [0], [0]), tuple)
    one, other = records.read('neck', [4, 0], [1, 1])
    assert one.tolist() == [9, 5] and other.tolist() == [109, 105]


def test_modules_in_the_bank(records):
    assert records.sources == dict(fc=None, neck=2)
    assert records.find('neck', 'key') == 2 and records.find('fc', 'key') is None
    with pytest.raises(ConfigError, match="^layers.teacher: 'nekc' .* mean 'neck'"):
        records.find('nekc', 'layers.teacher')


def test_sources_of():
    assert sources_of(['a.b', 'c[0]', 'c[1]', 'c[2]', 'd[0]']) == {'a.b': None, 'c': 3, 'd': 1}
    assert keys_of('c', 3) == ['c[0]', 'c[1]', 'c[2]'] and keys_of('a.b', None) == ['a.b']


def test_which_folder_holds_no_bank_of_a_teacher(records, tmp_path):
    assert read_made_from(records.path, 'key')['kind'] == KIND
    with pytest.raises(ConfigError, match='^--bank: .*/none holds no finished bank .*manifest'):
        read_made_from(str(tmp_path / 'none'), '--bank')
    plan = Plan(dict(proxy=1), dict(labels=((2, ), 'int64')))
    FeatureBank.open_or_build(str(tmp_path / 'search'), plan,
                              lambda start, stop: dict(labels=[1, 2]), pytest.fail)
    with pytest.raises(ConfigError, match='^--bank: .*/search is the bank of a search'):
        TeacherRecords(str(tmp_path / 'search'), '--bank')


def test_a_torn_bank_names_the_shard_and_who_writes_it_again(records, tmp_path):
    (tmp_path / 'bank' / 'fc.00001.npy').unlink()
    with pytest.raises(ConfigError, match='^model.bank.path: torn or changed: .*fc.00001.npy; '
                                          'tools/cache_teacher.py and tools/train.py'):
        TeacherRecords(records.path)


def test_where_a_batch_is_from():
    seeded = [SimpleNamespace(view_sample=sample, view=view, view_seed=7)
              for sample, view in ((4, 1), (0, 0))]
    assert where_from(seeded) == ([4, 0], [1, 0], 7)
    assert where_from(seeded + [SimpleNamespace()]) is None
    assert where_from([]) is None and where_from(None) is None
