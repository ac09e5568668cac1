"""Where a distiller listens: pairs of layers, and how one is named."""
from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

from autokd_mm.errors import ConfigError
from autokd_mm.models.connectors.layout import Layout
from autokd_mm.models.losses.box_coding import BoxCoding
from autokd_mm.space.predictions import CENTERNESS, OBJECTNESS

Shape = Tuple[int, int, int]
_INDEXED = re.compile(r'(.+)\[(\d+)\]')


@dataclass(frozen=True)
class LayerPair:
    """A tensor of the student that is compared with one of the teacher.

    Attributes:
        name: of its recorders, of its loss behind ``loss_``, and of the teacher's array in a
            bank: ``'feature'`` where there is one pair, else ``'feature_0'``, ``'feature_1'`` ...
        student, teacher: names of the modules, with an index where a module gives several
            tensors (see :func:`split_source`).
        student_shape, teacher_shape: C x H x W (D x 1 x 1 for vectors) for the image with which
            both networks were tried. Where images differ in size, so do H and W.
        factor: of the pair in its branch; those of a branch add up to 1.
        student_calls, teacher_calls: the index counts the calls of the module and not the tensors
            of the tuple that it returns.
        student_layout, teacher_layout: how the tensor is read as a map; the shapes are those of
            the map.
        strides: of the student's map and of the teacher's in pixels, where images may differ in
            size and the strides do: both are then compared on the coarser grid. ``None``: a map of
            another size is brought to that of the teacher.
    """
    name: str
    student: str
    teacher: str
    student_shape: Shape
    teacher_shape: Shape
    factor: float = 1.0
    student_calls: bool = False
    teacher_calls: bool = False
    student_layout: Layout = Layout()
    teacher_layout: Layout = Layout()
    strides: Optional[Tuple[int, int]] = None

    @property
    def compared(self) -> Shape:
        """C x H x W of the two tensors that a loss compares."""
        coarser = self.strides is not None and self.strides[0] > self.strides[1]
        size = (self.student_shape if coarser else self.teacher_shape)[1:]
        return (self.teacher_shape[0], *size)

    @property
    def same_shape(self) -> bool:
        """Nothing has to be learned to compare the two."""
        if self.strides is not None:
            return self.student_shape[0] == self.teacher_shape[0]
        return self.student_shape == self.teacher_shape

    def connector(self, who: str) -> Dict[str, Any]:
        """Arguments of the connector that reads the tensor of ``'student'`` or ``'teacher'`` as the
        map that is compared; none where it is that map."""
        layout = getattr(self, f'{who}_layout')
        strides = None if layout.stride is None else (layout.stride, layout.stride)
        if self.strides is not None:
            own, other = self.strides if who == 'student' else self.strides[::-1]
            strides = (own, other) if own < other else strides
        return dict(layout.arguments(), **({} if strides is None else dict(strides=strides)))

    def recorder(self, who: str) -> Dict[str, Any]:
        """MMRazor's recorder of ``'student'`` or ``'teacher'``."""
        return dict(type='mmrazor.ModuleOutputs', source=split_source(getattr(self, who))[0])

    def record(self, who: str) -> Dict[str, Any]:
        """Where MMRazor's mappings find the tensor in that recorder."""
        index = split_source(getattr(self, who))[1]
        place = 'record_idx' if getattr(self, f'{who}_calls') else 'data_idx'
        return dict(recorder=self.name, from_student=who == 'student',
                    **({} if index is None else {place: index}))


@dataclass(frozen=True)
class CrossHead:
    """The way of the student's features through the teacher's head.

    Attributes:
        source: the student's module whose input they are, once for each level.
        modules: names of the teacher's modules that they go through, one behind another; once for
            all levels, or for each.
    """
    source: str
    modules: Tuple[Tuple[str, ...], ...]


@dataclass(frozen=True)
class Predictions:
    """The outputs of a dense head of the student and one of the teacher, level by level.

    Attributes:
        classes: the pairs of class maps.
        boxes, quality: likewise; empty where the two heads have none in common.
        numbers: K, how many classes an anchor has, with the background where they are exclusive.
        anchors: of a position.
        exclusive: classes exclude one another (softmax), and the last is the background.
        coding: of the boxes.
        objectness: ``quality`` is objectness, and no centerness.
        cross: of ``'classes'``, ``'boxes'`` and ``'quality'`` the way through the teacher's head;
            empty where the student's features do not fit into it.
        cross_fault: why they do not.
    """
    classes: Tuple[LayerPair, ...]
    numbers: int
    anchors: int = 1
    exclusive: bool = False
    boxes: Tuple[LayerPair, ...] = ()
    coding: Optional[BoxCoding] = None
    quality: Tuple[LayerPair, ...] = ()
    objectness: bool = False
    cross: Mapping[str, CrossHead] = field(default_factory=dict)
    cross_fault: str = ''

    @property
    def all(self) -> Tuple[LayerPair, ...]:
        return self.classes + self.boxes + self.quality

    def of(self, what: str) -> Tuple[LayerPair, ...]:
        """The pairs of ``'classes'``, ``'boxes'`` or ``'quality'``."""
        return tuple(getattr(self, what))

    def in_words(self) -> str:
        """``'3 levels of 6 x 10 classes by sigmoid, boxes as deltas, centerness'``."""
        several = len(self.classes) > 1
        parts = [(f'{len(self.classes)} levels of ' if several else '')
                 + f'{self.anchors} x {self.numbers} classes by '
                 + ('softmax' if self.exclusive else 'sigmoid')]
        if self.coding is not None and self.boxes:
            parts.append(f'boxes as {self.coding.in_words()}')
        if self.quality:
            parts.append(OBJECTNESS if self.objectness else CENTERNESS)
        return ', '.join(parts)


