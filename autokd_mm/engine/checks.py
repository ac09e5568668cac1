"""Mistakes in a search config that no part of the engine would notice on its own."""
from __future__ import annotations

import inspect
from typing import Any, Callable, Mapping

from autokd_mm.space.errors import ConfigError, nearest


def refuse_unknown(arguments: Mapping[str, Any], function: Callable[..., Any]) -> None:
    """Refuse ``train_cfg`` keys that the loop does not have.

    Raises:
        ConfigError: names the nearest that it has.
    """
    valid = [name for name, parameter in inspect.signature(function).parameters.items()
             if parameter.kind == parameter.POSITIONAL_OR_KEYWORD
             and name not in ('self', 'runner', 'dataloader')]
    for name in arguments:
        raise ConfigError(f'train_cfg: {nearest(name, valid, shown=len(valid))}')


def refuse_mixing(config: Any, student: Any) -> None:
    """Mixed images differ from step to step; no bank can hold the teacher on them.

    Args:
        config: of the search.
        student: as built from ``config.model.architecture``.

    Raises:
        ConfigError: names the key that asks for mixup, cutmix and the like.
    """
    own = config.model.architecture
    places = {'model.architecture.train_cfg': (own.get('train_cfg') or {}).get('augments'),
              'model.architecture.data_preprocessor.batch_augments':
                  (own.get('data_preprocessor') or {}).get('batch_augments'),
              'data_preprocessor.batch_augments':
                  (config.get('data_preprocessor') or {}).get('batch_augments'),
              'model.architecture':
                  getattr(getattr(student, 'data_preprocessor', None), 'batch_augments', None)}
    for key, found in places.items():
        if found:
            raise ConfigError(f'{key}: batch-level mixing (mixup, cutmix) and a cached teacher '
                              'exclude each other; leave it out of the search')
