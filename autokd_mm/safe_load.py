"""Reading checkpoints without running what they say.

``torch.load(weights_only=True)`` refuses the training checkpoints of MMEngine, because their
message hub keeps ``HistoryBuffer`` objects and NumPy scalars. What it refuses is read by an
unpickler that knows these few names, on top of tensors and plain containers, and nothing else:
the same one on every torch (2.1 cannot be told names, later ones refuse plain containers).
"""
from __future__ import annotations

import codecs
import collections
import os
import pickle
from types import SimpleNamespace
from typing import Any, Dict, Tuple
from urllib.parse import urlparse

import numpy as np
import torch

_TORCH_NAMES = {
    ('torch._utils', '_rebuild_tensor_v2'), ('torch._utils', '_rebuild_parameter'),
    ('torch', 'Size'), ('torch', 'device'), ('torch', 'float32'), ('torch', 'float64'),
    ('torch', 'float16'), ('torch', 'bfloat16'), ('torch', 'int64'), ('torch', 'int32'),
    ('torch.nn.parameter', 'Parameter'),
}
_PLAIN = {('collections', 'OrderedDict'): collections.OrderedDict,
          ('collections', 'defaultdict'): collections.defaultdict,
          ('builtins', 'set'): set, ('builtins', 'slice'): slice, ('builtins', 'dict'): dict,
          ('builtins', 'list'): list,
          ('_codecs', 'encode'): codecs.encode}  # how old pickles write the bytes of a scalar


def _history_method(owner: Any, name: str) -> Any:
    """``getattr`` as HistoryBuffer's pickles need it, for its four statistics only."""
    from mmengine.logging import HistoryBuffer
    if owner is HistoryBuffer and name in ('min', 'max', 'mean', 'current'):
        return getattr(HistoryBuffer, name)
    raise pickle.UnpicklingError(f'attribute {name} is not allowed in a checkpoint')


def _allowed() -> Dict[Tuple[str, str], Any]:
    from mmengine.logging import HistoryBuffer
    core = np._core if np.lib.NumpyVersion(np.__version__) >= '2.0.0' else np.core
    table: Dict[Tuple[str, str], Any] = {
        ('builtins', 'getattr'): _history_method,
        ('mmengine.logging.history_buffer', 'HistoryBuffer'): HistoryBuffer,
        ('numpy', 'ndarray'): np.ndarray,
        ('numpy', 'dtype'): np.dtype,
    }
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        table[module, '_reconstruct'] = core.multiarray._reconstruct
        table[module, 'scalar'] = core.multiarray.scalar
    for kind in (np.uint8, np.uint32, np.int32, np.int64, np.float32, np.float64, np.bool_):
        name = type(np.dtype(kind)).__name__
        table['numpy.dtypes', name] = type(np.dtype(kind))
    return table


def load_weights(path: str, map_location: Any = 'cpu') -> Any:
    """``torch.load`` of a local file that runs nothing of it.

    Raises:
        FileNotFoundError: there is no such file.
        pickle.UnpicklingError: it holds more than tensors, plain containers and MMEngine's logs.
        RuntimeError, EOFError, OSError: it is torn.
    """
    path = os.path.expanduser(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f'{path} can not be found.')
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError:
        return torch.load(path, map_location=map_location, weights_only=False,
                          pickle_module=_restricted_pickle(_allowed()))


def _restricted_pickle(table: Dict[Tuple[str, str], Any]) -> Any:

    class Unpickler(pickle.Unpickler):

        def find_class(self, module: str, name: str) -> Any:
            module = 'builtins' if module == '__builtin__' else module  # as protocol 2 has it
            if (module, name) in table:
                return table[module, name]
            if (module, name) in _PLAIN:
                return _PLAIN[module, name]
            if (module, name) in _TORCH_NAMES:
                return super().find_class(module, name)
            raise pickle.UnpicklingError(f'{module}.{name} is not allowed in a checkpoint')

    return SimpleNamespace(Unpickler=Unpickler, load=lambda f, **kw: Unpickler(f, **kw).load(),
                           __name__='restricted_pickle')


def use_everywhere() -> None:
    """Make MMEngine read every checkpoint of a local path or a URL through :func:`load_weights`.

    MMEngine 0.10.7 unpickles freely; OneDL's falls back to that after a warning.
    """
    from mmengine.runner.checkpoint import CheckpointLoader
    CheckpointLoader.register_scheme(prefixes='', loader=_load_local, force=True)
    CheckpointLoader.register_scheme(prefixes=('http://', 'https://'), loader=load_url, force=True)


def _load_local(filename: str, map_location: Any = None) -> Any:
    return load_weights(filename, map_location)


def load_url(filename: str, map_location: Any = 'cpu', model_dir: Any = None) -> Any:
    """Download once, into the folder where torch keeps its checkpoints (rank 0 goes first), and
    read as :func:`load_weights` does."""
    from mmengine.dist import barrier, get_rank
    folder = model_dir or os.path.join(torch.hub.get_dir(), 'checkpoints')
    path = os.path.join(folder, os.path.basename(urlparse(filename).path))
    if get_rank() == 0 and not os.path.isfile(path):
        os.makedirs(folder, exist_ok=True)
        torch.hub.download_url_to_file(filename, path)
    barrier()
    return load_weights(path, map_location)
