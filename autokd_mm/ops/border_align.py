"""BorderAlign: the maximum of a feature along each side of a box (Qiu et al., ECCV 2020).

A box has four quarters of the channels, one a side. From its near corner rightward (top) and
downward (left), from its far corner leftward (bottom) and upward (right), a side is read at
``pool_size + 1`` points at equal steps, both corners among them, and the largest value is kept.
"""
from typing import Tuple, Union

import torch
from torch import Tensor

from autokd_mm.ops.bilinear import planes_of, read, spread
from autokd_mm.ops.precision import counted_in, operation


@operation
def border_align_forward(input: Tensor, boxes: Tensor, output: Tensor, argmax_idx: Tensor,
                         pool_size: int) -> None:
    """
    Args:
        input: (B, 4 C, H, W), the quarters in the order top, left, bottom, right.
        boxes: (B, K, 4), corners in pixels of the map.
        output: (B, C, K, 4), written.
        argmax_idx: as ``output``, integers: which of the points it was. Written.
        pool_size: steps on a side.
    """
    maps, boxes = counted_in(input, boxes)
    sides, planes = _sides(maps)
    best = torch.full_like(output, float('-inf'), dtype=maps.dtype)
    for step in range(pool_size + 1):
        value = _unfold(read(sides, planes, *_points(boxes, step, pool_size)), output)
        better = value > best
        best = torch.where(better, value, best)
        argmax_idx[better] = step
    output.copy_(best)


@operation
def border_align_backward(grad_output: Tensor, boxes: Tensor, argmax_idx: Tensor,
                          grad_input: Tensor, pool_size: int) -> None:
    """The gradient goes to the pixels around the largest value.

    Args:
        grad_output: (B, C, K, 4).
        boxes, argmax_idx, pool_size: as in the forward pass.
        grad_input: (B, 4 C, H, W), written.
    """
    grad, boxes = counted_in(grad_output, boxes)
    total = torch.zeros_like(grad_input, dtype=grad.dtype)
    sides, planes = _sides(total)
    y, x = _points(boxes, _fold(argmax_idx), pool_size)
    spread(_fold(grad), planes, y, x, sides)
    grad_input.copy_(total)


def _sides(maps: Tensor) -> Tuple[Tensor, Tensor]:
    """The four quarters of each image as maps of their own, (4 B, C, H, W), and their planes."""
    batch, channels = maps.shape[:2]
    sides = maps.contiguous().view(batch * 4, channels // 4, *maps.shape[2:])
    return sides, planes_of(sides, torch.arange(batch * 4, device=maps.device))


def _points(boxes: Tensor, step: Union[int, Tensor], pool_size: int) -> Tuple[Tensor, Tensor]:
    """y and x of the step's number on all sides; (4 B, 1, K), or as the tensor of steps is."""
    near_x, near_y, far_x, far_y = boxes.unbind(-1)
    across, down = (far_x - near_x) / pool_size, (far_y - near_y) / pool_size
    none = torch.zeros_like(across)
    corner = [(near_y, near_x)] * 2 + [(far_y, far_x)] * 2
    strides = [(none, across), (down, none), (none, -across), (-down, none)]

    def along(axis: int) -> Tensor:
        start = torch.stack([point[axis] for point in corner], 1).flatten(0, 1)[:, None]
        return start + torch.stack([one[axis] for one in strides], 1).flatten(0, 1)[:, None] * step

    return along(0), along(1)


def _unfold(values: Tensor, like: Tensor) -> Tensor:
    """(4 B, C, K) -> (B, C, K, 4)."""
    return values.view(like.shape[0], 4, *like.shape[1:3]).permute(0, 2, 3, 1)


def _fold(values: Tensor) -> Tensor:
    """(B, C, K, 4) -> (4 B, C, K)."""
    return values.permute(0, 3, 1, 2).flatten(0, 1)
