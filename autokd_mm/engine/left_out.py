"""What a Runner has of a full training, and a search leaves out or asks beforehand."""
from __future__ import annotations

from typing import Any, List, Sequence

import torch
from mmengine.optim import OptimWrapper

from autokd_mm.errors import ConfigError
from autokd_mm.task.differences import full_hooks

# In front of the first step of a training.
_BEFORE = ('before_train', 'before_train_epoch', 'before_val', 'before_val_epoch')


def leave_out(runner: Any) -> List[Any]:
    """Take from a search's Runner what belongs to the full training.

    It steps no optimiser, and its schedulers could not be built for a loop that has no epochs;
    candidates have their own (see ProxyTrainer), and start from ``load_from`` themselves. Hooks
    look at a training's steps and epochs, which are not here, but for MMEngine's usual ones.

    Returns:
        The hooks.
    """
    runner.param_schedulers = None
    runner.optim_wrapper = OptimWrapper(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1))
    runner._load_from = None
    names = full_hooks(runner.cfg)
    hooks = [hook for hook in runner.hooks if type(hook).__name__ in names]
    for hook in hooks:
        runner.hooks.remove(hook)
    return hooks


def ask(hooks: Sequence[Any], runner: Any) -> None:
    """Let hooks that check a config, such as mmdet's ``NumClassCheckHook``, do it now.

    Raises:
        ConfigError: one of them refuses it.
    """
    for hook in hooks:
        name = type(hook).__name__
        if 'Check' not in name.replace('Checkpoint', ''):
            continue
        for point in _BEFORE:
            try:
                getattr(hook, point)(runner)
            except Exception as error:
                reason = ' '.join((str(error) or type(error).__name__).split())
                raise ConfigError(f'custom_hooks.{name}: {reason}') from None
