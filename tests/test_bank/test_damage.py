"""Files that have their checksums and are not what the plan says."""
import numpy as np
import pytest

from autokd_mm.bank import FeatureBank, Plan
from autokd_mm.bank.damage import damaged
from autokd_mm.bank.files import checksum
from autokd_mm.bank.manifest import read_manifest


@pytest.mark.parametrize('change', [
    lambda array: array.astype(np.float64), lambda array: array.astype(np.float16),
    lambda array: array[:-1], lambda array: array[:, :, :2], lambda array: array.reshape(-1),
    lambda array: array.swapaxes(1, 2)])
def test_a_file_of_another_shape_or_format(open_bank, path, change):
    open_bank()
    file = str(path / 'feature.00001.npy')
    np.save(file, change(np.load(file)))
    manifest = read_manifest(str(path))
    assert damaged(str(path), manifest) == [('feature', 1)]
    manifest['arrays']['feature']['checksums'][1] = checksum(file)
    assert damaged(str(path), manifest) == [('feature', 1)]


def test_a_sound_bank(open_bank, path):
    open_bank()
    assert damaged(str(path), read_manifest(str(path))) == []


@pytest.mark.parametrize('shapes', [[[2], [-1], [2]], [[2, 1], [1, 1], [0, 1]], [[2], [1]],
                                    [[2], [1], [1]]])
def test_shapes_of_rows_that_cannot_be(path, shapes):
    """Rows of 2, 1 and 0 numbers."""
    plan = Plan({}, dict(row=((3, None), 'float32')), 3, dict(row=1))
    FeatureBank.open_or_build(str(path), plan, lambda start, stop: dict(
        row=[np.ones(count) for count in (2, 1, 0)]), pytest.fail)
    file = str(path / 'row.shape.00000.npy')
    assert np.load(file).tolist() == [[2], [1], [0]]
    np.save(file, np.array(shapes, np.int32))
    manifest = read_manifest(str(path))
    manifest['arrays']['row.shape']['checksums'][0] = checksum(file)
    assert set(damaged(str(path), manifest)) == {('row', 0), ('row.shape', 0)}
