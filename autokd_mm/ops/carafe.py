"""CARAFE: upsampling by a kernel of each place's own (Wang et al., ICCV 2019).

With the scale s, a kernel of k x k masks at each place of the output, one for each group of
channels, at output place (i, j)::

    y(i, j) = sum over 0 <= a, b < k of m_ab(i, j) x(i // s + a - k // 2, j // s + b - k // 2)

with zeros outside. One position of the kernel is added after the other: unfolding the input would
take k^2 times its memory.
"""
from typing import Iterator, Tuple

import torch
from torch import Tensor
from torch.nn import functional as F

from autokd_mm.ops.precision import counted_in, operation


@operation
def carafe_naive_forward(features: Tensor, masks: Tensor, output: Tensor, kernel_size: int,
                         group_size: int, scale_factor: int) -> None:
    """
    Args:
        features: (N, C, H, W).
        masks: (N, groups k^2, s H, s W).
        output: (N, C, s H, s W), written.
        kernel_size: k.
        group_size: groups of channels.
        scale_factor: s.
    """
    maps, weights = counted_in(features, masks)
    total = torch.zeros((), device=maps.device)
    for place, padded, mask in _positions(maps, weights, kernel_size, group_size, scale_factor):
        total = total + padded[place] * mask
    output.copy_(total.reshape(output.shape))


@operation
def carafe_naive_backward(top_grad: Tensor, features: Tensor, masks: Tensor, bottom_grad: Tensor,
                          mask_grad: Tensor, kernel_size: int, group_size: int,
                          scale_factor: int) -> None:
    """Write the gradients of the features and of the masks."""
    grad, maps, weights = counted_in(top_grad, features, masks)
    n, channels, height, width = maps.shape
    s, rim = scale_factor, kernel_size // 2
    grad = grad.reshape(n, group_size, channels // group_size, height, s, width, s)
    of_masks = torch.empty_like(weights).view(n, group_size, -1, height * s, width * s)
    of_maps = maps.new_zeros(n, group_size, channels // group_size, height + 2 * rim, 1,
                             width + 2 * rim, 1)
    for number, (place, padded, mask) in enumerate(_positions(maps, weights, kernel_size,
                                                              group_size, s)):
        of_maps[place] += (grad * mask).sum((4, 6), keepdim=True)
        of_masks[:, :, number] = (grad * padded[place]).sum(2).flatten(4, 5).flatten(2, 3)
    inner = of_maps[:, :, :, rim:rim + height, 0, rim:rim + width, 0]
    bottom_grad.copy_(inner.reshape(bottom_grad.shape))
    mask_grad.copy_(of_masks.view_as(mask_grad))


@operation
def carafe_forward(features: Tensor, masks: Tensor, rfeatures: Tensor, routput: Tensor,
                   rmasks: Tensor, output: Tensor, kernel_size: int, group_size: int,
                   scale_factor: int) -> None:
    """The same; ``rfeatures``, which the backward pass gets for the features, is a copy of them.
    ``routput`` and ``rmasks`` are mmcv's scratch."""
    rfeatures.copy_(features)
    carafe_naive_forward(features, masks, output, kernel_size, group_size, scale_factor)


@operation
def carafe_backward(top_grad: Tensor, rfeatures: Tensor, masks: Tensor, rtop_grad: Tensor,
                    rbottom_grad_hs: Tensor, rbottom_grad: Tensor, rmask_grad: Tensor,
                    bottom_grad: Tensor, mask_grad: Tensor, kernel_size: int, group_size: int,
                    scale_factor: int) -> None:
    """The same, with more scratch."""
    carafe_naive_backward(top_grad, rfeatures, masks, bottom_grad, mask_grad, kernel_size,
                          group_size, scale_factor)


def _positions(maps: Tensor, masks: Tensor, k: int, groups: int,
               s: int) -> Iterator[Tuple[tuple, Tensor, Tensor]]:
    """Of each position of the kernel: where it reads in the padded features, these, and its mask.

    Both in the shape (N, groups, C / groups, H, s, W, s), with 1 where they do not differ.
    """
    n, channels, height, width = maps.shape
    padded = F.pad(maps, [k // 2] * 4).view(n, groups, channels // groups, height + k - 1, 1,
                                            width + k - 1, 1)
    kernels = masks.view(n, groups, 1, k * k, height, s, width, s)
    for a in range(k):
        for b in range(k):
            place = (Ellipsis, slice(a, a + height), slice(None), slice(b, b + width), slice(None))
            yield place, padded, kernels[:, :, :, a * k + b]
