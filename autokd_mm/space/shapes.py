"""The tensors that are compared, and what is left of them behind the levels of the space."""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Optional, Tuple

# Bins along each side of the features that are pooled from a box.
INSTANCE_SIDE = 7
# The number of boxes differs from batch to batch. The rules take it for as many as a relation
# needs; a batch with too few has a loss of 0.
_INSTANCES = 64


@dataclass(frozen=True)
class Shapes:
    """What the rules need to know of the tensors.

    Attributes:
        batch: samples per batch, N.
        channels, height, width: the teacher's feature, C x H x W (the student's after the
            connector). A feature of shape N x D counts as D x 1 x 1.
        classes: number of logits, K.
        same: the student's feature has the teacher's shape already.
        has_logits: teacher and student have logits that can be compared.
        student_positions: H W of the student's feature before the connector, if not the teacher's.
        boxes: the samples have ground-truth boxes. ``None`` where the task has none, and not
            False: the descriptions of studies from before there were regions then stay equal.
        logits_positions: H W of dense logits, whose positions count as samples.
        predictions: what two dense heads have in common, see :mod:`autokd_mm.space.predictions`;
            ``None`` where none are compared.
        starts: of :data:`~autokd_mm.space.start.STARTS`, those whose part of the teacher fits the
            student; ``None`` where none does.
        feature_teachers: of several teachers those whose features may be compared alone: name,
            channels, height, width, same and student_positions of each. ``None``: there is one
            teacher, or every layer has options of its own.
        logits_teachers: names of those whose logits may be compared alone, likewise.
    """
    batch: int = 64
    channels: int = 64
    height: int = 8
    width: int = 8
    classes: int = 100
    same: bool = True
    has_logits: bool = True
    student_positions: Optional[int] = None
    boxes: Optional[bool] = None
    logits_positions: Optional[int] = None
    predictions: Optional[Tuple[str, ...]] = None
    starts: Optional[Tuple[str, ...]] = None
    feature_teachers: Optional[Tuple[Tuple[Any, ...], ...]] = None
    logits_teachers: Optional[Tuple[str, ...]] = None

    @property
    def positions(self) -> int:
        return self.height * self.width


def of_teacher(teacher: Optional[str], shapes: Shapes) -> Shapes:
    """The shapes of the features of one teacher alone; as they are where all are heard."""
    for name, channels, height, width, same, positions in shapes.feature_teachers or ():
        if name == teacher:
            return replace(shapes, channels=channels, height=height, width=width, same=same,
                           student_positions=positions)
    return shapes


def region_view(region: Optional[str], shapes: Shapes) -> Shapes:
    """The shapes that a region leaves: instances are samples of 7 x 7."""
    if region != 'instances':
        return shapes
    return replace(shapes, batch=_INSTANCES, height=INSTANCE_SIDE, width=INSTANCE_SIDE)


def after_transform(transform: str, shapes: Shapes) -> Shapes:
    """The shapes behind a global transform."""
    if transform == 'spatial_attention':
        return replace(shapes, channels=1)
    if transform == 'channel_attention':
        return replace(shapes, height=1, width=1)
    return shapes
