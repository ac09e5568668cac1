"""The ``train_cfg`` of a training: what is wrong with it is said before anything is searched, and
not when the training begins."""
from __future__ import annotations

import inspect
from typing import Any, Dict, Mapping, Optional

from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop

from autokd_mm.errors import ConfigError, nearest
from autokd_mm.space.checks import refuse_unknown, whole_number

_LEAST = dict(max_epochs=1, max_iters=1, val_interval=1, val_begin=0)
_GIVEN = ('runner', 'dataloader')  # to a loop by the runner
_OF_THE_RUNNER = ('type', 'by_epoch', '_scope_')


def check_training(config: Any, key: str) -> Dict[str, Any]:
    """A ``train_cfg`` as a dict.

    Args:
        config: of one of MMEngine's loops, or of another package's.
        key: under which it stands.

    Raises:
        ConfigError: no dict; a loop, or an argument of its, that is not known; a number that is
            none.
    """
    if not isinstance(config, Mapping):
        raise ConfigError(f'{key}={config!r}: must be the train_cfg of a training, such as '
                          'dict(by_epoch=True, max_epochs=12)')
    if 'type' in config and 'by_epoch' in config:
        raise ConfigError(f'{key}: type and by_epoch both say which loop it is, leave one of the '
                          'two out')
    for name, least in _LEAST.items():
        value = config.get(name)
        if value is not None and not (isinstance(value, float) and value.is_integer()
                                      and value >= least):
            whole_number(f'{key}.{name}', value, least)
    loop = _loop(config, key)
    if loop is not None:
        _check_arguments(loop, config, key)
    return dict(config)


def _loop(config: Mapping[str, Any], key: str) -> Optional[type]:
    """The class of the loop; ``None`` where the config does not say."""
    kind = config.get('type')
    if kind is None:
        if 'by_epoch' not in config:
            return None
        return EpochBasedTrainLoop if config['by_epoch'] else IterBasedTrainLoop
    found = LOOPS.get(kind) if isinstance(kind, str) else kind
    if not isinstance(found, type):
        known = [name for name in LOOPS.module_dict if name.endswith('TrainLoop')]
        raise ConfigError(f'{key}.type: {nearest(kind, known)}')
    return found


def _check_arguments(loop: type, config: Mapping[str, Any], key: str) -> None:
    parameters = inspect.signature(loop).parameters
    if any(one.kind == one.VAR_KEYWORD for one in parameters.values()):
        return
    refuse_unknown({name: value for name, value in config.items() if name not in _OF_THE_RUNNER},
                   loop, key)
    for name, one in parameters.items():
        if name not in _GIVEN and one.default is one.empty and config.get(name) is None:
            raise ConfigError(f'{key}.{name} is missing: {loop.__name__} needs it')
