"""Read a pickle of plain data and numpy arrays without giving it the run of the machine."""
import codecs
import io
from typing import Any

import numpy as np

from autokd_mm.restricted_unpickler import of_numpy, unpickler

# Everything that numpy arrays, bytes and dicts need, under the names of Python 2 and 3 and of
# numpy 1 and 2. None of it calls back into something that the file chooses.
_Unpickler = unpickler({
    ('numpy', 'dtype'): np.dtype,
    ('numpy', 'ndarray'): np.ndarray,
    **of_numpy(dict(_reconstruct='multiarray', scalar='multiarray', _frombuffer='numeric')),
    ('_codecs', 'encode'): codecs.encode,
    ('builtins', 'bytes'): bytes,
    ('builtins', 'bytearray'): bytearray,
}, 'it asks for {name}, which is not plain data')


def loads(data: bytes) -> Any:
    """The object in ``data``; strings that Python 2 wrote are read as latin-1.

    Raises:
        ValueError: the bytes are torn, or ask for anything but plain data and numpy arrays.
    """
    try:
        return _Unpickler(io.BytesIO(data), encoding='latin1').load()
    except Exception as error:  # torn bytes raise nearly anything
        raise ValueError(f'{type(error).__name__}: {error}'.splitlines()[0]) from None
