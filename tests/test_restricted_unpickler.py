"""One class, and each caller's own table: what one allows is refused by the other."""
import io
import pickle

import numpy as np
import pytest

from autokd_mm.datasets import restricted_pickle
from autokd_mm.restricted_unpickler import RestrictedUnpickler, of_numpy, unpickler
from autokd_mm.safe_load import _allowed

CHECKPOINTS = _allowed()
IMAGES = restricted_pickle._Unpickler.table
NUMPY = [('numpy', 'ndarray'), ('numpy', 'dtype'), ('_codecs', 'encode')] + [
    (f'numpy.{core}.multiarray', name) for core in ('core', '_core')
    for name in ('_reconstruct', 'scalar')]


def named(module, name):
    """A pickle that names one thing and does nothing else."""
    return f'c{module}\n{name}\n.'.encode()


def test_the_tables_are_no_longer_than_they_were():
    assert set(IMAGES) == {
        *NUMPY, ('numpy.core.numeric', '_frombuffer'), ('numpy._core.numeric', '_frombuffer'),
        ('builtins', 'bytes'), ('builtins', 'bytearray')}
    own = set(CHECKPOINTS) - set(NUMPY)
    assert {key for key in own if key[0] not in ('torch', 'numpy.dtypes')} == {
        ('builtins', name) for name in ('set', 'slice', 'dict', 'list', 'getattr')} | {
        ('collections', 'OrderedDict'), ('collections', 'defaultdict'), ('collections', 'Counter'),
        ('mmengine.logging.history_buffer', 'HistoryBuffer'),
        ('torch._utils', '_rebuild_tensor_v2'), ('torch._utils', '_rebuild_parameter'),
        ('torch.nn.parameter', 'Parameter')}
    assert {key[1] for key in own if key[0] == 'torch'} == {
        'Size', 'device', 'float32', 'float64', 'float16', 'bfloat16', 'int64', 'int32'}
    assert len([key for key in own if key[0] == 'numpy.dtypes']) == 7
    assert CHECKPOINTS['builtins', 'getattr'] is not getattr


@pytest.mark.parametrize('key', sorted(set(CHECKPOINTS) - set(IMAGES)))
def test_images_do_not_get_what_checkpoints_do(key):
    with pytest.raises(ValueError, match='asks for .*, which is not plain data'):
        restricted_pickle.loads(named(*key))


@pytest.mark.parametrize('key', sorted(set(IMAGES) - set(CHECKPOINTS)))
def test_checkpoints_do_not_get_what_images_do(key):
    reader = unpickler(CHECKPOINTS, '{name} is not allowed in a checkpoint')
    with pytest.raises(pickle.UnpicklingError, match='is not allowed in a checkpoint'):
        reader(io.BytesIO(named(*key))).load()


def test_names_of_python_2():
    reader = unpickler({('builtins', 'set'): frozenset}, '{name}?')
    assert reader(io.BytesIO(named('__builtin__', 'set'))).load() is frozenset
    for name in ('eval', 'set.__class__'):
        with pytest.raises(pickle.UnpicklingError, match=rf'builtins.{name}\?'):
            reader(io.BytesIO(named('__builtin__', name))).load()


def test_a_class_without_a_table_refuses_all_and_tables_are_apart():
    with pytest.raises(pickle.UnpicklingError, match='builtins.list is not allowed'):
        RestrictedUnpickler(io.BytesIO(named('builtins', 'list'))).load()
    table = {('builtins', 'list'): list}
    reader = unpickler(table, '{name}')
    table['builtins', 'eval'] = eval
    assert set(reader.table) == {('builtins', 'list')} and not RestrictedUnpickler.table


def test_nothing_is_imported(tmp_path, monkeypatch):
    (tmp_path / 'module_that_runs.py').write_text(f'open({str(tmp_path / "ran")!r}, "w")')
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(pickle.UnpicklingError):
        unpickler({}, '{name}')(io.BytesIO(named('module_that_runs', 'x'))).load()
    assert not (tmp_path / 'ran').exists()


def test_both_names_of_numpys_modules():
    found = of_numpy(dict(_reconstruct='multiarray'))
    assert set(found) == {('numpy.core.multiarray', '_reconstruct'),
                          ('numpy._core.multiarray', '_reconstruct')}
    assert len({id(value) for value in found.values()}) == 1
    assert callable(found['numpy.core.multiarray', '_reconstruct'])
    assert np.array_equal(restricted_pickle.loads(pickle.dumps(np.arange(3))), [0, 1, 2])
