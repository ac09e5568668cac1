"""Rows across shards, and bfloat16 in NumPy."""
import numpy as np
import pytest
import torch

from autokd_mm.bank.arrays import (RaggedArray, ShardedArray, decode, encode, open_array, starts,
                                   stored_dtype)


@pytest.fixture
def pair():
    """An array, and the same in shards of 4, 4 and 2 rows."""
    whole = np.random.default_rng(0).normal(size=(10, 2, 3)).astype(np.float32)
    return whole, ShardedArray([whole[:4], whole[4:8], whole[8:]], 4, 'float32')


@pytest.mark.parametrize('rows', [[3], [0, 9, 4, 4], [5, 6], [], list(range(10))])
def test_rows_across_shards(pair, rows):
    whole, sharded = pair
    assert np.array_equal(sharded.rows(rows), whole[np.array(rows, dtype=int)])


@pytest.mark.parametrize('key', [
    3, -1, slice(2, 9, 3), slice(None), (slice(None), 1), (2, 0), (slice(0, 5), slice(None), 2),
    np.array([-2, 0]), np.arange(10) % 3 == 0])
def test_it_is_indexed_as_an_array(pair, key):
    whole, sharded = pair
    assert np.array_equal(sharded[key], whole[key]) and sharded[key].shape == whole[key].shape
    assert len(sharded) == 10 and sharded.shape == whole.shape and sharded.dtype == np.float32
    assert np.array_equal(np.asarray(sharded), whole)
    assert np.asarray(sharded, dtype=np.float64).dtype == np.float64


@pytest.mark.parametrize('row', [10, -1])
def test_rows_that_are_not_there(pair, row):
    with pytest.raises(IndexError, match='of 10'):
        pair[1].rows([0, row])


def test_rows_are_copies(pair):
    rows = pair[1].rows([1, 2])
    rows[:] = 0
    assert (pair[0] != 0).all()


def test_bfloat16_is_rounded_as_torch_does():
    generator = torch.Generator().manual_seed(0)
    values = torch.cat([torch.randn(5000, generator=generator) * 10 ** torch.randint(
        -30, 30, (5000, ), generator=generator).float(), torch.tensor(
            [0., -0., 1.00390625, 1.01171875, 3.4e38, -3.4e38, float('inf'), -float('inf')])])
    stored = encode(values.numpy(), 'bfloat16')
    assert stored.dtype == stored_dtype('bfloat16') == np.uint16
    back = decode(stored, 'bfloat16')
    assert back.dtype == np.float32
    assert np.array_equal(back, values.bfloat16().float().numpy())
    assert np.isnan(decode(encode(np.array([np.nan, -np.nan]), 'bfloat16'), 'bfloat16')).all()


@pytest.mark.parametrize('dtype, rel', [('float32', 0), ('float16', 2**-11), ('bfloat16', 2**-8)])
def test_what_comes_back(dtype, rel):
    values = np.random.default_rng(0).uniform(0.5, 2, size=(9, 3)).astype(np.float32)
    stored = encode(values, dtype)
    array = ShardedArray([stored[:5], stored[5:]], 5, dtype)
    back = array.rows(np.arange(9))
    assert back.dtype == array.dtype == (np.float16 if dtype == 'float16' else np.float32)
    assert (np.abs(back - values) <= rel * values).all()
    assert (rel == 0) == np.array_equal(back, values)


@pytest.fixture
def ragged(tmp_path):
    """Rows of 0 to 40,000 boxes, and the same in shards of 3, 3 and 1 rows."""
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=(count, 4)).astype(np.float32)
            for count in (2, 0, 1, 40_000, 0, 3, 1)]
    shards = [rows[start:start + 3] for start in (0, 3, 6)]
    files = [str(tmp_path / f'{number}.npy') for number in range(3)]
    for file, shard in zip(files, shards):
        np.save(file, np.concatenate([row.reshape(-1) for row in shard]))
    shapes = [np.array([row.shape for row in shard], np.int32) for shard in shards]
    return rows, RaggedArray(files, shapes, 3, 'float32')


@pytest.mark.parametrize('numbers', [[3], [6, 1, 1], [], list(range(7))])
def test_rows_of_different_shape(ragged, numbers):
    rows, array = ragged
    found = array.rows(numbers)
    assert len(found) == len(numbers) and len(array) == 7 and array.dtype == np.float32
    for row, number in zip(found, numbers):
        assert np.array_equal(row, rows[number]) and row.shape == rows[number].shape
    assert array.shapes.tolist() == [list(row.shape) for row in rows]
    with pytest.raises(IndexError, match='of 7'):
        array.rows([7])


def test_rows_of_different_shape_are_copies(ragged):
    rows, array = ragged
    array.rows([0])[0][:] = 0
    assert np.array_equal(array.rows([0])[0], rows[0]) and rows[0].any()


@pytest.mark.parametrize('numbers, mapped', [(10, False), (1 << 16, True)])
def test_large_files_are_mapped_and_small_ones_read(tmp_path, numbers, mapped):
    np.save(str(tmp_path / 'file.npy'), np.arange(numbers, dtype=np.uint8))
    array = open_array(str(tmp_path / 'file.npy'))
    assert array[-1] == (numbers - 1) % 256 and isinstance(array.base, np.memmap) == mapped


def test_where_rows_start():
    assert starts(np.array([[2, 3], [0, 5], [1, 4]], np.int32)).tolist() == [0, 6, 6, 10]
    # more numbers in a shard than 32 bits can count
    assert starts(np.array([[1 << 16, 1 << 16]] * 2, np.int32)).tolist() == [0, 1 << 32, 1 << 33]


def test_a_number_too_large_for_its_format_is_infinite():
    import warnings
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert encode(np.array([1e6, -1e6]), 'float16').tolist() == [np.inf, -np.inf]
