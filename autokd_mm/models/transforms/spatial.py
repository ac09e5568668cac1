"""Intra-spatial transforms: one pair of maps becomes several, each compared by itself.

They return a list of ``(weight, student, teacher)``; the weights add up to 1.
"""
from typing import List, Sequence, Tuple

import torch.nn.functional as F
from torch import Tensor, nn

from autokd_mm.errors import ConfigError
from autokd_mm.models.transforms.tensors import checked_pair
from autokd_mm.registry import MODELS

Parts = List[Tuple[float, Tensor, Tensor]]


@MODELS.register_module()
class MultiScaleTransform(nn.Module):
    """Pyramid pooling: the full map and its averages on coarser grids.

    The scales are the map itself and adaptive average pooling to l x l for each l of ``sizes``
    that is smaller than the map in both directions. Scale number i (from 0) has weight 2^-i,
    divided by the sum of all weights.

    Shapes: student and teacher N x C x H x W -> [(weight, N x C x l x l, N x C x l x l), ...].

    Args:
        sizes: grids from fine to coarse.

    Source: Chen et al. (ReviewKD), CVPR 2021, "hierarchical context loss" (HCL), which is reference
    [2] of Auto-KD's supplement, section 0.1.1; weights and the skipping rule as in the authors'
    ``hcl``. There only H is looked at; ours skips by the shorter side, so that nothing is
    enlarged (the same on square and on wide maps).
    """

    def __init__(self, sizes: Sequence[int] = (4, 2, 1)) -> None:
        super().__init__()
        if not sizes or any(not isinstance(size, int) or size < 1 for size in sizes) \
                or sorted(set(sizes), reverse=True) != list(sizes):
            raise ConfigError(f'MultiScaleTransform.sizes must be grid sizes from fine to coarse, '
                              f'for example (4, 2, 1), got {sizes!r}')
        self.sizes = tuple(sizes)

    def forward(self, student: Tensor, teacher: Tensor) -> Parts:
        student, teacher = checked_pair(student, teacher, 'MultiScaleTransform')
        scales = [(student, teacher)]
        for size in self.sizes:
            if size < min(student.shape[-2:]):
                fine = self._coarsest_that_divides(scales, size)
                scales.append((F.adaptive_avg_pool2d(fine[0], size),
                               F.adaptive_avg_pool2d(fine[1], size)))
        total = sum(0.5**i for i in range(len(scales)))
        return [(0.5**i / total, *pair) for i, pair in enumerate(scales)]

    @staticmethod
    def _coarsest_that_divides(scales: Sequence[Tuple[Tensor, Tensor]],
                               size: int) -> Tuple[Tensor, Tensor]:
        """The smallest map whose average on the grid is that of the full map.

        Averages of averages are exact only where all bins have the same size and nest.
        """
        height, width = scales[0][0].shape[-2:]
        for student, teacher in reversed(scales):
            h, w = student.shape[-2:]
            if height % h == 0 and width % w == 0 and h % size == 0 and w % size == 0:
                return student, teacher
        return scales[0]


@MODELS.register_module()
class LocalTransform(nn.Module):
    """Local distillation: the map is cut into patch_grid x patch_grid patches.

    Patches of equal size are stacked in front (P x N x C x h x w), and a distance reads such a
    stack as the mean over patches; the loss is then the mean over all patches. Where the map is
    not divisible by the grid, the first H % patch_grid bands are one row higher (the boundaries
    of ``torch.tensor_split``; the same along W), which gives up to four stacks.

    Shapes: student and teacher N x C x H x W ->
    [(weight, P x N x C x h x w, P x N x C x h x w), ...], weight = P / patch_grid^2.

    Args:
        patch_grid: patches along H and along W.
        crop: leave out the last H % patch_grid rows and W % patch_grid columns, so that there is
            one stack of all patches. A matrix of relations between patches needs this.

    Source: supplement of Auto-KD, section 0.1.1 ("the original feature is divided into patches,
    and each patch is distilled separately").
    """

    def __init__(self, patch_grid: int = 2, crop: bool = False) -> None:
        super().__init__()
        if not isinstance(patch_grid, int) or patch_grid < 1:
            raise ConfigError(f'LocalTransform.patch_grid must be a whole number above 0, got '
                              f'{patch_grid!r}')
        self.patch_grid = patch_grid
        self.crop = crop

    def forward(self, student: Tensor, teacher: Tensor) -> Parts:
        student, teacher = checked_pair(student, teacher, 'LocalTransform')
        height, width = student.shape[-2:]
        if min(height, width) < self.patch_grid:
            raise ConfigError(f'LocalTransform.patch_grid is {self.patch_grid}, larger than the '
                              f'{height} x {width} map')
        parts: Parts = []
        for rows, patch_rows in self._bands(height):
            for columns, patch_columns in self._bands(width):
                of_student, of_teacher = (
                    self._stack(feature[..., rows, columns], patch_rows, patch_columns)
                    for feature in (student, teacher))
                parts.append((len(of_student) / self.patch_grid**2, of_student, of_teacher))
        return parts

    def _bands(self, length: int) -> List[Tuple[slice, int]]:
        """(where, patch size) of the larger and of the smaller patches along one side."""
        size, larger = divmod(length, self.patch_grid)
        if larger == 0 or self.crop:
            return [(slice(0, size * self.patch_grid), size)]
        boundary = larger * (size + 1)
        return [(slice(0, boundary), size + 1), (slice(boundary, length), size)]

    @staticmethod
    def _stack(feature: Tensor, rows: int, columns: int) -> Tensor:
        n, c, height, width = feature.shape
        grid = feature.reshape(n, c, height // rows, rows, width // columns, columns)
        return grid.permute(2, 4, 0, 1, 3, 5).reshape(-1, n, c, rows, columns)
