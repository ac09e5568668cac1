"""What a candidate's losses look like before anything is trained."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, List, Optional, Sequence

import torch
from torch import nn


@dataclass(frozen=True)
class FirstStep:
    """Losses and gradients of one batch, no weight changed.

    Attributes:
        task_loss, distill_loss: the student's own, and the sum of the distiller's with their
            weights.
        task_gradient_norm, distill_gradient_norm: L2 norm of the gradient of each with respect to
            the student's parameters (connectors and generators left out).
        depends_on_student: False where the distiller's loss reaches no parameter of the student.
    """
    task_loss: float
    distill_loss: float
    task_gradient_norm: float
    distill_gradient_norm: float
    depends_on_student: bool


Gradients = List[Optional[torch.Tensor]]


def first_step(student: nn.Module, own: torch.Tensor, distilled: torch.Tensor,
               mean: Callable[[Gradients, List[torch.Tensor]], Gradients] = lambda found, _: found
               ) -> FirstStep:
    """Differentiate both losses with respect to the student's trainable parameters.

    Args:
        mean: over the ranks that have a share of the batch each (see :meth:`Ranks.mean`).
    """
    parameters = [p for p in student.parameters() if p.requires_grad]
    losses = [torch.as_tensor(loss, dtype=torch.float32, device=parameters[0].device).detach()
              for loss in (own, distilled)]
    found = mean([*_gradients(own, parameters), *_gradients(distilled, parameters), *losses],
                 [*parameters, *parameters, *losses])
    task, distill = found[:len(parameters)], found[len(parameters):-2]
    task_loss, distill_loss = (float(loss) for loss in found[-2:] if loss is not None)
    return FirstStep(task_loss, distill_loss, _norm(task), _norm(distill),
                     any(gradient is not None for gradient in distill))


def _gradients(loss: torch.Tensor, parameters: Sequence[nn.Parameter]) -> Gradients:
    if not loss.requires_grad:
        return [None] * len(parameters)
    return list(torch.autograd.grad(loss, list(parameters), retain_graph=True, allow_unused=True))


def _norm(gradients: Sequence[Optional[torch.Tensor]]) -> float:
    found = [gradient.float().norm() for gradient in gradients if gradient is not None]
    return float(torch.stack(found).norm()) if found else 0.0
