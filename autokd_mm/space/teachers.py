"""Which of several teachers a branch listens to, as options of the space.

    all         every one: a loss for each of their features, the mean of their logits where the
                config names it, else a loss for the logits of each
    0, 1 ...    the one of that number alone

``feature_teacher`` is asked for the features and ``logits_teacher`` for the logits, so a student
may learn its features from one teacher and its logits from all. A teacher to whom no branch listens
is not in the config that is found.

Sources: You et al., "Learning from Multiple Teacher Networks", KDD 2017 (the mean of the teachers'
predictions); Du et al., "Agree to Disagree: Adaptive Ensemble Knowledge Distillation in Gradient
Space", NeurIPS 2020 (teachers may disagree).
"""
from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

from autokd_mm.errors import ConfigError, nearest
from autokd_mm.space.shapes import Shapes

ALL = 'all'
FEATURE_TEACHER, LOGITS_TEACHER = 'feature_teacher', 'logits_teacher'
TEACHER_LEVELS: Tuple[str, ...] = (FEATURE_TEACHER, LOGITS_TEACHER)


def as_named(value: Any) -> Any:
    """A teacher's number as it is named; what is no number stays for others to refuse."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def offered_teachers(given: Mapping[str, Sequence[Any]],
                     shapes: Shapes) -> Dict[str, Tuple[str, ...]]:
    """The options of both levels: those that are given, or all that there are.

    Raises:
        ConfigError: there is no such teacher.
    """
    there = {FEATURE_TEACHER: tuple(name for name, *_ in shapes.feature_teachers or ()),
             LOGITS_TEACHER: tuple(shapes.logits_teachers or ())}
    result = {}
    for level, names in there.items():
        result[level] = tuple(given.get(level, (ALL, *names)))
        for value in result[level]:
            check_teacher(value, (ALL, *names), f'space.{level}')
    return result


def check_teacher(value: Any, known: Sequence[str], key: str) -> None:
    """Refuse what is neither one of ``known`` nor ``None``.

    Args:
        key: of the config, for the message.

    Raises:
        ConfigError: names the nearest that there is.
    """
    if value is None or value in known:
        return
    if tuple(known) == (ALL, ):
        raise ConfigError(f'{key}={value!r} needs several teachers, each heard there; did you mean '
                          f"'{ALL}'?")
    raise ConfigError(f'{key}: {nearest(value, known)}')


def in_words(teacher: Optional[str]) -> str:
    """What stands behind a branch: ``' of teacher 0'``; nothing where all are heard."""
    return '' if teacher in (None, ALL) else f' of teacher {teacher}'
