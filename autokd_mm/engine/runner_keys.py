"""Keys that MMEngine's Runner reads of every config: a value of another kind would end deep inside
it, in words about Python."""
from __future__ import annotations

import logging
import math
import numbers
from multiprocessing import get_all_start_methods
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from mmengine.config import Config

from autokd_mm.errors import ConfigError, nearest

_LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')


def _is_dict(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _is_seed(value: Any) -> bool:
    # NumPy's generators take 32 bits.
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and \
        0 <= int(value) < 2 ** 32


def _is_rate(value: Any) -> bool:
    # A tensor is what `capturable` optimizers take.
    return not isinstance(value, (str, bool, list, tuple, dict)) and \
        (not isinstance(value, (int, float)) or (math.isfinite(value) and value >= 0))


_DICT = (_is_dict, 'a dict')
_SWITCH = (lambda value: isinstance(value, bool), 'True or False')
_EVALUATOR = (lambda value: not isinstance(value, (str, bool, numbers.Number)),
              'the config of a metric, or a list of them')
# These the Runner asks without a look whether they are there.
_NEEDED = ('env_cfg', 'randomness')
# What a key must be where it stands and is not None.
_KINDS: Dict[str, Tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(('env_cfg', 'env_cfg.dist_cfg', 'env_cfg.mp_cfg', 'randomness', 'default_hooks',
                     'optim_wrapper', 'optim_wrapper.optimizer', 'train_dataloader',
                     'val_dataloader', 'test_dataloader', 'train_dataloader.sampler',
                     'val_dataloader.sampler', 'test_dataloader.sampler', 'train_cfg', 'model'),
                    _DICT),
    'randomness.seed': (_is_seed, 'a whole number from 0 to 4294967295, or None'),
    'randomness.deterministic': _SWITCH,
    'randomness.diff_rank_seed': _SWITCH,
    'resume': _SWITCH,
    'custom_hooks': (_is_list, 'a list of hooks'),
    'default_scope': (lambda value: isinstance(value, str), "a package's scope, such as 'mmdet'"),
    'val_evaluator': _EVALUATOR,
    'test_evaluator': _EVALUATOR,
    'optim_wrapper.optimizer.lr': (_is_rate, 'a number, at least 0'),
}


def check_runner_keys(config: Config) -> None:
    """
    Raises:
        ConfigError: names the first key whose value is of another kind than the Runner takes.
    """
    for key, (right, words) in _KINDS.items():
        value = _found(config, key)
        if value is None and key in _NEEDED and key in config or \
                value is not None and not right(value):
            raise ConfigError(f'{key}={value!r}: must be {words}')
    level = config.get('log_level')
    if isinstance(level, str):
        names = [logging.getLevelName(number) for number in range(10, 60, 10)]
        if level not in names:
            raise ConfigError(f'log_level: {nearest(level, names)}')
    method = _found(config, 'env_cfg.mp_cfg.mp_start_method')
    if method is not None and method not in get_all_start_methods():
        raise ConfigError('env_cfg.mp_cfg.mp_start_method: '
                          f'{nearest(method, get_all_start_methods())}')
    launcher = config.get('launcher')
    if launcher is not None and launcher not in _LAUNCHERS:
        raise ConfigError(f'launcher: {nearest(launcher, _LAUNCHERS)}')


def _found(config: Config, key: str) -> Optional[Any]:
    """The value below dicts; ``None`` where one of them is something else, or nothing."""
    value: Any = config
    for name in key.split('.'):
        value = value.get(name) if isinstance(value, (Mapping, Config)) else None
    return value
