"""Global transforms that keep where, or in which channel, a network is active."""
from typing import Any, Tuple

import torch
from torch import Tensor, nn

from autokd_mm.models.transforms.tensors import block_size, blocks, checked_pair, inverse_or_zero
from autokd_mm.registry import MODELS


class _MeanSquare(torch.autograd.Function):
    """mean over C of F^2, N x C x H x W -> N x 1 x H x W, keeping no copy of F."""

    @staticmethod
    def forward(ctx: Any, feature: Tensor) -> Tensor:
        ctx.save_for_backward(feature)
        attention = feature.new_empty((feature.shape[0], 1) + feature.shape[2:])
        for part in blocks(len(feature), feature[0].numel(), block_size(feature)):
            torch.mean(feature[part].square(), 1, keepdim=True, out=attention[part])
        return attention

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        feature, = ctx.saved_tensors
        return feature * (grad * (2 / feature.shape[1]))


def spatial_attention(feature: Tensor) -> Tensor:
    """The attention map of AT, scaled to a root mean square of 1 in each sample.

    A(F) = mean over C of F^2;  A / sqrt(mean over H, W of A^2).

    Args:
        feature: N x C x H x W.

    Returns:
        N x 1 x H x W. Zero where a sample has no activation at all.
    """
    attention = _MeanSquare.apply(feature)
    # From here all is N x HW. The norm is taken of values of at most 1 (overflow), and its
    # argument is kept off zero, where the root has no gradient.
    peak = attention.detach().amax((2, 3), keepdim=True)
    attention = attention * inverse_or_zero(peak, 1e-30)
    square = attention.square().mean((2, 3), keepdim=True)
    return attention * torch.where(square > 0, square, torch.ones_like(square)).rsqrt()


@MODELS.register_module()
class SpatialAttentionTransform(nn.Module):
    """Attention transfer: both features become their spatial attention maps.

    Q(F) = A / rms(A), A(F) = mean over C of F^2, rms over the H W positions of a sample.

    Shapes: student and teacher N x C x H x W -> two maps N x 1 x H x W (float32 or wider).

    Source: Zagoruyko & Komodakis, ICLR 2017, section 3.1 (F_sum^2), eq. 2. Differences: the mean
    over C in place of the sum (no effect after the normalisation), and maps of unit root mean
    square in place of unit L2 norm, so that losses do not shrink with the map: with ``l2`` this is
    H W times MMRazor's ``ATLoss``.
    """

    def forward(self, student: Tensor, teacher: Tensor) -> Tuple[Tensor, Tensor]:
        student, teacher = checked_pair(student, teacher, 'SpatialAttentionTransform')
        return spatial_attention(student), spatial_attention(teacher)


@MODELS.register_module()
class ChannelAttentionTransform(nn.Module):
    """Channel attention: both features become their mean over the positions.

    A(F)[n, c] = mean over H, W of F[n, c].

    Shapes: student and teacher N x C x H x W -> two maps N x C x 1 x 1 (float32 or wider).

    Source: supplement of Auto-KD, section 0.1.1 ("attention distillation"); global average pooling
    as in squeeze-and-excitation (Hu et al., CVPR 2018, eq. 2). Not normalised: the distance that
    follows decides whether magnitude counts.
    """

    def forward(self, student: Tensor, teacher: Tensor) -> Tuple[Tensor, Tensor]:
        student, teacher = checked_pair(student, teacher, 'ChannelAttentionTransform')
        return student.mean((2, 3), keepdim=True), teacher.mean((2, 3), keepdim=True)
