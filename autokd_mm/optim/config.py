"""What a config asks of the optimiser, made usable on this machine and for a distillation."""
from __future__ import annotations

import copy
import inspect
from typing import Any, Callable, Dict, Mapping

from mmengine.device import get_device
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from autokd_mm.errors import ConfigError, nearest
from autokd_mm.optim.of_student import INNER

_AMP, _ON_CPU = 'AmpOptimWrapper', 'mmrazor.CpuAmpOptimWrapper'
_DTYPES = ('float16', 'bfloat16', 'float32', 'float64')
_CLIPPING: Dict[str, Callable[..., Any]] = dict(norm=clip_grad_norm_, value=clip_grad_value_)
_PLAIN = ('DefaultOptimWrapperConstructor', 'StudentOptimWrapperConstructor')


def usable(optim_wrapper: Any, distills: bool) -> Any:
    """A copy of a config's ``optim_wrapper`` with which MMEngine can build the optimiser.

    Without a GPU mixed precision in bfloat16 is torch's autocast on the CPU. A constructor of
    another package sees the student of a distillation (see :class:`~autokd_mm.optim.of_student.
    StudentOptimWrapperConstructor`).

    Args:
        optim_wrapper: of a training's config, which stays as it is.
        distills: whether the model is a distillation, with ``architecture`` and ``distiller``.

    Raises:
        ConfigError: mixed precision that this machine does not have, or no known dtype.
    """
    result = copy.deepcopy(optim_wrapper)
    check_clipping(result.get('clip_grad'))
    constructor = result.get('constructor')
    if distills and constructor and name_of(constructor) not in _PLAIN:
        result['constructor'] = 'mmrazor.StudentOptimWrapperConstructor'
        result[INNER] = constructor
    if name_of(result.get('type')) == _AMP:
        _check_dtype(result.get('dtype'))
        if get_device() in ('cpu', 'mps'):
            _on_cpu(result)
    return result


def check_clipping(clip_grad: Any) -> None:
    """torch's functions get it with the first step.

    Raises:
        ConfigError: an argument that they do not have, or the limit is missing.
    """
    if not clip_grad:
        return
    key = 'optim_wrapper.clip_grad'
    if not isinstance(clip_grad, Mapping):
        raise ConfigError(f'{key}={clip_grad!r}: must be a dict such as dict(max_norm=35)')
    kind = clip_grad.get('type', 'norm')
    if kind not in _CLIPPING:
        raise ConfigError(f'{key}.type: {nearest(kind, _CLIPPING)}')
    names = [name for name in inspect.signature(_CLIPPING[kind]).parameters
             if name != 'parameters']
    for name in clip_grad:
        if name not in ('type', *names):
            raise ConfigError(f'{key}: {nearest(name, names)}')
    if names[0] not in clip_grad:
        raise ConfigError(f'{key}.{names[0]} is missing')


def name_of(kind: Any) -> str:
    """The last part of a ``type``, which is a string or, in new-style configs, a class."""
    return str(getattr(kind, '__name__', kind)).split('.')[-1]


def _check_dtype(dtype: Any) -> None:
    if isinstance(dtype, str) and dtype not in _DTYPES:
        raise ConfigError(f'optim_wrapper.dtype: {nearest(dtype, _DTYPES)}')


def _on_cpu(config: Any) -> None:
    dtype = str(config.pop('dtype', None) or 'float16').split('.')[-1]
    if dtype not in ('bfloat16', 'float32'):
        raise ConfigError(f"optim_wrapper.type: AmpOptimWrapper in {dtype} needs a GPU, there is "
                          "none here; dtype='bfloat16' works on a CPU, type='OptimWrapper' too")
    for key in ('loss_scale', 'use_fsdp'):  # of AmpOptimWrapper alone
        config.pop(key, None)
    config['type'] = _ON_CPU if dtype == 'bfloat16' else 'OptimWrapper'
    if dtype == 'bfloat16':
        config['dtype'] = dtype
