"""Read a pickle of plain data and numpy arrays without giving it the run of the machine."""
import io
import pickle
from typing import Any

# Everything that numpy arrays, bytes and dicts need, under the names of Python 2 and 3 and of
# numpy 1 and 2. None of it calls back into something that the file chooses.
_ALLOWED = frozenset([
    ('numpy', 'dtype'),
    ('numpy', 'ndarray'),
    ('numpy.core.multiarray', '_reconstruct'),
    ('numpy._core.multiarray', '_reconstruct'),
    ('numpy.core.multiarray', 'scalar'),
    ('numpy._core.multiarray', 'scalar'),
    ('numpy.core.numeric', '_frombuffer'),
    ('numpy._core.numeric', '_frombuffer'),
    ('_codecs', 'encode'),
    ('builtins', 'bytes'),
    ('builtins', 'bytearray'),
    ('__builtin__', 'bytes'),
    ('__builtin__', 'bytearray'),
])


class _Unpickler(pickle.Unpickler):

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f'it asks for {module}.{name}, which is not plain data')
        # numpy._core exists from 2.0 on, numpy.core warns or is gone there.
        if module.startswith(('numpy.core.', 'numpy._core.')):
            import numpy
            core = 'numpy._core.' if int(numpy.__version__.split('.')[0]) > 1 else 'numpy.core.'
            module = core + module.rsplit('.', 1)[1]
        return super().find_class(module, name)


def loads(data: bytes) -> Any:
    """The object in ``data``; strings that Python 2 wrote are read as latin-1.

    Raises:
        ValueError: the bytes are torn, or ask for anything but plain data and numpy arrays.
    """
    try:
        return _Unpickler(io.BytesIO(data), encoding='latin1').load()
    except Exception as error:  # torn bytes raise nearly anything
        raise ValueError(f'{type(error).__name__}: {error}'.splitlines()[0]) from None
