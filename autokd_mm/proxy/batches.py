"""Rows of a bank as a student takes them."""
from __future__ import annotations

from itertools import count, islice
from typing import Any, Dict, Iterable, Iterator, List, Sequence, Tuple

import numpy as np
import torch
from mmengine.model import BaseModel

from autokd_mm.bank import FeatureBank
from autokd_mm.measure.evaluation import Batch
from autokd_mm.proxy.images import ProxyImages
from autokd_mm.proxy.settings import ProxySettings


class ProxyBatches(ProxyImages):
    """Batches behind a student's ``data_preprocessor``.

    Args:
        bank: see :class:`ProxyImages`.
        device: where to compute.
        channels_last: memory format of the inputs.
    """

    def __init__(self, bank: FeatureBank, device: torch.device,
                 channels_last: bool = False) -> None:
        super().__init__(bank, device)
        self._channels_last = channels_last

    def inputs(self, student: BaseModel, rows: np.ndarray, training: bool) -> Batch:
        """Normalised inputs and data samples of some rows.

        Images with a class label are of one size, and their samples need no preprocessing (moving
        the labels one by one would cost more than the rest). Others are padded to a batch as in
        training.
        """
        images, samples = self.batch(rows)
        if self.dense:
            data = student.data_preprocessor(
                dict(inputs=images, data_samples=samples), training=True)
            inputs, samples = data['inputs'], data['data_samples']
        else:
            inputs = student.data_preprocessor(dict(inputs=images), training=training)['inputs']
        if self._channels_last:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        return inputs, samples

    def of_teacher(self, names: Iterable[str], rows: np.ndarray, inputs: torch.Tensor,
                   samples: Sequence[Any] = ()) -> Dict[str, torch.Tensor]:
        """What the teacher says of some rows, in maps of the batch ``inputs``; its boxes are put
        into ``samples``."""
        self.show_boxes(names, rows, samples)
        shape = tuple(inputs.shape[-2:]) if self.dense else None
        return {name: self.teacher(name, rows, shape) for name in names}

    def in_order(self, size: int) -> Iterator[np.ndarray]:
        """All rows in batches of at most ``size``, each of images of one size: nothing but what
        completes the divisor is padded, and no image's numbers depend on its neighbours."""
        groups: Dict[Tuple[int, ...], List[int]] = {}
        shapes = self.bank.ragged('pixels').shapes if self.dense else [()] * len(self)
        for row, shape in enumerate(shapes):
            groups.setdefault(tuple(shape), []).append(row)
        for rows in groups.values():
            for start in range(0, len(rows), size):
                yield np.array(rows[start:start + size])


def training_rows(images: int, settings: ProxySettings, seed: int,
                  length: int = 1) -> Iterator[List[np.ndarray]]:
    """For each epoch of a training the rows of its batches.

    Args:
        images: so many different ones; view v of image i is row v * images + i. The n-th pass
            over them reads view n mod ``views``, and its incomplete last batch is dropped.
        seed: of the order.
        length: the proxy's epochs times this.
    """
    order, size = np.random.default_rng(seed), settings.batch_size

    def forever() -> Iterator[np.ndarray]:
        for number in count():
            rows = order.permutation(images) + number % settings.views * images
            for start in range(0, images - size + 1, size):
                yield rows[start:start + size]

    stream, steps = forever(), settings.steps(images)
    for _ in range(settings.epochs * length):
        yield list(islice(stream, steps))
