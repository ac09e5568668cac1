"""The full training for another number of epochs, its learning rate along the same curve."""
from __future__ import annotations

import copy
from typing import Any, Dict, Mapping, Optional, Tuple

from mmengine.config import Config

from autokd_mm.errors import ConfigError
from autokd_mm.optim.config import name_of

# What a scheduler counts in epochs; and what a train loop does.
_COUNTED = ('begin', 'end', 'T_max', 'step_size', 'total_iters', 'T', 'period')
_LISTED = ('milestones', 'periods')


def stretch(config: Config, full_training: Mapping[str, Any], epochs: Optional[int],
            key: str = 'full_epochs') -> Tuple[Config, Dict[str, Any]]:
    """A config and its ``train_cfg`` for another number of epochs; the same ones for ``None``.

    Args:
        key: of ``train_cfg`` that asks for it, for errors.

    Raises:
        ConfigError: of :func:`stretched`.
    """
    if epochs is None:
        return config, dict(full_training)
    result = copy.deepcopy(config)
    result.param_scheduler, longer = stretched(config.get('param_scheduler'), full_training, epochs,
                                               key)
    return result, longer


def stretched(param_scheduler: Any, full_training: Mapping[str, Any],
              epochs: int, key: str = 'full_epochs') -> Tuple[Any, Dict[str, Any]]:
    """Schedulers and ``train_cfg`` of a training of another length.

    Whatever is counted in epochs is multiplied; a warm-up that counts iterations, and hooks, stay.

    Args:
        param_scheduler: as the config has it.
        full_training: the ``train_cfg``, of a loop that counts epochs.
        epochs: of the training that is asked for.
        key: as above.

    Raises:
        ConfigError: a loop that counts iterations, or no number of epochs.
    """
    if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
        raise ConfigError(f'train_cfg.{key}={epochs!r}: must be a whole number, at least 1')
    before = full_training.get('max_epochs')
    if not before:
        raise ConfigError(f'train_cfg.{key}: train_cfg.full_training counts iterations '
                          f'(max_iters={full_training.get("max_iters")}); set that instead')
    result = dict(copy.deepcopy(dict(full_training)), max_epochs=epochs)
    if result.get('val_begin', 1) > epochs:
        result['val_begin'] = epochs
    if result.get('dynamic_intervals'):
        result['dynamic_intervals'] = [(_times(start, epochs, before), interval)
                                       for start, interval in result['dynamic_intervals']]
    if param_scheduler is None:
        return None, result
    single = isinstance(param_scheduler, Mapping)
    scaled = [_scheduler(one, epochs, before)
              for one in ([param_scheduler] if single else param_scheduler)]
    return scaled[0] if single else scaled, result


def _scheduler(config: Mapping[str, Any], epochs: int, before: int) -> Dict[str, Any]:
    result = copy.deepcopy(dict(config))
    if not result.get('by_epoch', True):
        return result
    for key in _COUNTED:
        if isinstance(result.get(key), (int, float)):
            result[key] = _times(result[key], epochs, before)
    for key in _LISTED:
        if result.get(key):
            result[key] = [_times(value, epochs, before) for value in result[key]]
    if 'gamma' in result and name_of(result['type']).startswith('Exponential'):
        result['gamma'] = result['gamma'] ** (before / epochs)
    return result


def _times(value: float, epochs: int, before: int) -> int:
    return int(round(value * epochs / before))
