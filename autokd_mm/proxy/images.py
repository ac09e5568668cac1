"""Batches out of a bank: images, their annotations, what the teacher says of them."""
from __future__ import annotations

import math
from typing import Any, Iterable, List, Optional, Sequence, Tuple, Union

import numpy as np
import torch

from autokd_mm.bank import FeatureBank
from autokd_mm.datasets.annotations import LABEL, kind_in, make_samples, names_in, to_sample
from autokd_mm.models.heads.shared_boxes import FIELD

Size = Tuple[int, int]


class ProxyImages:
    """The rows of a bank as batches for a student.

    Args:
        bank: one of :func:`proxy_banks.open_banks`.
        device: where to compute.

    Attributes:
        kind: ``'label'``, ``'boxes'`` or ``'segmentation'``. With labels all images have one size;
            the others are called dense, and their images may differ in size.
        strides: of the teacher's maps in pixels, by name; dense tasks only.
    """

    def __init__(self, bank: FeatureBank, device: torch.device) -> None:
        self.bank, self.device = bank, device
        self.kind = kind_in(bank.arrays)
        self.strides = dict(bank.made_from.get('strides') or {})
        # Making them anew for each batch would cost more than the rest of it.
        self._samples = (make_samples(np.asarray(bank.arrays['labels']), device)
                         if self.kind == LABEL else [])

    def __len__(self) -> int:
        return self.bank.plan.rows

    @property
    def dense(self) -> bool:
        return self.kind != LABEL

    def batch(self, rows: np.ndarray) -> Tuple[Union[torch.Tensor, List[torch.Tensor]], List[Any]]:
        """Images and data samples of some rows.

        Returns:
            With labels: N x 3 x H x W uint8 on the device, and samples that stay the same objects.
            Dense: a list of 3 x H x W uint8 and fresh samples, both on the CPU; for
            ``student.data_preprocessor(dict(inputs=..., data_samples=...), training=True)``,
            which moves, normalises, pads and changes the samples.
        """
        pixels = self.bank.rows('pixels', rows)
        if not self.dense:
            return self._to_device(pixels), [self._samples[row] for row in rows]
        arrays = {name: self.bank.rows(name, rows)
                  for name in names_in(self.kind, self.bank.arrays)}
        samples = [to_sample(self.kind, {name: values[at] for name, values in arrays.items()},
                             image.shape[1:]) for at, image in enumerate(pixels)]
        return [torch.from_numpy(image) for image in pixels], samples

    def teacher(self, name: str, rows: np.ndarray,
                batch_shape: Optional[Sequence[int]] = None) -> torch.Tensor:
        """What the teacher says of some rows, float32 on the device.

        Args:
            name: of the pair of layers.
            batch_shape: dense: (height, width) of the student's padded batch. Each map lies in the
                upper left of zeros of ceil(side / stride) cells, as its image lies in the batch.
                ``None`` takes the smallest that holds all maps.

        Returns:
            N x C x H x W (N x C for logits of whole images, (R_1 + ... + R_N) x C for those of
            boxes).

        Raises:
            ValueError: a map is larger than the batch.
        """
        found = self.bank.rows(name, rows)
        if not self.dense:
            return self._to_device(found).float()
        if boxes_of(name) in self.bank.arrays:
            return self._to_device(np.concatenate(found)).float()
        if batch_shape is None:
            size = tuple(max(part.shape[side] for part in found) for side in (1, 2))
        else:
            size = cells(batch_shape, self.strides[name])
        out = np.zeros((len(found), len(found[0]), *size), np.float32)
        for canvas, part in zip(out, found):
            height, width = part.shape[1:]
            if height > size[0] or width > size[1]:
                raise ValueError(f'{name}: a map of {height}x{width} cells in a batch of '
                                 f'{size[0]}x{size[1]}')
            canvas[:, :height, :width] = part
        return self._to_device(out)

    def show_boxes(self, names: Iterable[str], rows: np.ndarray, samples: Sequence[Any]) -> None:
        """Let data samples carry the teacher's boxes, which the student's RoI head judges, too.

        Args:
            names: of the pairs of layers that are compared.
            samples: of the rows.
        """
        for name in names:
            if boxes_of(name) in self.bank.arrays:
                for sample, boxes in zip(samples, self.bank.rows(boxes_of(name), rows)):
                    setattr(sample, FIELD, self._to_device(boxes))

    def _to_device(self, values: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(values).to(self.device, non_blocking=True)


def boxes_of(name: str) -> str:
    """The array of the boxes to which the logits of a pair of layers belong."""
    return f'{name}_boxes'


def cells(size: Sequence[int], stride: int) -> Size:
    """(height, width) of a map with this stride, of an image with this (height, width)."""
    return math.ceil(size[0] / stride), math.ceil(size[1] / stride)
