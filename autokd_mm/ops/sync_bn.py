"""The pieces of batch normalisation between which mmcv's ``MMSyncBN`` talks to the other ranks.

Over images and places of a channel, n of them on a rank and N on all::

    mean = mean(x)        var = mean((x - mean)^2)        norm = (x - mean) / sqrt(var + eps)
    y = weight norm + bias
    dx = weight (dy - (dweight norm + dbias) / n) / sqrt(var + eps)

with dweight = sum(dy norm), dbias = sum(dy). The running variance is that of N / (N - 1).
"""
from typing import Optional

from torch import Tensor

from autokd_mm.ops.precision import operation


@operation
def sync_bn_forward_mean(input: Tensor, mean: Tensor) -> None:
    """Write the mean of each channel of (B, C, L) to ``mean``, (C, )."""
    mean.copy_(input.float().mean((0, 2)))


@operation
def sync_bn_forward_var(input: Tensor, mean: Tensor, var: Tensor) -> None:
    """Write the mean square of the distance to ``mean`` to ``var``, (C, )."""
    var.copy_((input.float() - mean[:, None]).square_().mean((0, 2)))


@operation
def sync_bn_forward_output(input: Tensor, mean: Tensor, var: Tensor, weight: Optional[Tensor],
                           bias: Optional[Tensor], running_mean: Optional[Tensor],
                           running_var: Optional[Tensor], norm: Tensor, std: Tensor,
                           output: Tensor, eps: float, momentum: float, group_size: int) -> None:
    """
    Args:
        input: (B, C, L).
        mean, var: of all ranks, (C, ).
        weight, bias: (C, ), or none.
        running_mean, running_var: (C, ), moved by ``momentum`` towards these; or none.
        norm, output: (B, C, L), written.
        std: (C, ), written.
        eps, momentum: see above.
        group_size: ranks.
    """
    std.copy_((var + eps).sqrt())
    norm.copy_((input.float() - mean[:, None]).div_(std[:, None]))
    output.copy_(norm if weight is None or bias is None
                 else norm * weight[:, None] + bias[:, None])
    if running_mean is not None and running_var is not None:
        count = input.numel() // input.shape[1] * group_size
        running_mean += momentum * (mean - running_mean)
        running_var += momentum * (var * (count / max(count - 1, 1)) - running_var)


@operation
def sync_bn_backward_param(grad_output: Tensor, norm: Tensor, grad_weight: Tensor,
                           grad_bias: Tensor) -> None:
    """Write dweight and dbias of this rank, (C, ) each."""
    grad_weight.copy_((grad_output.float() * norm).sum((0, 2)))
    grad_bias.copy_(grad_output.float().sum((0, 2)))


@operation
def sync_bn_backward_data(grad_output: Tensor, weight: Tensor, grad_weight: Tensor,
                          grad_bias: Tensor, norm: Tensor, std: Tensor,
                          grad_input: Tensor) -> None:
    """Write dx, (B, C, L); ``grad_weight`` and ``grad_bias`` are the means over the ranks."""
    count = grad_output.numel() // grad_output.shape[1]
    shared = (norm * grad_weight[:, None]).add_(grad_bias[:, None]).div_(count)
    grad_input.copy_((grad_output - shared).mul_((weight / std)[:, None]))
