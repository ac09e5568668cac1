"""Focal losses: what is told apart well already counts little (Lin et al., ICCV 2017).

Sigmoid, for each class by itself, with z = x for the target's class and z = -x for all others,
p = sigmoid(z), and a = alpha for the target's class and 1 - alpha for all others::

    L = a (1 - p)^gamma softplus(-z)            since -log p = softplus(-z)
    dL/dz = -a (1 - p)^gamma (gamma p softplus(-z) + 1 - p)

Softmax, with p the probability of the target's class t and p_c that of class c::

    L = -alpha (1 - p)^gamma log p
    dL/dx_c = alpha ((c = t) - p_c) (gamma (1 - p)^(gamma - 1) p log p - (1 - p)^gamma)

Both are multiplied by the weight of the target's class where weights are given. A target that is no
class (-1, or the number of classes) is background for the first and is left out by the second.
Rows are taken some at a time, so that what is held besides input and output is small.
"""
from typing import Iterator, Tuple

import torch
from torch import Tensor
from torch.nn import functional as F

from autokd_mm.ops.precision import counted_in, operation

# Numbers worked on at once: enough that the loop costs nothing, little beside what a loss is of.
_AT_ONCE = {'cpu': 1 << 18, 'cuda': 1 << 22}


@operation
def sigmoid_focal_loss_forward(input: Tensor, target: Tensor, weight: Tensor, output: Tensor,
                               gamma: float, alpha: float) -> None:
    """
    Args:
        input: logits, (N, C).
        target: classes, (N, ).
        weight: of the classes, (C, ), or empty.
        output: (N, C), written.
    """
    for rows in _some(input):
        z, _, share = _signed(input[rows], target[rows], weight, alpha)
        output[rows] = (z.neg().sigmoid_().pow_(gamma).mul_(share).mul_(F.softplus(-z))
                        ).to(output.dtype)


@operation
def sigmoid_focal_loss_backward(input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor,
                                gamma: float, alpha: float) -> None:
    """Write dL/dx, (N, C), to ``grad_input``."""
    for rows in _some(input):
        z, sign, share = _signed(input[rows], target[rows], weight, alpha)
        wrong = z.neg().sigmoid_()
        slope = F.softplus(-z).mul_(1 - wrong).mul_(gamma).add_(wrong)
        grad_input[rows] = (wrong.pow_(gamma).mul_(share).mul_(sign).mul_(slope).neg_()
                            ).to(grad_input.dtype)


@operation
def softmax_focal_loss_forward(input: Tensor, target: Tensor, weight: Tensor, output: Tensor,
                               gamma: float, alpha: float) -> None:
    """
    Args:
        input: probabilities, (N, C).
        target: classes, (N, ).
        weight: of the classes, (C, ), or empty.
        output: (N, ), written.
    """
    p, share = _of_target(input, target, weight)
    output.copy_(-alpha * share * (1 - p).pow(gamma) * _log(p))


@operation
def softmax_focal_loss_backward(input: Tensor, target: Tensor, weight: Tensor, buff: Tensor,
                                grad_input: Tensor, gamma: float, alpha: float) -> None:
    """Write dL/dx, the gradient of the logits, (N, C), to ``grad_input``.

    ``buff``, (N, ), gets the factor that all classes of a row share.
    """
    p, share = _of_target(input, target, weight)
    buff.copy_(alpha * share * (gamma * (1 - p).pow(gamma - 1) * p * _log(p)
                                - (1 - p).pow(gamma)))
    grad_input.copy_(input).mul_(-buff[:, None])
    classes = input.shape[1]
    unknown = (target < 0) | (target >= classes)
    grad_input.scatter_add_(1, target.clamp(0, classes - 1)[:, None],
                            buff.masked_fill(unknown, 0).to(grad_input.dtype)[:, None])


def _some(input: Tensor) -> Iterator[slice]:
    step = max(1, _AT_ONCE.get(input.device.type, 1 << 18) // max(1, input.shape[1]))
    return (slice(start, start + step) for start in range(0, len(input), step))


def _signed(input: Tensor, target: Tensor, weight: Tensor,
            alpha: float) -> Tuple[Tensor, Tensor, Tensor]:
    """z, dz/dx, and the factor before the loss."""
    x = counted_in(input)[0]
    classes = x.shape[1]
    hit = target[:, None] == torch.arange(classes, device=x.device)
    sign, share = (torch.where(hit, x.new_full((), own), x.new_full((), other))
                   for own, other in ((1, -1), (alpha, 1 - alpha)))
    if weight.numel():
        share *= _weights(target, weight, classes)[0].to(x)[:, None]
    return x * sign, sign, share


def _weights(target: Tensor, weight: Tensor, classes: int) -> Tuple[Tensor, Tensor]:
    """The weight of each target's class, 1 where there is none, and where there is one."""
    known = (target >= 0) & (target < classes)
    of_class = (weight[target.clamp(0, classes - 1)] if weight.numel()
                else torch.ones_like(target, dtype=torch.float32))
    return torch.where(known, of_class, torch.ones_like(of_class)), known


def _of_target(input: Tensor, target: Tensor, weight: Tensor) -> Tuple[Tensor, Tensor]:
    """The probability of each target's class and the weight of it, 0 where there is none."""
    classes = input.shape[1]
    weights, known = _weights(target, weight, classes)
    p = counted_in(input)[0].gather(1, target.clamp(0, classes - 1)[:, None])[:, 0]
    return p, weights.to(p) * known


def _log(p: Tensor) -> Tensor:
    return p.clamp(min=torch.finfo(torch.float32).tiny).log()
