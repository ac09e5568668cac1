"""The held-out images on which every candidate is measured."""
from __future__ import annotations

from typing import Callable, Dict, Iterator, Optional

import numpy as np
import torch
from mmengine.model import BaseModel

from autokd_mm.datasets.annotations import BOXES, SEGMENTATION
from autokd_mm.errors import ConfigError, DataError, UserError
from autokd_mm.layers.capture import capture
from autokd_mm.layers.find import forward
from autokd_mm.measure.dense_evaluation import evaluate_dense, grid_of, positions
from autokd_mm.measure.dense_metrics import BoxMAP, DenseMetric, MeanIoU, in_windows
from autokd_mm.measure.evaluation import Batch, evaluate
from autokd_mm.measure.losses import EVALUATION, first_words, given_back
from autokd_mm.models.distillers import Layers
from autokd_mm.proxy.batches import ProxyBatches
from autokd_mm.proxy.settings import ProxySettings
from autokd_mm.seeding import seeded_on


class HeldOut:
    """Measures students on the rows of a bank.

    Args:
        images: of the bank.
        layers: where the student is listened to.
        settings: of the proxy.
        loss_mode: see :mod:`autokd_mm.measure.losses`.
        own_metric: makes the metric that the config asks for.

    Attributes:
        teacher: what it says at the pairs of features, by name: N x C x H x W, or the positions of
            :mod:`dense_evaluation`.
        labels: N classes; empty for dense tasks.

    Raises:
        DataError: images of a detector without any box.
    """

    def __init__(self, images: ProxyBatches, layers: Layers, settings: ProxySettings,
                 loss_mode: str = EVALUATION,
                 own_metric: Optional[Callable[[], DenseMetric]] = None) -> None:
        self.images, self.layers, self.settings = images, layers, settings
        self.loss_mode, self._own_metric = loss_mode, own_metric
        self._judged: Optional[str] = None  # see _logits_it_predicts_from
        if images.kind == BOXES and not images.bank.ragged('boxes').shapes[:, 0].any():
            raise DataError(f'proxy.held_out: none of the {len(images)} images has a box, so '
                            'there is no mAP to measure; take more')
        self._rows = list(images.in_order(settings.batch_size))
        self._grid = grid_of(len(images))
        self.teacher: Dict[str, torch.Tensor] = {}
        for pair in layers.pairs:
            found = [images.teacher(pair.name, rows) for rows in self._rows]
            if images.dense:
                found = [positions(part, (part.shape[2], part.shape[3]), self._grid)
                         for part in found]
            self.teacher[pair.name] = torch.cat(found)
        labels = np.array([] if images.dense else images.bank.arrays['labels'])
        self.labels = torch.from_numpy(labels).to(images.device)

    def batches(self, student: BaseModel) -> Iterator[Batch]:
        """(inputs, data samples) in the order of ``teacher`` and ``labels``."""
        for rows in self._rows:
            yield self.images.inputs(student, rows, False)

    def try_out(self, student: BaseModel) -> None:
        """Let a student, which is not changed, see one image.

        Raises:
            ConfigError: it is made for images of one size, such as a transformer with a table of
                relative positions, and these have another one.
        """
        inputs, samples = self.images.inputs(student, self._rows[0][:1], False)
        with given_back(student):
            try:
                forward(student, self.layers.sources('student'), inputs,
                        samples if self.images.dense else None)
            except UserError:
                raise
            except (AssertionError, IndexError, RuntimeError, ValueError) as error:
                raise ConfigError(
                    f'val_dataloader.dataset.pipeline: {type(student).__name__} cannot take a '
                    f'held-out image of {inputs.shape[2]} x {inputs.shape[3]} pixels '
                    f'({first_words(error)}); where a network is made for one size, let this '
                    'pipeline or proxy.held_out_dataset give images of that size') from error

    def measure(self, student: BaseModel) -> Dict[str, float]:
        """The measured terms of an :class:`~autokd_mm.search.reward.Outcome`."""
        if not self.images.dense:
            return evaluate(student, self.batches(student), self.layers, self.teacher, self.labels,
                            self.loss_mode, self._own_metric and self._own_metric())
        # Detectors draw the boxes that their losses look at: always the same ones here, and
        # whoever looks on during a training does not change it.
        with seeded_on(self.images.device, self.settings.seed, 4):
            return evaluate_dense(student, self.batches(student), self.layers, self.teacher,
                                  self._grid, self._metric(student), self.loss_mode)

    def _metric(self, student: BaseModel) -> Optional[DenseMetric]:
        if self._own_metric is not None:
            return self._own_metric()
        if self.images.kind == BOXES:
            return BoxMAP()
        if self.images.kind == SEGMENTATION:
            # In windows it sees other images than the one whose logits are here.
            if in_windows(getattr(student, 'test_cfg', None)):
                return MeanIoU()
            if self._judged is None:
                self._judged = self._logits_it_predicts_from(student)
            return MeanIoU(self._judged or None)
        return None

    def _logits_it_predicts_from(self, student: BaseModel) -> str:
        """Name of the pair; '' where the segmentor predicts from something else, as one with
        several heads of which an earlier one is compared."""
        sources = {pair.name: pair.student for pair in self.layers.logits}
        inputs, samples = self.images.inputs(student, self._rows[0][:1], False)
        with torch.no_grad(), given_back(student), \
                capture(student.eval(), sources, self.layers.layouts('student')) as outputs:
            try:
                said = student(inputs, samples, mode='tensor')
            except Exception:  # a cascade has no such mode
                return ''
        return next((name for name, value in outputs.items() if isinstance(said, torch.Tensor)
                     and said.shape == value.shape and torch.equal(said, value)), '')
