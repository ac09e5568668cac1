"""Where a distiller lies in a space: the answers that lead to it, or why none do."""
from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, Tuple

from autokd_mm.errors import ConfigError
from autokd_mm.space.offers import Offers
from autokd_mm.space.options import BOX_LEVELS, DEFAULT_OPTIONS
from autokd_mm.space.predictions import HEAD_LEVEL, PREDICTION_LEVELS, check_prediction
from autokd_mm.space.reasons import CANNOT
from autokd_mm.space.schedules import CONSTANT, SCHEDULE_LEVELS, check_schedule
from autokd_mm.space.shapes import Shapes
from autokd_mm.space.spec import LEVELS, UNNAMED, DistillerSpec
from autokd_mm.space.start import OWN, check_start
from autokd_mm.space.teachers import TEACHER_LEVELS, check_teacher
from autokd_mm.space.walk import GuidedTrial, NotOffered


def answers_of(spec: DistillerSpec, suggest: Callable[[Any], DistillerSpec], offers: Offers,
               options: Mapping[str, Tuple[Any, ...]], shapes: Shapes) -> Dict[str, Any]:
    """The answers with which ``suggest`` returns ``spec``.

    Args:
        spec: the distiller.
        suggest: asks a trial, see :class:`~autokd_mm.space.DistillerSpace`.
        offers: says why an option cannot be used.
        options: the option list of every level.
        shapes: the tensors that will be compared.

    Raises:
        ConfigError: it is no point of that space; names the level and what it offers.
    """
    _refuse_levels_that_are_not_asked(spec, options, shapes)
    guided = GuidedTrial(dict(UNNAMED, **spec.to_dict()))
    try:
        reached = suggest(guided)
    except NotOffered as error:
        raise ConfigError(_why_not_offered(error, spec, offers, options)) from None
    for level in LEVELS:
        if getattr(reached, level) != getattr(spec, level):
            raise ConfigError(_why_it_ends_elsewhere(level, spec, reached, shapes))
    return guided.params


def _refuse_levels_that_are_not_asked(spec: DistillerSpec, options: Mapping[str, Tuple[Any, ...]],
                                      shapes: Shapes) -> None:
    """The walk would blame what they leave to distil."""
    for level in SCHEDULE_LEVELS:
        check_schedule(getattr(spec, level), f'distiller option {level}')
    for level in PREDICTION_LEVELS:
        check_prediction(level, getattr(spec, level), shapes)
    for level in TEACHER_LEVELS:
        check_teacher(getattr(spec, level), options[level], f'distiller option {level}')
    check_start(spec.start, 'distiller option start')
    if spec.start is not None and spec.start not in options['start']:
        raise ConfigError(f'distiller option start={spec.start!r} is not offered here (that '
                          'part of the teacher does not fit, or space.start leaves it out). '
                          f'Valid: {", ".join(options["start"])}')


def _why_not_offered(error: NotOffered, spec: DistillerSpec, offers: Offers,
                     options: Mapping[str, Tuple[Any, ...]]) -> str:
    if error.level == 'start_lr' and spec.start is None:  # a start alone is not asked
        copied = ', '.join(start for start in options['start'] if start != OWN)
        return (f"distiller option start='own' is not offered here. Valid: {copied} "
                f'({CANNOT}nothing would be distilled)')
    reason = None
    if error.value in options[error.level] + DEFAULT_OPTIONS[error.level]:
        reason = offers.fault(error.level, error.value, spec.to_dict())
    return f'{error}{f" ({reason})" if reason else ""}'


def _why_it_ends_elsewhere(level: str, spec: DistillerSpec, reached: DistillerSpec,
                           shapes: Shapes) -> str:
    wanted, only = getattr(spec, level), getattr(reached, level)
    if only is None and level in SCHEDULE_LEVELS and \
            getattr(reached, f'has_{level.split("_")[0]}'):
        only = CONSTANT
    if wanted is None and level in (*TEACHER_LEVELS, HEAD_LEVEL):
        wanted = UNNAMED[level]
    if level in BOX_LEVELS and not shapes.boxes:
        why = 'needs boxes, which this task has not; leave it out'
    elif only is None:
        why = 'means nothing beside the other options; leave it out'
    else:
        why = f'is not a point of this space; it offers {only!r} there'
    return f'distiller option {level}={wanted!r} {why}'
