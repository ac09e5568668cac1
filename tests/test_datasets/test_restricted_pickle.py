import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from autokd_mm.datasets.restricted_pickle import loads


@pytest.mark.parametrize('protocol', range(6 if sys.version_info >= (3, 8) else 5))
def test_plain_data_and_arrays_pass(protocol):
    data = np.arange(12, dtype=np.uint8).reshape(3, 4)
    batch = dict(data=data, labels=[1, 2, 3], name=b'test batch', extra=(None, 1.5, 'text'),
                 one=np.int64(7))
    read = loads(pickle.dumps(batch, protocol))
    assert np.array_equal(read['data'], data) and read['data'].dtype == np.uint8
    assert read['one'] == 7
    assert {key: read[key] for key in ('labels', 'name', 'extra')} == {
        key: batch[key] for key in ('labels', 'name', 'extra')}


def test_python_2_pickle_of_numpy_1():
    """As the published files: protocol 2, str data, numpy.core, strings as latin-1."""
    array = (b'cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85'
             b'U\x01b\x87Rq\x03(K\x01K\x02K\x02\x86cnumpy\ndtype\nq\x04U\x02u1K\x00K\x01\x87R'
             b'(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x04\x00\x01\xfe\xfftb')
    read = loads(b'\x80\x02}(U\x04data' + array + b'U\x06labels](K\x03K\x04eu.')
    assert read['data'].tolist() == [[0, 1], [254, 255]]
    assert read['labels'] == [3, 4]


class Call:

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


@pytest.mark.parametrize('function, args', [
    (os.system, ('touch EVIL', )), (eval, ('open("EVIL", "w")', )), (exec, ('1', )),
    (getattr, (os, 'system')), (__import__, ('os', )), (np.load, ('EVIL', )),
    (Path, ('EVIL', ))])
def test_calls_are_refused_and_not_made(function, args, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match='which is not plain data'):
        try:
            evil = pickle.dumps(dict(data=Call(function, *args)))
        except Exception:  # a module cannot be pickled; the name is refused all the same
            evil = b'\x80\x02cbuiltins\ngetattr\n.'
        loads(evil)
    assert list(tmp_path.iterdir()) == []


def test_dotted_names_do_not_reach_further():
    evil = b'\x80\x04\x8c\x05numpy\x8c\x10ndarray.__init__\x93.'
    with pytest.raises(ValueError, match='numpy.ndarray.__init__, which is not plain data'):
        loads(evil)


@pytest.mark.parametrize('torn', [b'', b'no pickle at all', pickle.dumps(list(range(99)))[:-9]])
def test_torn_bytes_are_one_line(torn):
    with pytest.raises(ValueError) as raised:
        loads(torn)
    assert '\n' not in str(raised.value)
