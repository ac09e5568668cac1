"""RoIPool: the largest pixel of each bin of a region (Girshick, ICCV 2015).

mmcv's bins keep their fractions until the last moment, where torchvision's round the region first,
so this is written out::

    bin i of P:  floor(x1 s + i w / P) .. ceil(x1 s + (i + 1) w / P),   w = (x2 + 1 - x1) s

clipped to the map. A bin without a pixel is 0.
"""
from typing import Tuple

import torch
from torch import Tensor

from autokd_mm.ops.bilinear import planes_of
from autokd_mm.ops.precision import counted_in, operation


@operation
def roi_pool_forward(input: Tensor, rois: Tensor, output: Tensor, argmax: Tensor,
                     pooled_height: int, pooled_width: int, spatial_scale: float) -> None:
    """
    Args:
        input: (B, C, H, W).
        rois: (N, 5), image and corners.
        output: (N, C, pooled_height, pooled_width), written.
        argmax: as ``output``, integers: the pixel ``y W + x`` that it was, or -1. Written.
        pooled_height, pooled_width: bins.
        spatial_scale: pixels of the map for one of the image.
    """
    maps, rois = counted_in(input, rois)
    height, width = maps.shape[2:]
    if len(rois) == 0:
        return
    top, bottom = _edges(rois[:, 2], rois[:, 4], pooled_height, spatial_scale, height)
    left, right = _edges(rois[:, 1], rois[:, 3], pooled_width, spatial_scale, width)
    planes = planes_of(maps, rois[:, 0])[..., None]
    best = maps.new_full(output.shape, float('-inf'))
    where = torch.full_like(argmax, -1)
    # Asked together: a GPU is waited for.
    rows, columns = torch.stack([(bottom - top).max(), (right - left).max()]).tolist()
    for row in range(rows):
        for column in range(columns):
            y, x = (top + row)[:, :, None], (left + column)[:, None, :]
            exists = ((y < bottom[:, :, None]) & (x < right[:, None, :]))[:, None]
            pixel = (y.clamp(max=height - 1) * width + x.clamp(max=width - 1))[:, None]
            value = maps.take(planes + pixel)
            better = (value > best) & exists
            best = torch.where(better, value, best)
            where = torch.where(better, pixel.to(where.dtype), where)
    output.copy_(best.masked_fill(where < 0, 0))
    argmax.copy_(where)


@operation
def roi_pool_backward(grad_output: Tensor, rois: Tensor, argmax: Tensor, grad_input: Tensor,
                      pooled_height: int, pooled_width: int, spatial_scale: float) -> None:
    """The gradient of a bin goes to the pixel that it was.

    Args:
        grad_output: (N, C, pooled_height, pooled_width).
        grad_input: (B, C, H, W), written.
        rois, argmax and the others: as in the forward pass.
    """
    grad = counted_in(grad_output)[0]
    total = torch.zeros_like(grad_input, dtype=grad.dtype)
    places = planes_of(total, rois[:, 0])[..., None] + argmax
    total.view(-1).index_add_(0, places.clamp(min=0).reshape(-1),
                              grad.masked_fill(argmax < 0, 0).reshape(-1))
    grad_input.copy_(total)


def _edges(start: Tensor, end: Tensor, bins: int, scale: float,
           size: int) -> Tuple[Tensor, Tensor]:
    """First pixel of each bin and the one behind its last, (N, bins), within the map."""
    start, end = start * scale, (end + 1) * scale
    step = ((end - start) / bins)[:, None]
    number = torch.arange(bins, device=start.device, dtype=start.dtype)
    first = (number * step + start[:, None]).floor().clamp(0, size).long()
    last = ((number + 1) * step + start[:, None]).ceil().clamp(0, size).long()
    # a region that ends before it begins has no pixel
    return first, torch.where(step > 0, last, first)
