"""Distillation of centerness and objectness."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autokd_mm.models.losses.levels import (CLASSES, QUALITY, confidence, hears_levels, in_images,
                                            joined, level_maps, over, settled)
from autokd_mm.models.numbers import checked_count, checked_weight
from autokd_mm.models.transforms.padding import SeesSizes
from autokd_mm.registry import MODELS


@MODELS.register_module()
class QualityLoss(SeesSizes, nn.Module):
    """loss_weight / C * sum over images, anchors and positions of w B(s, t).

    B is the binary cross-entropy of the sigmoids. Centerness means something where there is an
    object: w is the teacher's confidence, the probability of its likeliest class, and C its sum.
    Objectness means something everywhere: w is 1, and C the sum of the teacher's t. C is at least
    1.

    Shapes: by keyword ``student_quality_0``, ``teacher_quality_0`` ... of all levels
    N x A x H x W logits of A anchors, and of centerness ``teacher_classes_0`` ..., as in
    :class:`ClassMapsLoss`. What is padding is left out. Returns a scalar. The teacher gets no
    gradient.

    Args:
        classes: K, of an anchor.
        objectness: and no centerness.
        exclusive: probabilities of classes are those of a softmax, the last the background's.
        loss_weight: factor of the loss.

    Raises:
        ConfigError: in ``forward``, maps that are missing or differ.

    Source: Ge et al. (YOLOX), 2021, and Tian et al. (FCOS), ICCV 2019, train them by the same
    cross-entropy, with the labels' numbers in the place of the teacher's.
    """

    def __init__(self, classes: int, objectness: bool = False, exclusive: bool = False,
                 loss_weight: float = 1.0) -> None:
        super().__init__()
        self.classes = checked_count('QualityLoss.classes', classes)
        self.objectness, self.exclusive = objectness, exclusive
        self.loss_weight = checked_weight('QualityLoss', loss_weight)

    @hears_levels
    def forward(self, **maps: Tensor) -> Tensor:
        name = type(self).__name__
        levels = level_maps(maps, 'student', QUALITY, name)
        student = joined(levels, 1, QUALITY, name)[:, :, 0]
        target = joined(level_maps(maps, 'teacher', QUALITY, name), 1, QUALITY,
                        name)[:, :, 0].sigmoid()
        count, weights = target, torch.ones_like(target)
        if not self.objectness:
            classes = level_maps(maps, 'teacher', CLASSES, name)
            weights = count = confidence(joined(classes, self.classes, CLASSES, name),
                                         self.exclusive, None)
        inside = in_images(self.sizes, levels)
        if inside is not None:
            weights, count = weights * inside, count * inside

        def loss_of(student: Tensor) -> Tensor:
            return over(F.binary_cross_entropy_with_logits(student, target, weights,
                                                           reduction='sum'), count)

        return settled(loss_of, student) * self.loss_weight

    def extra_repr(self) -> str:
        return f'objectness={self.objectness}, loss_weight={self.loss_weight}'
