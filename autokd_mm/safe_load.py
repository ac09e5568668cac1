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
from functools import partial
from types import SimpleNamespace
from typing import Any, Callable
from urllib.parse import urlparse

import numpy as np
import torch

from autokd_mm.errors import CheckpointError
from autokd_mm.restricted_unpickler import Table, of_numpy, unpickler


def _history_method(owner: Any, name: str) -> Any:
    """``getattr`` as HistoryBuffer's pickles need it, for its four statistics only."""
    from mmengine.logging import HistoryBuffer
    if owner is HistoryBuffer and name in ('min', 'max', 'mean', 'current'):
        return getattr(HistoryBuffer, name)
    raise pickle.UnpicklingError(f'attribute {name} is not allowed in a checkpoint')


def _allowed() -> Table:
    from mmengine.logging import HistoryBuffer
    table: Table = {
        ('builtins', 'set'): set, ('builtins', 'slice'): slice, ('builtins', 'dict'): dict,
        ('builtins', 'list'): list,
        ('builtins', 'getattr'): _history_method,
        ('collections', 'OrderedDict'): collections.OrderedDict,
        ('collections', 'defaultdict'): collections.defaultdict,
        ('collections', 'Counter'): collections.Counter,  # milestones of MultiStepLR
        ('_codecs', 'encode'): codecs.encode,  # how old pickles write the bytes of a scalar
        ('mmengine.logging.history_buffer', 'HistoryBuffer'): HistoryBuffer,
        ('numpy', 'ndarray'): np.ndarray, ('numpy', 'dtype'): np.dtype,
        **of_numpy(dict(_reconstruct='multiarray', scalar='multiarray')),
        ('torch._utils', '_rebuild_tensor_v2'): torch._utils._rebuild_tensor_v2,
        ('torch._utils', '_rebuild_parameter'): torch._utils._rebuild_parameter,
        ('torch.nn.parameter', 'Parameter'): torch.nn.Parameter,
    }
    for name in ('Size', 'device', 'float32', 'float64', 'float16', 'bfloat16', 'int64', 'int32'):
        table['torch', name] = getattr(torch, name)
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
        reader = unpickler(_allowed(), '{name} is not allowed in a checkpoint')
        # What torch.load asks of a module that stands for pickle.
        module = SimpleNamespace(Unpickler=reader, load=lambda f, **kw: reader(f, **kw).load(),
                                 __name__='restricted_pickle')
        return torch.load(path, map_location=map_location, weights_only=False,
                          pickle_module=module)


def use_everywhere() -> None:
    """Make MMEngine read every checkpoint of a local path or a URL through :func:`load_weights`,
    and say :class:`CheckpointError` where it cannot.

    MMEngine 0.10.7 unpickles freely; OneDL's falls back to that after a warning.
    """
    from mmengine.runner.checkpoint import CheckpointLoader
    CheckpointLoader.register_scheme(prefixes='', loader=_load_local, force=True)
    CheckpointLoader.register_scheme(prefixes=('http://', 'https://'), loader=_load_remote,
                                     force=True)
    # torchvision://, open-mmlab://, s3:// ... end in the first two, or without a network.
    for prefix, loader in list(CheckpointLoader._schemes.items()):
        if '://' in prefix and not prefix.startswith('http') and not hasattr(loader, 'plain'):
            CheckpointLoader.register_scheme(prefixes=prefix, loader=_plainly(loader), force=True)


def _plainly(loader: Callable[..., Any]) -> Callable[..., Any]:
    def load(filename: str, *how: Any, **more: Any) -> Any:
        return _in_one_line(partial(loader, **more), filename, *how)

    load.plain = loader  # type: ignore[attr-defined]
    return load


def _load_local(filename: str, map_location: Any = None) -> Any:
    return _in_one_line(load_weights, filename, map_location)


def _load_remote(filename: str, map_location: Any = None, model_dir: Any = None) -> Any:
    return _in_one_line(load_url, filename, map_location, model_dir)


def _in_one_line(load: Callable[..., Any], filename: str, *how: Any) -> Any:
    try:
        return load(filename, *how)
    except CheckpointError:
        raise
    except Exception as error:  # torn files raise nearly anything
        raise CheckpointError(f'checkpoint: {filename} cannot be read ({why(error)})') from error


def why(error: BaseException) -> str:
    """The first line of what reading a file has raised."""
    return (str(error) or type(error).__name__).splitlines()[0][:200]


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
