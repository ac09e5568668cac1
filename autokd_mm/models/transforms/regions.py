"""The regions of detection: foreground and background weighted by boxes, or pooled instances.

Boxes are (x1, y1, x2, y2) in pixels of the padded batch. On a map of H x W they are divided by its
stride, where there is one (see :mod:`autokd_mm.models.transforms.padding`), else scaled by
W / batch width and H / batch height; cell (i, j) of the map covers [j, j + 1] x [i, i + 1].
"""
import math
from dataclasses import dataclass
from functools import cached_property
from typing import List, Optional, Tuple

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

from autokd_mm.errors import ConfigError
from autokd_mm.models.transforms.grids import Size, covered
from autokd_mm.models.transforms.padding import cells_of, on_device
from autokd_mm.models.transforms.tensors import block_size, blocks
from autokd_mm.registry import MODELS
from autokd_mm.space.shapes import INSTANCE_SIDE


@dataclass(frozen=True)
class BatchBoxes:
    """The ground-truth boxes of a batch.

    Attributes:
        boxes: of each of the N images R x 4, R from 0 on.
        images: (height, width) in pixels of each image without its padding, which is on the right
            and below.
        batch: (height, width) in pixels of the padded batch.
    """
    boxes: Tuple[Tensor, ...]
    images: Tuple[Size, ...]
    batch: Size

    def image_on(self, index: int, size: Size) -> Size:
        """Rows and columns of a map of ``size`` that hold any of the image, not only padding."""
        return cells_of(self.images[index], covered(size, self.batch), size)

    def boxes_on(self, index: int, size: Size, device: torch.device) -> Tuple[Tensor, Tensor]:
        """The boxes of one image in cells of a map of ``size``, clipped to the image.

        Returns:
            R x 4 (float64: cells are found by rounding), and R booleans: False for what lies
            outside the image or is no box (x2 < x1, NaN).
        """
        boxes = self.boxes[index].detach().to(device, torch.float64, non_blocking=True)
        # Multiplied before it is divided, so that what lies on the edge of a cell stays there; and
        # divided by a tensor, for a GPU multiplies by the rounded inverse of a number. (It waits
        # for new_tensor, not for new_full.)
        x, y = (boxes[:, axis::2].clamp(0, side) * cells / boxes.new_full((), whole)
                for axis, side, cells, whole in
                zip((0, 1), self.images[index][::-1], size[::-1],
                    covered(size, self.batch)[::-1]))
        return torch.stack((x, y), 2).flatten(1), self._there(boxes, index)

    def _there(self, boxes: Tensor, index: int) -> Tensor:
        height, width = self.images[index]
        x1, y1, x2, y2 = boxes.unbind(1)
        return (x1 <= x2) & (y1 <= y2) & (x2 > 0) & (y2 > 0) & (x1 < width) & (y1 < height)

    @cached_property
    def places(self) -> Tuple[Tensor, ...]:
        """Of each image the places of the boxes that are there, on the CPU.

        How many there are decides the shapes of what follows, so the program waits for a GPU here:
        once for all images, maps and losses of the batch.
        """
        found = [self._there(boxes.detach().double(), index)
                 for index, boxes in enumerate(self.boxes)]
        together = torch.cat(found).cpu()
        return tuple(part.nonzero()[:, 0] for part in together.split([len(one) for one in found]))


@torch.no_grad()
def region_weights(boxes: BatchBoxes, size: Size, background_weight: float,
                   device: torch.device) -> Tensor:
    """Foreground and background of the maps as weights, N x 1 x H x W, float64.

    H W / (h_r w_r) in a cell that the box r touches, for the smallest of those boxes, h_r x w_r
    being the cells it touches (at least one); background_weight H W / b in the b other cells of
    the image; 0 in the padding.
    """
    return torch.stack([_weights_of_image(boxes, index, size, background_weight, device)
                        for index in range(len(boxes.boxes))])[:, None] * math.prod(size)


def _weights_of_image(boxes: BatchBoxes, index: int, size: Size, background_weight: float,
                      device: torch.device) -> Tensor:
    cells, there = boxes.boxes_on(index, size, device)
    inside, area = [], there.new_ones(len(cells), dtype=torch.float64)
    limits = boxes.image_on(index, size)
    for low, high, cells_there, limit in ((1, 3, size[0], limits[0]), (0, 2, size[1], limits[1])):
        start = cells[:, low].floor().clamp(max=limit - 1)
        end = torch.maximum(cells[:, high].ceil(), start + 1).clamp(max=limit)
        place = torch.arange(cells_there, device=device)
        inside.append((place >= start[:, None]) & (place < end[:, None]))
        area = area * (end - start)
    weight = torch.where(there, 1 / area, torch.zeros_like(area))
    foreground = cells.new_zeros(size)
    for part in blocks(len(cells), math.prod(size), block_size(cells)):
        of_box = inside[0][part, :, None] & inside[1][part, None, :]
        largest = (of_box * weight[part, None, None]).amax(0)
        foreground = torch.maximum(foreground, largest)
    background = foreground == 0
    background[limits[0]:] = False
    background[:, limits[1]:] = False
    share = background_weight / background.sum().clamp(min=1)
    return foreground + background * share


