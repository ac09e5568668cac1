"""The points at which the bins of a region of interest are read.

A region (image, x1, y1, x2, y2) is scaled to the map, moved by half a pixel where positions count
from the middle of pixels (``aligned``; otherwise it is at least a pixel wide), and cut into bins.
Each bin has a grid of ``sampling_ratio`` points a side or, where that is 0, ``ceil(size of a bin)``
of them, which differs from region to region::

    y = y1 + (bin + (point + 1/2) / points) bin_height
"""
from typing import Iterator, Sequence, Tuple

import torch
from torch import Tensor


class Bins:
    """
    Args:
        rois: (N, 5).
        bins: how many a region has, down and across.
        spatial_scale: pixels of the map for one of the image.
        sampling_ratio: points a side of a bin; 0: by its size.
        aligned: see above.
    """

    def __init__(self, rois: Tensor, bins: Tuple[int, int], spatial_scale: float,
                 sampling_ratio: int, aligned: bool) -> None:
        self.shape = bins
        corners = rois[:, 1:] * spatial_scale - (0.5 if aligned else 0.)
        self.start = corners[:, :2]
        size = corners[:, 2:] - self.start
        self.size = size if aligned else size.clamp(min=1)  # (N, 2), x before y
        # Not new_tensor, whose numbers would come from the CPU while a GPU is waited for.
        cells = torch.stack([rois.new_full((), count) for count in bins[::-1]])
        self.step = self.size / cells
        self._given = sampling_ratio
        self.points = (torch.full_like(self.size, sampling_ratio) if sampling_ratio > 0
                       else (self.size / cells).ceil())

    def __iter__(self) -> Iterator[Tuple[Tensor, Tensor, Tensor]]:
        """One point of each bin after the other: y, x (N, 1, bins) and whether it exists
        (N, 1, 1)."""
        across, down = self._most()
        for row in range(down):
            for column in range(across):
                exists = (self.points[:, 0] > column) & (self.points[:, 1] > row)
                yield (*self._at(row, column), exists[:, None, None])

    def _most(self) -> Sequence[int]:
        """Points across and down of the bins that have most of them."""
        if self._given > 0 or not len(self.points):
            return [self._given if len(self.points) else 0] * 2
        return self.points.max(0).values.int().tolist()

    def _at(self, row: int, column: int) -> Tuple[Tensor, Tensor]:
        def along(axis: int, number: int, bins: int) -> Tensor:
            cell = torch.arange(bins, device=self.start.device, dtype=self.start.dtype)
            inside = (number + 0.5) * self.step[:, axis] / self.points[:, axis].clamp(min=1)
            return (self.start[:, axis, None] + cell * self.step[:, axis, None]
                    + inside[:, None])

        down, across = self.shape
        y, x = along(1, row, down), along(0, column, across)
        return (y[:, :, None].expand(-1, -1, across).flatten(1)[:, None],
                x[:, None, :].expand(-1, down, -1).flatten(1)[:, None])

    def count(self) -> Tensor:
        """Points of a bin, at least 1, (N, 1, 1)."""
        return self.points.prod(1).clamp(min=1)[:, None, None]
