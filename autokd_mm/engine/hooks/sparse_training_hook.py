"""Dynamic sparse training in an ordinary training run."""
from __future__ import annotations

from typing import Any, Dict, Optional

import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel, is_model_wrapper

from autokd_mm.proxy.sparse import SparseMasks, check_sparse
from autokd_mm.registry import HOOKS


@HOOKS.register_module()
class SparseTrainingHook(Hook):
    """Train the student with few weights (see :class:`~autokd_mm.proxy.sparse.SparseMasks`).

    In a distillation the student (``architecture``) is masked and nothing else. The masks are in
    every checkpoint, so a resumed training is the one that was interrupted; weights that are only
    loaded (``load_from``) get new masks. An exponential moving average of the weights is less
    sparse than they are, because the masks move.

    Args:
        density, death_rate, seed: of ``SparseMasks``.
        interval: steps between replacements; 100 as in Evci et al. (ICML 2020).

    Raises:
        ConfigError: an argument is out of range.
    """

    # In front of hooks that look at the weights behind a step: averages, checkpoints.
    priority = 'ABOVE_NORMAL'
    _KEY = 'sparse_masks'

    def __init__(self, density: float = 0.05, death_rate: float = 0.5, interval: int = 100,
                 seed: int = 0) -> None:
        check_sparse(density, death_rate, interval, 'custom_hooks.SparseTrainingHook.')
        self.arguments: Dict[str, Any] = dict(density=density, death_rate=death_rate,
                                              interval=interval, seed=seed)
        self.masks: Optional[SparseMasks] = None
        self._resumed: Optional[Dict[str, torch.Tensor]] = None

    def after_load_checkpoint(self, runner: Any, checkpoint: Dict[str, Any]) -> None:
        if runner._resume:
            self._resumed = checkpoint.get(self._KEY)

    def before_train(self, runner: Any) -> None:
        self.masks = SparseMasks(_student(runner.model), steps=runner.max_iters,
                                 masks=self._resumed, **self.arguments)
        self._resumed = None
        runner.logger.info(f'sparse training: {self.masks.density:.1%} of the weights of '
                           f'{len(self.masks.masks)} layers')

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None,
                         outputs: Optional[Dict[str, Any]] = None) -> None:
        assert self.masks is not None
        self.masks.after_step(runner.iter, runner.optim_wrapper)

    def before_save_checkpoint(self, runner: Any, checkpoint: Dict[str, Any]) -> None:
        if self.masks is not None:
            checkpoint[self._KEY] = self.masks.state_dict()


def _student(model: BaseModel) -> torch.nn.Module:
    model = model.module if is_model_wrapper(model) else model
    return getattr(model, 'architecture', model)
