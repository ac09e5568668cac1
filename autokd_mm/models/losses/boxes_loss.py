"""Distillation of the boxes of dense heads."""
from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, Tuple

from torch import Tensor, nn

from autokd_mm.errors import ConfigError, nearest
from autokd_mm.models.losses.box_coding import BoxCoding, giou
from autokd_mm.models.losses.levels import (BOXES, CLASSES, QUALITY, confidence, hears_levels,
                                            in_images, joined, level_maps, over, probabilities,
                                            settled)
from autokd_mm.models.numbers import above_zero, checked_count, checked_weight
from autokd_mm.models.transforms.middles import MiddlesInBoxes
from autokd_mm.models.transforms.padding import SeesSizes
from autokd_mm.registry import MODELS

BOX_DISTANCES = ('l1', 'giou', 'kl')
BOX_WEIGHTS = ('confidence', 'difference', 'foreground')


@MODELS.register_module()
class BoxesLoss(SeesSizes, nn.Module):
    """loss_weight / C * sum over images, anchors and positions of w times the distance of boxes.

    - ``'l1'``: mean over the four numbers of ``|S - T|``, as the head writes them: deltas to an
      anchor, distances in strides (of a distribution its mean).
    - ``'giou'``: 1 - GIoU of the decoded boxes.
    - ``'kl'``: tau^2 / (n + 1) times the mean over the four sides of
      ``KL(softmax(T / tau) || softmax(S / tau))`` over their n + 1 distances.

    The weight w and its sum C, which is at least 1:

    - ``'confidence'``: the teacher's, c, the probability of its likeliest class (times its
      objectness); C is its sum.
    - ``'difference'``: the largest ``|t_k - s_k|`` among the classes (times the objectness),
      without a gradient; C is the sum of c.
    - ``'foreground'``: 1 where the middle of the cell lies in a ground-truth box, 0 elsewhere; C is
      how many there are.

    Shapes: by keyword ``student_boxes_0``, ``teacher_boxes_0`` ... of all levels N x (A D) x H x W
    of A anchors, D = 4 numbers, of distributions 4 (n + 1), and for the first two weights
    ``student_classes_0`` ..., of heads with objectness ``teacher_quality_0`` ..., as in
    :class:`ClassMapsLoss`. What is padding is left out. Returns a scalar. The teacher gets no
    gradient.

    Args:
        classes: K, of an anchor; with the background where they are exclusive.
        coding: arguments of a :class:`~autokd_mm.models.losses.box_coding.BoxCoding`.
        distance, by: of the names above.
        temperature: tau of 'kl', in units of a logit.
        exclusive: probabilities of classes are those of a softmax, the last the background's.
        objectness: the head has objectness.
        loss_weight: factor of the loss.

    Raises:
        ConfigError: an unknown name, or distributions are compared and there are none; in
            ``forward``, maps that are missing or differ.

    Source: 'kl' is Zheng et al. (LD), CVPR 2022, eq. 3, as mmdet's
    ``KnowledgeDistillationKLDivLoss`` reduces it, with tau = 10; there the anchors near an object
    count, by the student's confidence. 'giou' by 'difference' is Yang et al. (BCKD), ICCV 2023,
    eq. 9 and 10; CrossKD compares boxes by GIoU as well.
    """

    def __init__(self, classes: int, coding: Mapping[str, Any], distance: str = 'giou',
                 by: str = 'confidence', temperature: float = 10.0, exclusive: bool = False,
                 objectness: bool = False, loss_weight: float = 1.0) -> None:
        super().__init__()
        if distance not in BOX_DISTANCES:
            raise ConfigError(f'BoxesLoss.distance: {nearest(distance, BOX_DISTANCES)}')
        if by not in BOX_WEIGHTS:
            raise ConfigError(f'BoxesLoss.by: {nearest(by, BOX_WEIGHTS)}')
        self.coding = BoxCoding.from_config(coding)
        if distance == 'kl' and self.coding.bins is None:
            raise ConfigError("BoxesLoss.distance: 'kl' compares distributions, and the boxes are "
                              f"{self.coding.in_words()}; did you mean 'giou'?")
        self.classes = checked_count('BoxesLoss.classes', classes)
        self.temperature = above_zero('BoxesLoss.temperature', temperature)
        self.distance, self.by, self.exclusive = distance, by, exclusive
        self.objectness = objectness
        self.region = MiddlesInBoxes() if by == 'foreground' else None
        self.loss_weight = checked_weight('BoxesLoss', loss_weight)

    @hears_levels
    def forward(self, **maps: Tensor) -> Tensor:
        name, numbers = type(self).__name__, self.coding.numbers
        levels = level_maps(maps, 'student', BOXES, name)
        student = joined(levels, numbers, BOXES, name)
        teacher = joined(level_maps(maps, 'teacher', BOXES, name), numbers, BOXES, name)
        if self.region is not None:
            weights = self.region(levels).to(student.dtype).expand(-1, student.shape[1], -1)
            count = weights
        else:
            weights, count = self._weights(maps)
        inside = in_images(self.sizes, levels)
        if inside is not None:
            count = count * inside
            weights = weights * inside

        def loss_of(student: Tensor) -> Tensor:
            return over((self._distances(student, teacher) * weights).sum(), count)

        return settled(loss_of, student) * self.loss_weight

    def _weights(self, maps: Mapping[str, Tensor]) -> Tuple[Tensor, Tensor]:
        """What each anchor counts, and what it adds to C: N x A x P each."""
        name = type(self).__name__
        teacher = joined(level_maps(maps, 'teacher', CLASSES, name), self.classes, CLASSES, name)
        objectness: Optional[Tensor] = None
        if self.objectness:
            objectness = joined(level_maps(maps, 'teacher', QUALITY, name), 1, QUALITY, name)
        sure = confidence(teacher, self.exclusive, objectness)
        if self.by == 'confidence':
            return sure, sure
        student = joined(level_maps(maps, 'student', CLASSES, name), self.classes, CLASSES,
                         name).detach()
        apart = (probabilities(student, self.exclusive)
                 - probabilities(teacher, self.exclusive)).abs().amax(2)
        return (apart if objectness is None else apart * objectness[:, :, 0].sigmoid()), sure

    def _distances(self, student: Tensor, teacher: Tensor) -> Tensor:
        """N x A x D x P -> N x A x P."""
        if self.distance == 'giou':
            return 1 - giou(self.coding.corners(student), self.coding.corners(teacher))
        if self.distance == 'l1':
            return (self.coding.plain(student) - self.coding.plain(teacher)).abs().mean(2)
        logs = [(self.coding.bin_logits(values) / self.temperature).log_softmax(3)
                for values in (student, teacher)]
        return (logs[1].exp() * (logs[1] - logs[0])).mean((2, 3)) * self.temperature**2

    def extra_repr(self) -> str:
        return (f'distance={self.distance!r}, by={self.by!r}, coding={self.coding.in_words()!r}, '
                f'loss_weight={self.loss_weight}')


def maps_of_weights(by: str, objectness: bool) -> Dict[str, Tuple[str, ...]]:
    """Beside the boxes, what a :class:`BoxesLoss` reads of ``'student'`` and ``'teacher'``."""
    if by == 'foreground':
        return dict(student=(), teacher=())
    return dict(student=(CLASSES, ) if by == 'difference' else (),
                teacher=(CLASSES, QUALITY) if objectness else (CLASSES, ))
