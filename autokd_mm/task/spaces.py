"""The space over the tensors that were found: what can be searched for them."""
from __future__ import annotations

import math
from typing import Any, Callable, Iterable, List, Mapping, Optional, Sequence, Tuple

from autokd_mm.datasets.annotations import BOXES
from autokd_mm.models.algorithms.inherited import Parts
from autokd_mm.models.distillers import LayerPair, Layers
from autokd_mm.models.distillers.teachers import features_of, number_of
from autokd_mm.space import DistillerSpace, LayerwiseSpace, Shapes, Space
from autokd_mm.space.options import checked_options
from autokd_mm.space.predictions import BOXES as BOXES_TOO
from autokd_mm.space.predictions import (CENTERNESS, CROSS, DISTRIBUTIONS, HEAD_LEVEL, OBJECTNESS,
                                         SIGMOID, SOFTMAX)
from autokd_mm.space.teachers import ALL, FEATURE_TEACHER, LOGITS_TEACHER


def space_over(layers: Layers, kind: str, batch_size: int, options: Mapping[str, Any],
               say: Callable[[str], None], parts: Optional[Parts] = None) -> Space:
    """One distiller for all pairs of layers, or one for each where they do not share it.

    Args:
        layers: of :func:`find_layers`.
        kind: of the annotations, see :mod:`autokd_mm.datasets.annotations`.
        batch_size: of the proxy.
        options: lists that replace the default ones, by level.
        say: told how large the space is and which options are left out.
        parts: of the teacher, from which students may start.

    Raises:
        ConfigError: unknown level or option, or none that fits.
    """

    classes = 2 if layers.classes == 1 else layers.classes  # the class, and the rest
    given = checked_options(options)
    common = _predictions(layers, given.get(HEAD_LEVEL, ()), say)
    # A study from before one teacher was heard alone knows its tensors without these.
    feature_teachers = _feature_teachers(layers) if given.get(FEATURE_TEACHER) != (ALL, ) else None
    logits_teachers = _logits_teachers(layers) if given.get(LOGITS_TEACHER) != (ALL, ) else None

    def shapes(pair: LayerPair, same: bool) -> Shapes:
        return Shapes(batch_size, *pair.compared, classes, same, layers.classes > 0,
                      student_positions=_own_positions(pair),
                      boxes=True if kind == BOXES else None,
                      logits_positions=_logits_positions(layers),
                      predictions=common,
                      starts=tuple(parts.fitting) or None if parts else None,
                      feature_teachers=feature_teachers,
                      logits_teachers=logits_teachers)

    space: Space
    if layers.shared:
        # What the largest map allows is offered; pairs that are too small for it are left out
        # of the distiller (see distiller_config).
        largest = _largest(layers.pairs)
        space = DistillerSpace(options, shapes(largest, layers.same_shape), log=say)
    else:
        space = LayerwiseSpace(options, {pair.name: shapes(pair, pair.same_shape)
                                         for pair in layers.pairs}, say, layers.groups)
    say(f'{space.count():,} distillers')  # the walk also says what is left out
    return space


def _largest(pairs: Sequence[LayerPair]) -> LayerPair:
    return max(pairs, key=lambda pair: math.prod(pair.compared[1:]))


def _own_positions(pair: LayerPair) -> int:
    """H W of the student's map before a connector: its own size, on a grid that of the grid."""
    return math.prod((pair.student_shape if pair.strides is None else pair.compared)[1:])


def _teachers(pairs: Iterable[LayerPair]) -> List[str]:
    return sorted({number for number in (number_of(pair.teacher) for pair in pairs)
                   if number is not None}, key=int)


def _feature_teachers(layers: Layers) -> Optional[Tuple[Tuple[Any, ...], ...]]:
    """As :attr:`Shapes.feature_teachers`, where the features of several teachers are compared."""
    if not (layers.several and layers.shared) or len(_teachers(layers.pairs)) < 2:
        return None
    found = {number: features_of(layers, number) for number in _teachers(layers.pairs)}
    return tuple((number, *_largest(pairs).compared, all(pair.same_shape for pair in pairs),
                  _own_positions(_largest(pairs))) for number, pairs in found.items() if pairs)


def _logits_teachers(layers: Layers) -> Optional[Tuple[str, ...]]:
    names = _teachers(layers.logits + layers.own_logits)
    return tuple(names) if layers.several and len(names) > 1 else None


def _predictions(layers: Layers, heads: Sequence[str],
                 say: Callable[[str], None]) -> Optional[Tuple[str, ...]]:
    """What the dense heads have in common, in the words of the space.

    Args:
        heads: options of ``prediction_head`` that the config names.
    """
    found = layers.predictions
    if found is None:
        return None
    there = [SOFTMAX if found.exclusive else SIGMOID]
    if found.boxes and found.coding is not None:
        there += [BOXES_TOO] + ([DISTRIBUTIONS] if found.coding.bins else [])
    if found.quality:
        there.append(OBJECTNESS if found.objectness else CENTERNESS)
    if CROSS in heads:
        if found.cross:
            there.append(CROSS)
        else:
            say(f'{HEAD_LEVEL}={CROSS} left out: {found.cross_fault}')
    return tuple(there)


def _logits_positions(layers: Layers) -> Optional[int]:
    """H W of the largest map of logits; ``None`` where they are of whole images."""
    largest = max((math.prod(pair.compared[1:]) for pair in layers.logits), default=1)
    return largest if largest > 1 else None
