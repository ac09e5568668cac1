"""What is trained in one trial."""
from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import torch
from torch import nn

from autokd_mm.measure.losses import total_loss
from autokd_mm.models.algorithms.inherited import keep_statistics
from autokd_mm.models.distillers import (RecordGuard, clear_records, distill_losses, fade,
                                         feed_teacher, show_samples)


class Candidate(nn.Module):
    """What the optimiser trains: the student, and the distiller's connectors and generators.

    Its parameters have the names of the full training, ``architecture.*`` and ``distiller.*``, so
    that what a config says by name (``paramwise_cfg.custom_keys``) is about the same ones.

    Args:
        distiller: a built ``ConfigurableDistiller``.
        schedules: how the weights of its losses change (see :func:`loss_schedules`).
        inherited: names of the student's modules that have begun as the teacher's.
        start_lr: factor of their learning rate; at 0 they are frozen.
    """

    def __init__(self, student: nn.Module, distiller: Any,
                 schedules: Optional[Mapping[str, str]] = None,
                 inherited: Sequence[str] = (), start_lr: float = 1) -> None:
        super().__init__()
        self.architecture = student
        self.distiller = distiller
        self.schedules = dict(schedules or {})
        self.inherited, self.start_lr = tuple(inherited), start_lr
        self.guard = RecordGuard(distiller.student_recorders, 'student').watch(student)

    @property
    def student(self) -> nn.Module:
        """The network that is trained."""
        return self.architecture

    def train(self, mode: bool = True) -> 'Candidate':
        super().train(mode)
        if self.start_lr == 0:
            keep_statistics(self.student, self.inherited)
        return self

    def fade(self, share: float) -> None:
        """Give the losses the weights that they have at this share of the training."""
        if self.schedules:
            fade(self.distiller, self.schedules, share)

    def losses(self, inputs: torch.Tensor, samples: List[Any],
               teacher: Dict[str, torch.Tensor]) -> Tuple[torch.Tensor, torch.Tensor]:
        """The student's own loss, and the distiller's (0 without one)."""
        with self.distiller.student_recorders:
            own = total_loss(self.student(inputs, samples, mode='loss'))
        self.guard.check()
        feed_teacher(self.distiller, teacher)
        show_samples(self.distiller, samples, inputs)
        distilled = total_loss(distill_losses(self.distiller, inputs.device))
        clear_records(self.distiller)
        return own, distilled
