"""The levels of a dense head's predictions: class maps, boxes, centerness or objectness."""
from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from autokd_mm.errors import ConfigError
from autokd_mm.space.reasons import CANNOT
from autokd_mm.space.shapes import Shapes

# What two dense heads may have in common, see Shapes.predictions.
SIGMOID, SOFTMAX, BOXES, DISTRIBUTIONS = 'sigmoid', 'softmax', 'boxes', 'distributions'
CENTERNESS, OBJECTNESS = 'centerness', 'objectness'
# The student's features fit into the teacher's head.
CROSS = 'cross'
EVERYTHING = (SIGMOID, SOFTMAX, BOXES, DISTRIBUTIONS, CENTERNESS)

# Level that may be 'none' -> those that are asked behind it otherwise.
_BEHIND: Dict[str, Tuple[str, ...]] = dict(prediction=('prediction_weight', ),
                                           box=('box_by', 'box_weight'),
                                           quality=('quality_weight', ))
# Whose head says what is compared, asked once behind them.
HEAD_LEVEL = 'prediction_head'
OWN_HEAD = 'own'
HEADS = (OWN_HEAD, CROSS)
PREDICTION_LEVELS: Tuple[str, ...] = (*(level for first, rest in _BEHIND.items()
                                        for level in (first, *rest)), HEAD_LEVEL)
FIRST_LEVELS = tuple(_BEHIND)
OPTIONS: Dict[str, Tuple[Any, ...]] = dict(
    prediction=('none', 'bce', 'weighted_bce', 'kl'),
    prediction_weight=(0.5, 1, 4),
    box=('none', 'l1', 'giou', 'kl'),
    box_by=('confidence', 'difference', 'foreground'),
    box_weight=(0.25, 1, 4),
    quality=('none', 'bce'),
    quality_weight=(1, ),
    prediction_head=(OWN_HEAD, ),
)
NUMBERS = ('prediction_weight', 'box_weight', 'quality_weight')


def asked(shapes: Shapes) -> Tuple[str, ...]:
    """The first levels that two heads are asked: those of which they have something in common."""
    there = shapes.predictions or ()
    needs = dict(prediction=(SIGMOID, SOFTMAX), box=(BOXES, ), quality=(CENTERNESS, OBJECTNESS))
    return tuple(level for level, wanted in needs.items() if any(one in there for one in wanted))


def levels_of(shapes: Shapes) -> Tuple[str, ...]:
    """All levels of :func:`asked`, and what is asked behind them."""
    found = tuple(level for first in asked(shapes) for level in (first, *_BEHIND[first]))
    return found + ((HEAD_LEVEL, ) if CROSS in (shapes.predictions or ()) else ())


def suggest_predictions(ask: Callable[[str], Any], shapes: Shapes) -> None:
    """Ask one level after another.

    Args:
        ask: is given a level and returns the option.
    """
    compared = False
    for first in asked(shapes):
        if ask(first) != 'none':
            compared = True
            for level in _BEHIND[first]:
                ask(level)
    if compared and CROSS in (shapes.predictions or ()):
        ask(HEAD_LEVEL)


def prediction_fault(level: str, option: Any, chosen: Mapping[str, Any],
                     shapes: Shapes) -> Optional[str]:
    """Why an option of one of these levels cannot follow what was chosen; ``None`` if it can."""
    there = shapes.predictions or ()
    if option == 'none':
        return _nothing(level, chosen, there)
    if level == 'prediction':
        if option == 'kl':
            return None if SOFTMAX in there else \
                CANNOT + 'the classes of a sigmoid are not exclusive'
        return None if SIGMOID in there else CANNOT + 'exclusive classes have a softmax'
    if level == 'box' and option == 'kl' and DISTRIBUTIONS not in there:
        return CANNOT + 'the heads write boxes as numbers, not as distributions'
    if level == 'box_by' and option == 'foreground' and not shapes.boxes:
        return CANNOT + 'the task has no boxes'
    return None


def _nothing(level: str, chosen: Mapping[str, Any], there: Tuple[str, ...]) -> Optional[str]:
    """Something is distilled: where there is nothing else, classes or boxes."""
    alone = chosen.get('transform') == 'logits_only' and chosen.get('logits') == 'none'
    last = level == 'box' or (level == 'prediction' and BOXES not in there)
    if alone and last and chosen.get('prediction', 'none') == 'none':
        return CANNOT + 'nothing would be distilled'
    return None


def without_predictions(options: Optional[Mapping[str, Any]]) -> Dict[str, Any]:
    """Option lists without those of these levels."""
    return {level: choices for level, choices in (options or {}).items()
            if level not in PREDICTION_LEVELS}


def refuse_unmet(options: Mapping[str, Any], shapes: Shapes) -> None:
    """Raise ``ConfigError`` where the options of a level leave out ``'none'``, and the heads have
    nothing in common that it is about; or where the student's own head is left out, and the
    teacher's takes nothing else."""
    for level in FIRST_LEVELS:
        if 'none' not in options[level] and level not in asked(shapes):
            raise ConfigError(f'space.{level}: {list(options[level])} need dense heads that have '
                              'it in common (layers.student_predictions and '
                              "layers.teacher_predictions); did you mean 'none'?")
    heads = options[HEAD_LEVEL]
    if OWN_HEAD not in heads and CROSS not in (shapes.predictions or ()):
        why = ("cannot be used, the student's features do not go through the teacher's head"
               if asked(shapes) else
               'need dense heads that have something in common (layers.student_predictions and '
               'layers.teacher_predictions)')
        raise ConfigError(f"space.{HEAD_LEVEL}: {list(heads)} {why}; did you mean '{OWN_HEAD}'?")


def check_prediction(level: str, value: Any, shapes: Shapes) -> None:
    """Raise ``ConfigError`` where a distiller names an option of a level that is not asked."""
    if value is None or level in levels_of(shapes):
        return
    if level == HEAD_LEVEL and value in HEADS:
        raise ConfigError(f'distiller option {level}={value!r} is not offered here; '
                          f"space.{level}={list(HEADS)} does, where the student's features fit "
                          "into the teacher's head")
    raise ConfigError(f'distiller option {level}={value!r} needs dense heads that are both '
                      'understood (layers.student_predictions and layers.teacher_predictions); '
                      'leave it out')


def in_words(spec: Any) -> Tuple[str, ...]:
    """The parts of a distiller's line: ``('classes weighted bce x1', 'boxes giou by confidence
    x4')``."""
    parts = []
    if spec.prediction is not None:
        parts.append(f'classes {spec.prediction.replace("_", " ")} x{spec.prediction_weight:g}')
    if spec.box is not None:
        parts.append(f'boxes {spec.box} by {spec.box_by} x{spec.box_weight:g}')
    if spec.quality is not None:
        parts.append(f'quality {spec.quality} x{spec.quality_weight:g}')
    if spec.prediction_head is not None:
        parts = [f'cross-head {part}' for part in parts]
    return tuple(parts)
