"""What a detector or a segmentor is worth: its own loss, and how far its maps are from the
teacher's, on held-out images of any sizes."""
from __future__ import annotations

import math
from typing import Any, Dict, Iterable, List, Mapping, Optional

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel

from autokd_mm.measure.dense_metrics import DenseMetric
from autokd_mm.measure.evaluation import Batch, feature_terms, losses_and_outputs, mean_terms
from autokd_mm.measure.losses import EVALUATION
from autokd_mm.models.distillers import LayerPair, Layers
from autokd_mm.models.transforms.grids import averaged
from autokd_mm.models.transforms.padding import Size, cells_of

_GRIDS, _MOST = (4, 2, 1), 4096


def grid_of(images: int) -> int:
    """Cells along each side of an image in which features are averaged: 4, or fewer where more
    than 4,096 samples would be compared (their relations cost the square)."""
    return next((grid for grid in _GRIDS if images * grid * grid <= _MOST), 1)


def positions(feature: torch.Tensor, cells: Size, grid: int) -> torch.Tensor:
    """Positions of images as samples: N x C x H x W -> N grid^2 x C.

    Maps of images of different sizes have nothing in common but the channels, so what is compared
    is the feature at positions, as Raghu et al. (SVCCA, NeurIPS 2017, sec. 3) do with
    convolutional layers. Positions are the cells of a grid over each image (adaptive average
    pooling), so that each image counts the same whatever its size.

    Args:
        cells: rows and columns of the map that are not padding.
    """
    image = feature[:, :, :cells[0], :cells[1]].float()
    return F.adaptive_avg_pool2d(image, grid).movedim(1, -1).flatten(0, 2)


@torch.no_grad()
def evaluate_dense(student: BaseModel, batches: Iterable[Batch], layers: Layers,
                   teacher: Mapping[str, torch.Tensor], grid: int,
                   metric: Optional[DenseMetric],
                   loss_mode: str = EVALUATION) -> Dict[str, float]:
    """The measured terms of an :class:`~autokd_mm.search.reward.Outcome`.

    The loss is the student's own, without and with calibration: its terms have no temperature in
    common.

    Args:
        student: evaluated in evaluation mode and left in it.
        batches: (inputs, data samples) of the held-out images, each of images of one size.
        teacher: by name of a pair of layers, :func:`positions` of the same images in this order.
        grid: of the positions.
        metric: counts the batches; None: the metric is NaN.
        loss_mode: see :mod:`~autokd_mm.measure.losses`.
    """
    student.eval()
    loss, images = 0.0, 0
    found: Dict[str, List[torch.Tensor]] = {pair.name: [] for pair in layers.pairs}
    for inputs, samples, value, outputs in losses_and_outputs(
            student, batches, layers.sources('student'), loss_mode, layers.layouts('student')):
        loss += value
        images += len(inputs)
        for pair in layers.pairs:
            feature = on_grid(outputs[pair.name], pair, inputs, samples[0])
            found[pair.name].append(positions(feature, inside(feature, inputs, samples[0]), grid))
        if metric is not None:
            metric.add(student, outputs, inputs, samples)
    mean = loss / max(images, 1)
    # Gram matrices in the 8 bits of bfloat16 would round the gaps to steps of 1/256.
    with torch.autocast(inputs.device.type, enabled=False):
        terms = mean_terms([(pair.factor, feature_terms(torch.cat(found[pair.name]),
                                                        teacher[pair.name]))
                            for pair in layers.pairs])
    return dict(terms, held_out_loss=mean, calibrated_loss=mean,
                metric=math.nan if metric is None else metric.value())


def on_grid(feature: torch.Tensor, pair: LayerPair, inputs: torch.Tensor,
            sample: Any) -> torch.Tensor:
    """A student's map of a batch of images of one size on the grid on which it is compared; see
    :func:`~autokd_mm.models.transforms.grids.averaged`."""
    if pair.strides is None or pair.strides[0] > pair.strides[1]:
        return feature
    height, width = sample.img_shape[:2]
    return averaged(feature, pair.strides, [(int(height), int(width))],
                    (inputs.shape[-2], inputs.shape[-1]))


def inside(feature: torch.Tensor, inputs: torch.Tensor, sample: Any) -> Size:
    """Rows and columns of a batch's map that lie in the image of ``sample``."""
    height, width = sample.img_shape[:2]
    return cells_of((int(height), int(width)), (inputs.shape[-2], inputs.shape[-1]),
                    (feature.shape[-2], feature.shape[-1]))
