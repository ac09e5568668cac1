"""Which cells of a map belong to an image, and which to the padding of its batch.

Images of different sizes are padded on the right and below to the size of their batch. A map of
H x W stands for the whole batch of that size, so an image of height h in a batch of height b covers
the first ceil(h H / b) rows; the same holds for columns. Where the last cell of the map reaches
beyond the batch, H = ceil(b / s) for a stride s, it is the first ceil(h / s) rows, as many as the
image has alone.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor

from autokd_mm.models.transforms.grids import Size, covered


def cells_of(image: Size, batch: Size, size: Size) -> Size:
    """Rows and columns of a map of ``size`` that hold any of the image, at least one each."""
    rows, columns = (min(max(-(-pixels * cells // whole), 1), cells)
                     for pixels, cells, whole in zip(image, size, batch))
    return rows, columns


@dataclass(frozen=True)
class BatchSizes:
    """Sizes in pixels of the images of a batch.

    Attributes:
        images: (height, width) of each of the N images without its padding.
        batch: (height, width) of the padded batch.
    """
    images: Tuple[Size, ...]
    batch: Size

    @property
    def padded(self) -> bool:
        return any(image != self.batch for image in self.images)

    def groups(self, feature: Tensor) -> Optional[List[Tuple[List[int], Size]]]:
        """The samples with as many cells in the image: their places in the batch, and (rows,
        columns). ``None`` where all cells of the N x C x H x W feature belong to an image.

        Raises:
            ValueError: the feature is not of as many images.
        """
        if len(self.images) != len(feature):
            raise ValueError(f'sizes of {len(self.images)} images were shown, and the features '
                             f'are of {len(feature)}')
        size = (int(feature.shape[-2]), int(feature.shape[-1]))
        found: Dict[Size, List[int]] = {}
        for place, cells in enumerate(self.cells(size)):
            found.setdefault(cells, []).append(place)
        return None if list(found) == [size] else [(places, cells)
                                                   for cells, places in found.items()]

    def cells(self, size: Size) -> List[Size]:
        """Rows and columns of a map of ``size`` that belong to each of the images."""
        batch = covered(size, self.batch)
        return [cells_of(image, batch, size) for image in self.images]

    def positions(self, feature: Tensor) -> Optional[Tuple[Tensor, ...]]:
        """Image, row and column of each cell that belongs to an image; ``None``: all do."""
        groups = self.groups(feature)
        if groups is None:
            return None
        mask = torch.zeros((len(feature), *feature.shape[-2:]), dtype=torch.bool)
        for places, (rows, columns) in groups:
            mask[places, :rows, :columns] = True
        # Found on the CPU: a GPU would be waited for to know how many they are.
        return tuple(on_device(places, feature) for places in mask.nonzero().unbind(1))


class SeesSizes:
    """What a loss on padded features is: it is shown the sizes before each call (by
    ``show_samples``), and forgets them after the step. Without them nothing is padding."""

    sizes: Optional[BatchSizes] = None

    def show_sizes(self, sizes: Optional[BatchSizes]) -> None:
        """The sizes of the batch that comes next; ``None``: nothing is padded."""
        self.sizes = sizes

    def forget_sizes(self) -> None:
        self.sizes = None


def put_together(parts: Sequence[Tensor], groups: Sequence[Tuple[List[int], Size]]) -> Tensor:
    """The batch again, of what was made of its groups: in its order, smaller maps in zeros."""
    size = [max(part.shape[axis] for part in parts) for axis in (-2, -1)]
    padded = [F.pad(part, (0, size[1] - part.shape[-1], 0, size[0] - part.shape[-2]))
              for part in parts]
    order = [place for places, _ in groups for place in places]
    return torch.cat(padded)[on_device(torch.tensor(order).argsort(), padded[0])]


def on_device(places: Union[Tensor, List[int]], like: Tensor) -> Tensor:
    """An index, brought to where ``like`` is without a wait for it (a list would be)."""
    return torch.as_tensor(places).to(like.device, non_blocking=True)
