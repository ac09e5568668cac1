"""Maps of unequal stride on one grid: the finer one averaged over the pixels of coarser cells.

A map with stride s has ceil(side / s) cells in both directions; cell i covers the pixels from i s
to (i + 1) s, as far as they lie in the image.
"""
from __future__ import annotations

import math
from typing import Optional, Sequence, Tuple

import torch
from torch import Tensor

from autokd_mm.models.transforms.tensors import full_precision

Size = Tuple[int, int]


def stride_of(cells: Size, image: Size) -> Optional[int]:
    """The stride of a map in pixels; ``None`` where none leads to that many cells.

    Where several do, a power of two, as the strides of pyramids are; else the smallest, which
    divides the sides if one of them does.

    Args:
        cells: (rows, columns) of the map.
        image: (height, width) in pixels of what it stands for, padding included.
    """
    low = max(-(-side // count) for side, count in zip(image, cells))
    high = min((-(-side // (count - 1)) - 1 if count > 1 else math.inf)
               for side, count in zip(image, cells))
    if low > high:
        return None
    power = 1 << (low - 1).bit_length()
    return power if power <= high else low


def covered(cells: Size, image: Size) -> Size:
    """(height, width) in pixels for which a map stands: the last cells may reach beyond the image.

    Args: as :func:`stride_of`.
    """
    stride = stride_of(cells, image)
    return (cells[0] * stride, cells[1] * stride) if stride else image


def averaged(feature: Tensor, strides: Tuple[int, int], images: Optional[Sequence[Size]] = None,
             batch: Optional[Size] = None) -> Tensor:
    """A map on a coarser grid, N x C x h x w -> N x C x H x W of at least float32.

    Each cell is the mean of the finer cells that lie in it, weighted by how many pixels of the
    image (not of the padding) they have in common with it; 0 where there are none.

    Args:
        strides: of the feature and of the result, in pixels.
        images: (height, width) of each of the N images without its padding, which is on the right
            and below; ``None``: nothing is padding.
        batch: (height, width) of the padded batch; ``None``: what the feature covers.
    """
    fine, coarse = strides
    batch = batch or (feature.shape[-2] * fine, feature.shape[-1] * fine)
    images = list(images or [batch])
    if len(set(images)) == 1:
        images = images[:1]
    if feature.dtype in (torch.float16, torch.bfloat16):
        feature = feature.float()
    rows, columns = (_shares([image[axis] for image in images], strides, feature.shape[axis - 2],
                             -(-batch[axis] // coarse)).to(feature, non_blocking=True)[:, None]
                     for axis in (0, 1))
    with full_precision(feature):
        return rows @ feature @ columns.transpose(-1, -2)


def _shares(lengths: Sequence[int], strides: Tuple[int, int], cells: int, wanted: int) -> Tensor:
    """How much each of ``cells`` counts in each of ``wanted``, by image: N x wanted x cells."""
    edges = [torch.arange(count + 1, dtype=torch.float64) * stride
             for stride, count in zip(strides, (cells, wanted))]
    limit = torch.tensor(lengths, dtype=torch.float64)[:, None, None]
    fine, coarse = edges[0], edges[1][:, None]
    end = torch.minimum(torch.minimum(fine[1:], coarse[1:]), limit)
    common = (end - torch.maximum(fine[:-1], coarse[:-1])).clamp(min=0)
    return common / common.sum(-1, keepdim=True).clamp(min=1)
