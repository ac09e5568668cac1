import numpy as np
import pytest

from autokd_mm.bank import Plan


def test_shards_are_some_tens_of_mebibytes():
    plan = Plan({}, dict(feature=((400_000, 64, 8, 8), 'float16'), labels=((400_000, ), np.int64)))
    assert plan.row_bytes('feature') == 8192 and plan.bytes == 400_000 * (8192 + 8)
    assert plan.rows_per_shard == 4096 and plan.shards == 98
    assert plan.span(0) == (0, 4096) and plan.span(97) == (97 * 4096, 400_000)


@pytest.mark.parametrize('shape, rows', [((10**6, 10), 8192), ((10**6, 2048, 64, 64), 1)])
def test_rows_of_a_shard_have_bounds(shape, rows):
    assert Plan({}, dict(feature=(shape, 'float32'))).rows_per_shard == rows


def test_there_and_back():
    plan = Plan(dict(a=(1, 2)), dict(feature=((10, 2), 'bfloat16')), rows_per_shard=4)
    assert Plan.from_dict(plan.to_dict()).to_dict() == plan.to_dict()
    assert plan.made_from == dict(a=[1, 2]) and plan.bytes == 40


def test_arrays_must_have_the_same_rows():
    with pytest.raises(ValueError, match='9, 10'):
        Plan({}, dict(a=((10, ), 'float32'), b=((9, ), 'float32')))


def test_ragged_array_has_its_shapes_beside_it():
    plan = Plan({}, dict(map=((1000, 256, None, None), 'float16'), labels=((1000, ), 'int64')),
                numbers=dict(map=256 * 100 * 168.))
    assert plan.ragged == ['map'] and plan.arrays['map.shape'] == ((1000, 3), 'int32')
    assert plan.row_bytes('map') == 256 * 100 * 168 * 2 and plan.rows_per_shard == 3
    assert plan.bytes == 1000 * (plan.row_bytes('map') + 12 + 8)
    again = Plan.from_dict(plan.to_dict())
    assert again.to_dict() == plan.to_dict() and again.ragged == ['map']
    fixed = Plan({}, dict(labels=((10, ), 'int64'))).to_dict()
    assert fixed['arrays'] == dict(labels=dict(shape=[10], dtype='int64'))


@pytest.mark.parametrize('rows, shards', [(0, 1), (1, 1), (4, 1), (5, 2), (8, 2)])
def test_shards(rows, shards):
    plan = Plan({}, dict(labels=((rows, ), 'int64')), rows_per_shard=4)
    assert plan.shards == shards and plan.span(shards - 1)[1] == rows
