"""How the weight of a loss changes in the course of a training, as options of the space.

The weight at the share t of the training, 0 at its first step and 1 behind its last, is the
branch's weight times

    constant        1
    cosine          (1 + cos(pi t)) / 2
    linear          1 - t
    off_third       1 while t < 1/3, then 0
    off_two_thirds  1 while t < 2/3, then 0

Sources: Clark et al., "BAM! Born-Again Multi-Task Networks", ACL 2019 (teacher annealing: from the
teacher to the labels in a straight line; here the student's own loss keeps its weight); Cho and
Hariharan, "On the Efficacy of Knowledge Distillation", ICCV 2019 (the last part of the training is
without distillation), and likewise the second phase of Jafari et al., "Annealing Knowledge
Distillation", EACL 2021, which anneals the teacher's temperature, no weight. The cosine is that of
the learning rate.
"""
from __future__ import annotations

import math
from typing import Any, Callable, Dict, Optional, Tuple

from autokd_mm.errors import ConfigError, nearest

CONSTANT = 'constant'
_FACTORS: Dict[str, Callable[[float], float]] = {
    CONSTANT: lambda share: 1.0,
    'cosine': lambda share: (1 + math.cos(math.pi * share)) / 2,
    'linear': lambda share: 1 - share,
    'off_third': lambda share: float(share < 1 / 3),
    'off_two_thirds': lambda share: float(share < 2 / 3),
}
SCHEDULES: Tuple[str, ...] = tuple(_FACTORS)
SCHEDULE_LEVELS = ('feature_schedule', 'logits_schedule')
# Those that switch their loss off, and the share of the training at which they do.
ENDS: Dict[str, float] = dict(off_third=1 / 3, off_two_thirds=2 / 3)
_WORDS = dict(off_third='for the first third',
              off_two_thirds='for the first two thirds')


def weight_factor(schedule: Optional[str], share: float) -> float:
    """The factor of a weight.

    Args:
        schedule: one of :data:`SCHEDULES`; ``None`` is ``'constant'``.
        share: of the training that is done, from 0 to 1; what lies outside counts as the nearer
            end.

    Raises:
        ConfigError: an unknown schedule.
    """
    check_schedule(schedule, 'schedule')
    return _FACTORS[schedule or CONSTANT](min(max(share, 0.0), 1.0))


def check_schedule(schedule: Any, key: str) -> None:
    """Refuse what is neither a schedule nor ``None``.

    Args:
        key: of the config, for the message.

    Raises:
        ConfigError: names the nearest that there is.
    """
    if schedule is not None and (not isinstance(schedule, str) or schedule not in _FACTORS):
        raise ConfigError(f'{key}: {nearest(schedule, SCHEDULES)}')


def in_words(schedule: Optional[str]) -> str:
    """What stands behind a weight: ``' fading (cosine)'``; nothing where it is constant."""
    if schedule in (None, CONSTANT):
        return ''
    return ' ' + _WORDS.get(str(schedule), f'fading ({schedule})')
