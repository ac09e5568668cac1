"""The steps of one training: learning rate, optimiser, masks, and losses that must be finite."""
from __future__ import annotations

import contextlib
import logging
from typing import Any, Callable, ContextManager, Dict, Iterator, List, Optional, Sequence

import torch
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper

from autokd_mm.optim import usable, with_start_rate
from autokd_mm.proxy.candidate import Candidate
from autokd_mm.proxy.failures import CandidateFailed
from autokd_mm.proxy.ranks import Ranks
from autokd_mm.proxy.schedule import factor
from autokd_mm.proxy.sparse import SparseMasks

# Asking a GPU for the value of a loss stops its queue, so not at every step.
_LOOK_EVERY = 20


class Stepper:
    """Makes the steps of a candidate's training.

    Args:
        candidate: what is trained.
        optim_wrapper: MMEngine config of the full training's optimiser.
        curve: learning-rate factors of the full training, stretched over the steps.
        steps: of the training.
        masks: of a sparse student; ``None``: it is dense.
        ranks: whose gradients are averaged before they are clipped.
    """

    def __init__(self, candidate: Candidate, optim_wrapper: Dict[str, Any],
                 curve: Sequence[float], steps: int, masks: Optional[SparseMasks],
                 ranks: Ranks) -> None:
        self.candidate, self.curve, self.steps = candidate, curve, steps
        self.masks, self.ranks = masks, ranks
        slower = candidate.inherited and candidate.start_lr not in (0, 1)
        with quiet():
            if slower:
                optim_wrapper = with_start_rate(optim_wrapper, candidate, candidate.inherited,
                                                candidate.start_lr)
            self.optim = build_optim_wrapper(candidate, usable(optim_wrapper, distills=True))
            self.optim.initialize_count_status(candidate, 0, steps)
        if slower:
            _put_together(self.optim.optimizer)
        _in_one_call(self.optim.optimizer)
        self.optim.step = self._averaged(self.optim.step)
        self._rates = [group['lr'] for group in self.optim.param_groups]
        self._done = 0

    def context(self) -> ContextManager[Any]:
        """In which the loss is computed, with the weights of this step."""
        self.candidate.fade(self._done / self.steps)
        return self.optim.optim_context(self.candidate)

    def step(self, loss: torch.Tensor) -> None:
        """Go down ``loss``, a scalar.

        Raises:
            CandidateFailed: it is not finite, as far as that is known without a wait for a GPU.
        """
        now = self._done
        for group, rate in zip(self.optim.param_groups, self._rates):
            group['lr'] = rate * factor(self.curve, now, self.steps)
        if loss.device.type == 'cpu' or now % _LOOK_EVERY == 0:
            refuse_infinite(loss, f'at step {now + 1} of {self.steps}')
        self.optim.update_params(loss)
        if self.masks is not None:
            self.masks.after_step(now, self.optim)
        self._done += 1

    def _averaged(self, step: Callable[..., None]) -> Callable[..., None]:
        """An optimiser's step with the gradients of all ranks, before they are clipped."""
        parameters = [p for p in self.candidate.parameters() if p.requires_grad]

        def averaged(**kwargs: Any) -> None:
            self.ranks.average_gradients(parameters)
            step(**kwargs)

        return averaged


def _put_together(optimizer: torch.optim.Optimizer) -> None:
    """Make one group of all parameters with the same options. MMEngine makes one of each parameter,
    and a step of so many groups takes twice as long."""
    groups: List[Dict[str, Any]] = []
    for group in optimizer.param_groups:
        options = {key: value for key, value in group.items() if key != 'params'}
        same = next((other for other in groups if options == {
            key: value for key, value in other.items() if key != 'params'}), None)
        if same is None:
            groups.append(group)
        else:
            same['params'].extend(group['params'])
    optimizer.param_groups[:] = groups


def _in_one_call(optimizer: torch.optim.Optimizer) -> None:
    """Let one call update all parameters on a CPU, as torch does it by itself on a GPU: in two
    thirds of the time where they are small, the same bits with SGD, Adam and AdamW in float32, and
    the same but for rounding with others (NAdam, RAdam). What a config says stays."""
    for group in optimizer.param_groups:
        if 'foreach' in group and group['foreach'] is None and not group.get('fused') and all(
                parameter.device.type == 'cpu' for parameter in group['params']):
            group['foreach'] = True


def refuse_infinite(loss: torch.Tensor, when: str) -> None:
    """
    Raises:
        CandidateFailed: ``loss`` is not finite.
    """
    if not torch.isfinite(loss):
        raise CandidateFailed(f'the loss is {loss.item()} {when}')


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Only errors: MMEngine writes a line for each parameter with options of its own or without a
    gradient, and warns of BatchNorm where gradients are accumulated; and there is a new optimiser
    for each candidate."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
