"""Reading a map between its pixels, as mmcv's operations on boxes do.

Positions count from the middle of the first pixel. One that is more than a pixel outside the map
reads 0; from there to the outermost pixels it reads these::

    v(y, x) = sum over the four pixels (i, j) around it of (1 - |y - i|) (1 - |x - j|) v(i, j)
"""
from typing import Iterator, Tuple

import torch
from torch import Tensor


def planes_of(maps: Tensor, chosen: Tensor) -> Tensor:
    """Where the planes of some maps begin in the flat tensor.

    Args:
        maps: (B, C, H, W).
        chosen: integers below B, (N, ).

    Returns:
        (N, C, 1), to which a position's number ``y W + x`` is added.
    """
    channels, size = maps.shape[1], maps.shape[2] * maps.shape[3]
    channel = torch.arange(channels, device=maps.device)
    return ((chosen.long()[:, None] * channels + channel) * size)[..., None]


def read(maps: Tensor, planes: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Values of ``maps`` (B, C, H, W) in ``planes`` at y and x, whose shapes broadcast."""
    return sum((weight * maps.take(planes + pixel)
                for weight, pixel in _pixels(y, x, *maps.shape[2:])), maps.new_zeros(()))


def spread(grad: Tensor, planes: Tensor, y: Tensor, x: Tensor, grad_maps: Tensor) -> None:
    """Add to ``grad_maps`` the gradient of what was read there; ``grad`` as :func:`read`
    returns."""
    for weight, pixel in _pixels(y, x, *grad_maps.shape[2:]):
        at = (planes + pixel).expand_as(grad)
        grad_maps.view(-1).index_add_(0, at.reshape(-1), (grad * weight).reshape(-1))


def _pixels(y: Tensor, x: Tensor, height: int, width: int) -> Iterator[Tuple[Tensor, Tensor]]:
    inside = (y >= -1) & (y <= height) & (x >= -1) & (x <= width)
    y, x = (torch.where(inside, value, value.new_zeros(())).clamp(0, size - 1)
            for value, size in ((y, height), (x, width)))
    top, left = y.detach().long(), x.detach().long()
    down, right = y - top, x - left
    below, beside = (top + 1).clamp(max=height - 1), (left + 1).clamp(max=width - 1)
    for row, of_row in ((top, 1 - down), (below, down)):
        for column, of_column in ((left, 1 - right), (beside, right)):
            yield of_row * of_column * inside, row * width + column