@dataclass(frozen=True)
class Layers:
    """What is compared.

    Attributes:
        pairs: the feature branch.
        logits: the logits branch, may be empty.
        scores: name of the student's module whose output are its predictions, where these are not
            what is distilled (a transformer with a distillation token); ``None``: the first of the
            logits.
        predictions: what two dense heads have in common; ``None`` where none are compared.
        several: the teacher is several, and names of its layers begin with a teacher's number.
        own_logits: of several teachers the logits of each, where ``logits`` has their mean and a
            distiller may listen to one alone.
        shared: all pairs of the feature branch are compared in the same way; otherwise each has
            options of its own (:class:`~autokd_mm.space.LayerwiseSpec`).
        groups: without it, names of pairs that are compared in the same way nevertheless.
    """
    pairs: Tuple[LayerPair, ...]
    logits: Tuple[LayerPair, ...] = ()
    scores: Optional[str] = None
    shared: bool = True
    predictions: Optional[Predictions] = None
    several: bool = False
    own_logits: Tuple[LayerPair, ...] = ()
    groups: Tuple[Tuple[str, ...], ...] = ()

    @classmethod
    def single(cls, student: str, teacher: str, student_logits: Optional[str],
               teacher_logits: Optional[str], student_shape: Shape, teacher_shape: Shape,
               classes: int = 0) -> 'Layers':
        """One pair of features, and at most one of logits."""
        logits: Tuple[LayerPair, ...] = ()
        if student_logits and teacher_logits:
            shape = (classes, 1, 1)
            logits = (LayerPair('logits', student_logits, teacher_logits, shape, shape), )
        return cls((LayerPair('feature', student, teacher, student_shape, teacher_shape), ),
                   logits)

    @property
    def all(self) -> Tuple[LayerPair, ...]:
        return self.pairs + self.logits

    @property
    def same_shape(self) -> bool:
        """All pairs of features have equal shapes."""
        return all(pair.same_shape for pair in self.pairs)

    @property
    def classes(self) -> int:
        """Channels of the logits, 0 without logits."""
        return self.logits[0].student_shape[0] if self.logits else 0

    @property
    def heard(self) -> Tuple[LayerPair, ...]:
        """All of which a bank holds what the teacher says; the student's features and logits alone
        are measured."""
        return self.all + self.own_logits + (self.predictions.all if self.predictions else ())

    def sources(self, who: str) -> Dict[str, str]:
        """Names of the layers by name of the pair, of ``'teacher'`` all that are heard."""
        return {pair.name: getattr(pair, who) for pair in self._of(who)}

    def layouts(self, who: str) -> Dict[str, Layout]:
        """How the tensors there are read as maps, by name of the pair."""
        return {pair.name: getattr(pair, f'{who}_layout') for pair in self._of(who)}

    def _of(self, who: str) -> Tuple[LayerPair, ...]:
        return self.heard if who == 'teacher' else self.all


def split_source(source: str) -> Tuple[str, Optional[int]]:
    """``'neck[2]'`` -> ``('neck', 2)``, ``'neck'`` -> ``('neck', None)``.

    The index picks a tensor of the tuple that the module returns, or the output of one of its
    calls where it is called several times in one forward pass.
    """
    found = _INDEXED.fullmatch(source) if isinstance(source, str) else None
    return (found.group(1), int(found.group(2))) if found else (source, None)


def pair_names(branch: str, count: int) -> Tuple[str, ...]:
    """Names of the pairs of a branch, ``'feature'`` or ``'logits'``."""
    return (branch, ) if count == 1 else tuple(f'{branch}_{i}' for i in range(count))


def checked_factors(factors: Sequence[float], pairs: int) -> Tuple[float, ...]:
    """Factors of the pairs of a branch as given in a config, scaled to add up to 1.

    Raises:
        ConfigError: not one finite number of at least 0 for each pair, or nothing above 0.
    """
    if len(factors) != pairs:
        raise ConfigError(f'layers.factors has {len(factors)} numbers for {pairs} pairs of layers')
    for factor in factors:
        if isinstance(factor, bool) or not isinstance(factor, (int, float)) \
                or not 0 <= factor < float('inf'):
            raise ConfigError(f'layers.factors: {factor!r} is not a finite number of at least 0')
    total = float(sum(factors))
    if total <= 0:
        raise ConfigError('layers.factors: at least one must be above 0')
    return tuple(factor / total for factor in factors)
