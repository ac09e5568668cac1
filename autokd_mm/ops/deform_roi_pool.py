"""Deformable RoI pooling: RoIAlign whose bins are moved (Dai et al., ICCV 2017).

Bin (i, j) of a region of size (h, w) is the mean of what is read at the points of
:mod:`~autokd_mm.ops.roi_bins` (aligned), moved by ``gamma h dy(i, j)`` and ``gamma w dx(i, j)``.
"""
from typing import Optional

import torch
from torch import Tensor

from autokd_mm.ops.bilinear import planes_of, read
from autokd_mm.ops.precision import counted_in, operation
from autokd_mm.ops.roi_bins import Bins


@operation
def deform_roi_pool_forward(input: Tensor, rois: Tensor, offset: Tensor, output: Tensor,
                            pooled_height: int, pooled_width: int, spatial_scale: float,
                            sampling_ratio: int, gamma: float) -> None:
    """
    Args:
        input: (B, C, H, W).
        rois: (N, 5), image and corners.
        offset: (N, 2, pooled_height, pooled_width), dx before dy; or empty.
        output: (N, C, pooled_height, pooled_width), written.
        pooled_height, pooled_width: bins.
        spatial_scale, sampling_ratio: see :class:`~autokd_mm.ops.roi_bins.Bins`.
        gamma: see above.
    """
    maps, rois, moves = counted_in(input, rois, offset)
    bins = Bins(rois, (pooled_height, pooled_width), spatial_scale, sampling_ratio, aligned=True)
    output.copy_(_pool(maps, rois, moves if moves.numel() else None, bins,
                       gamma).view_as(output))


@operation
def deform_roi_pool_backward(grad_output: Tensor, input: Tensor, rois: Tensor, offset: Tensor,
                             grad_input: Tensor, grad_offset: Tensor, pooled_height: int,
                             pooled_width: int, spatial_scale: float, sampling_ratio: int,
                             gamma: float) -> None:
    """Read again with a record, and back through that.

    Args:
        grad_output: (N, C, pooled_height, pooled_width).
        grad_input: (B, C, H, W), written.
        grad_offset: as ``offset``, written unless it is empty.
        input, rois, offset and the others: as in the forward pass.
    """
    grad, maps, rois, moves = counted_in(grad_output, input, rois, offset)
    bins = Bins(rois, (pooled_height, pooled_width), spatial_scale, sampling_ratio, aligned=True)
    maps, moves = maps.detach().requires_grad_(), moves.detach().requires_grad_()
    with torch.enable_grad():
        pooled = _pool(maps, rois, moves if moves.numel() else None, bins, gamma)
        grads = torch.autograd.grad(pooled, [maps, moves], grad.flatten(2), allow_unused=True)
    for written, found in zip((grad_input, grad_offset), grads):
        if found is not None:
            written.copy_(found)


def _pool(maps: Tensor, rois: Tensor, moves: Optional[Tensor], bins: Bins,
          gamma: float) -> Tensor:
    """(N, C, bins)."""
    planes = planes_of(maps, rois[:, 0])
    total = 0 * maps.take(planes).expand(-1, -1, bins.shape[0] * bins.shape[1])
    for y, x, exists in bins:
        if moves is not None:
            move_x, move_y = (gamma * bins.size[:, axis, None, None] * moves[:, axis:axis + 1]
                              .flatten(2) for axis in (0, 1))
            y, x = y + move_y, x + move_x
        total = total + read(maps, planes, y, x) * exists
    return total / bins.count()
