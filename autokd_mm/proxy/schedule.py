"""The learning-rate curve of the full training, compressed to the proxy's length."""
from __future__ import annotations

import copy
from typing import Any, Dict, List, Sequence, Union

import torch
from mmengine.registry import PARAM_SCHEDULERS

# A full schedule that counts iterations is sampled at no more points than this.
_POINTS = 20000


def lr_curve(param_scheduler: Union[Dict[str, Any], Sequence[Dict[str, Any]], None], epochs: int,
             iterations_per_epoch: int, lr: float = 1.0) -> List[float]:
    """Learning rate over the full training as factors of the initial one.

    MMEngine's own schedulers are stepped on a stand-in optimiser in the order of its Runner, so
    whatever is configured is what comes out. Momentum schedulers are left out.

    Args:
        param_scheduler: the config of the full training, or ``None`` for a constant rate.
        epochs: its length. Loops that count iterations are one long epoch here.
        iterations_per_epoch: batches per epoch.
        lr: of the optimiser; some schedulers have absolute rates (``eta_min``).
    """
    if not param_scheduler:
        return [1.0]
    configs = [param_scheduler] if isinstance(param_scheduler, dict) else list(param_scheduler)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    by_epoch: List[Any] = []
    by_iteration: List[Any] = []
    for config in configs:
        config = copy.deepcopy(dict(config))
        if 'Momentum' in str(config['type']):
            continue
        each_epoch = config.get('by_epoch', True)
        config.setdefault('end', epochs if each_epoch else epochs * iterations_per_epoch)
        scheduler = PARAM_SCHEDULERS.build(
            config, default_args=dict(optimizer=optimizer, epoch_length=iterations_per_epoch))
        (by_epoch if scheduler.by_epoch else by_iteration).append(scheduler)
    curve = []
    steps = iterations_per_epoch if by_iteration else 1
    for _ in range(epochs):
        for _ in range(steps):
            curve.append(float(optimizer.param_groups[0]['lr']) / lr)
            optimizer.step()
            for scheduler in by_iteration:
                scheduler.step()
        for scheduler in by_epoch:
            scheduler.step()
    stride = max(1, len(curve) // _POINTS)
    return curve[::stride]


def factor(curve: Sequence[float], step: int, steps: int) -> float:
    """The curve at the share ``step / steps`` of the training."""
    return curve[min(len(curve) - 1, step * len(curve) // max(steps, 1))]
