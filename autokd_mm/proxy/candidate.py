"""What is trained in one trial."""
from __future__ import annotations

from typing import Any, Dict, List, Tuple

import torch
from torch import nn

from autokd_mm.measure.evaluation import total_loss
from autokd_mm.models.distillers import RecordGuard, clear_records, feed_teacher, show_samples


class Candidate(nn.Module):
    """What the optimiser trains: the student, and the distiller's connectors and generators.

    Its parameters have the names of the full training, ``architecture.*`` and ``distiller.*``, so
    that what a config says by name (``paramwise_cfg.custom_keys``) is about the same ones.

    Args:
        distiller: a built ``ConfigurableDistiller``.
    """

    def __init__(self, student: nn.Module, distiller: Any) -> None:
        super().__init__()
        self.architecture = student
        self.distiller = distiller
        self.guard = RecordGuard(distiller.student_recorders).watch(student)

    @property
    def student(self) -> nn.Module:
        """The network that is trained."""
        return self.architecture

    def losses(self, inputs: torch.Tensor, samples: List[Any],
               teacher: Dict[str, torch.Tensor]) -> Tuple[torch.Tensor, torch.Tensor]:
        """The student's own loss, and the distiller's (0 without one)."""
        with self.distiller.student_recorders:
            own = total_loss(self.student(inputs, samples, mode='loss'))
        self.guard.check()
        feed_teacher(self.distiller, teacher)
        show_samples(self.distiller, samples, inputs)
        distilled = total_loss(self.distiller.compute_distill_losses())
        clear_records(self.distiller)
        return own, distilled