class Region(nn.Module):
    """Base of what needs the boxes of the batch, which the tensors do not carry.

    They are shown before ``forward`` and forgotten after the step (see
    ``autokd_mm/models/distillers/regions.py``).
    """

    def __init__(self) -> None:
        super().__init__()
        self._boxes: Optional[BatchBoxes] = None

    def show(self, boxes: BatchBoxes) -> None:
        """The boxes of the batch that comes next."""
        self._boxes = boxes

    def forget(self) -> None:
        """Let go of the boxes."""
        self._boxes = None

    def seen(self, samples: int) -> BatchBoxes:
        """The boxes of a batch of ``samples`` images."""
        name = type(self).__name__
        if self._boxes is None:
            raise ConfigError(f'{name}: FeatureLoss.region needs the boxes of the batch; '
                              'show_samples(distiller, data_samples, batch_inputs) hands them over')
        if len(self._boxes.boxes) != samples:
            raise ValueError(f'{name}: boxes of {len(self._boxes.boxes)} images were shown, and '
                             f'the features are of {samples}')
        return self._boxes


@MODELS.register_module()
class ForegroundBackgroundTransform(Region):
    """Both features times the root of a weight at each position.

    With W of ``region_weights``: S' = S sqrt(W), T' = T sqrt(W), so that ``l2`` is the mean of
    W (T - S)^2, ``cosine`` the cosine of the weighted inner product, and the Gram matrix of the
    channels a weighted sum over positions. An image without boxes is all background.

    Shapes: student and teacher N x C x H x W -> the same shape.

    Args:
        background_weight: weight of all background together, where each box has 1.

    Source: Yang et al. (FGD), CVPR 2022, section 3.1: binary mask M and scale mask. There alpha
    and beta weight foreground and background; beta / alpha is 0.5 in all of its settings, our
    default. Differences: the factor H W, so that the mean over positions is the paper's sum; a
    box covers the cells it touches (the authors' code adds one row and one column); padding is no
    background.
    """

    def __init__(self, background_weight: float = 0.5) -> None:
        super().__init__()
        if not isinstance(background_weight, (int, float)) or \
                not 0 <= background_weight < math.inf:
            raise ConfigError('ForegroundBackgroundTransform.background_weight must be a number '
                              f'of at least 0, got {background_weight!r}')
        self.background_weight = float(background_weight)

    def weights(self, feature: Tensor) -> Tensor:
        """W of the positions of a feature, N x 1 x H x W, in its precision."""
        boxes = self.seen(len(feature))
        size = (feature.shape[-2], feature.shape[-1])
        return region_weights(boxes, size, self.background_weight,
                              feature.device).to(feature.dtype)

    def forward(self, student: Tensor, teacher: Tensor) -> Tuple[Tensor, Tensor]:
        root = self.weights(student).sqrt()
        return student * root, teacher * root


@MODELS.register_module()
class InstancesTransform(Region):
    """The features of the ground-truth boxes in the place of samples.

    RoIAlign (He et al., ICCV 2017) of each box, as many samples in a bin as it has cells. A box
    is clipped to the image, and one that is smaller than a cell is widened to one around its
    middle. Padding is cut off before. The instances of all images are one batch. Of a pyramid each
    level pools all boxes: nothing assigns them to levels by their size.

    Shapes: student and teacher N x C x H x W -> R x C x side x side, R boxes in the batch (0 if
    there are none).

    Args:
        side: bins along each side of a box, 7 as in Faster R-CNN's heads.

    Source: ours; distilling instances pooled by RoIAlign is Dai et al. (GID), CVPR 2021, who choose
    them by the networks' scores and not by the ground truth.
    """

    def __init__(self, side: int = INSTANCE_SIDE) -> None:
        super().__init__()
        if not isinstance(side, int) or side < 1:
            raise ConfigError(f'InstancesTransform.side must be a whole number above 0, got '
                              f'{side!r}')
        self.side = side

    def forward(self, student: Tensor, teacher: Tensor) -> Tuple[Tensor, Tensor]:
        boxes = self.seen(len(student))
        size = (student.shape[-2], student.shape[-1])
        pooled_student: List[Tensor] = []
        pooled_teacher: List[Tensor] = []
        for index in range(len(student)):
            cells = self._at_least_a_cell(boxes, index, size, student)
            rows, columns = boxes.image_on(index, size)
            for feature, pooled in ((student, pooled_student), (teacher, pooled_teacher)):
                of_image = feature[index:index + 1, :, :rows, :columns]
                pooled.append(roi_align(of_image, [cells], self.side, aligned=True))
        return torch.cat(pooled_student), torch.cat(pooled_teacher)

    @staticmethod
    def _at_least_a_cell(boxes: BatchBoxes, index: int, size: Size, feature: Tensor) -> Tensor:
        cells, _ = boxes.boxes_on(index, size, feature.device)
        cells = cells[on_device(boxes.places[index], cells)]
        length = (cells[:, 2:] - cells[:, :2]).clamp(min=1)
        rows, columns = boxes.image_on(index, size)
        last = torch.stack((columns - length[:, 0], rows - length[:, 1]), 1).clamp(min=0)
        start = ((cells[:, :2] + cells[:, 2:] - length) / 2).clamp(min=0)
        start = torch.minimum(start, last)
        return torch.cat((start, start + length), 1).to(feature.dtype)

    def extra_repr(self) -> str:
        return f'side={self.side}'
