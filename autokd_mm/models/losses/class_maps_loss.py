"""Distillation of the class maps of dense heads."""
from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from autokd_mm.errors import ConfigError, nearest
from autokd_mm.models.losses.levels import (CLASSES, QUALITY, confidence, hears_levels, in_images,
                                            joined, level_maps, over, settled)
from autokd_mm.models.numbers import checked_count, checked_weight
from autokd_mm.models.transforms.padding import SeesSizes
from autokd_mm.registry import MODELS

CLASS_DISTANCES = ('bce', 'weighted_bce', 'kl')


@MODELS.register_module()
class ClassMapsLoss(SeesSizes, nn.Module):
    """loss_weight / C * sum over images, anchors and positions of the distance between the classes.

    - ``'bce'``: sum over k of B(s_k, t_k), B = -t log s - (1 - t) log(1 - s), of probabilities s
      and t by sigmoid.
    - ``'weighted_bce'``: sum over k of ``|t_k - s_k|`` B(s_k, t_k).
    - ``'kl'``: ``KL(t || s)`` of probabilities by softmax over exclusive classes, the last of which
      is the background.

    C is the sum of the teacher's confidence c, the probability of its likeliest class (not the
    background), at least 1: about as many as there are objects it is sure of. A head with
    objectness o says something of classes where there is an object only: each anchor then counts as
    much as the teacher's o, and c is max_k t_k o.

    Shapes: by keyword ``student_classes_0``, ``teacher_classes_0``, ``student_classes_1`` ... of
    all levels N x (A K) x H x W logits of A anchors, and ``teacher_quality_0`` ... N x A x H x W
    where ``objectness``. What is padding is left out, if the sizes are shown by ``show_samples``.
    Returns a scalar. The teacher gets no gradient.

    Args:
        classes: K, of an anchor; with the background where they are exclusive.
        distance: one of the three names.
        loss_weight: factor of the loss.
        objectness: the head has objectness, as that of YOLOX.

    Raises:
        ConfigError: an unknown name; in ``forward``, maps that are missing or differ.

    Source: Wang et al. (CrossKD), CVPR 2024, section 3.3, and Yang et al. (BCKD), ICCV 2023, eq. 5
    to 8, weigh the binary cross-entropy by the difference, through which the gradient flows as
    well. They divide by the number of anchors that the labels are assigned to.
    """

    def __init__(self, classes: int, distance: str = 'weighted_bce', loss_weight: float = 1.0,
                 objectness: bool = False) -> None:
        super().__init__()
        if distance not in CLASS_DISTANCES:
            raise ConfigError(f'ClassMapsLoss.distance: {nearest(distance, CLASS_DISTANCES)}')
        self.classes = checked_count('ClassMapsLoss.classes', classes, 1 + (distance == 'kl'))
        self.distance, self.objectness = distance, objectness
        self.loss_weight = checked_weight('ClassMapsLoss', loss_weight)

    @hears_levels
    def forward(self, **maps: Tensor) -> Tensor:
        name, exclusive = type(self).__name__, self.distance == 'kl'
        levels = level_maps(maps, 'student', CLASSES, name)
        student = joined(levels, self.classes, CLASSES, name)
        teacher = joined(level_maps(maps, 'teacher', CLASSES, name), self.classes, CLASSES, name)
        objectness = None
        if self.objectness:
            objectness = joined(level_maps(maps, 'teacher', QUALITY, name), 1, QUALITY, name)
        sure = confidence(teacher, exclusive, objectness)
        weights = None if objectness is None else objectness[:, :, 0].sigmoid()
        inside = in_images(self.sizes, levels)
        if inside is not None:
            weights, sure = inside if weights is None else weights * inside, sure * inside

        def loss_of(student: Tensor) -> Tensor:
            found = self._distances(student, teacher)
            return over((found if weights is None else found * weights).sum(), sure)

        return settled(loss_of, student) * self.loss_weight

    def _distances(self, student: Tensor, teacher: Tensor) -> Tensor:
        """N x A x K x P logits -> N x A x P."""
        if self.distance == 'kl':
            target = teacher.log_softmax(2)
            return (target.exp() * (target - student.log_softmax(2))).sum(2)
        target = teacher.sigmoid()
        found = F.binary_cross_entropy_with_logits(student, target, reduction='none')
        if self.distance == 'weighted_bce':
            found = found * (student.sigmoid() - target).abs()
        return found.sum(2)

    def extra_repr(self) -> str:
        return f'distance={self.distance!r}, loss_weight={self.loss_weight}'
