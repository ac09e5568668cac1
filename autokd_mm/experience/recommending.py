"""The distillers that an experience ranks first for a task, before any trial."""
from __future__ import annotations

import math
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

from autokd_mm.experience.pooling import effects
from autokd_mm.experience.statistics import TaskStatistics
from autokd_mm.space import DistillerSpace


class Expected(NamedTuple):
    """What an experience expects of a distiller.

    Attributes:
        spec: the point of the space.
        gain: reward, which is the gain over no distillation, as in the tasks of the experience.
        deviation: of it; by the effects alone, a distiller has something of its own too.
        unknown: levels of which the experience knows nothing.
    """
    spec: Any
    gain: float
    deviation: float
    unknown: Tuple[str, ...]


def recommend(tasks: Sequence[TaskStatistics], space: DistillerSpace,
              samples: Optional[float] = None, count: int = 5) -> List[Expected]:
    """The distillers with the highest expected reward, best first.

    Args:
        tasks: of the experience.
        space: of the task; of equal distillers the first.
        samples: that the student is trained on in one trial.
        count: how many.
    """
    known = effects(tasks, samples)
    levels = {level for level, _ in known}
    level = sum(_level(task, known) for task in tasks) / len(tasks)
    width = sum(_width(task) for task in tasks) / len(tasks)
    low = sum(_low(task) for task in tasks) / len(tasks)

    def worth(name: str, value: Any) -> float:
        option = (name, repr(value))
        return known[option].mean if option in known else 0.0

    found = []
    for spec in space.leading(worth, count):
        total = sum(worth(*option) for option in spec.to_dict().items())
        variance = sum(known[option].deviation**2 for option in _options(spec) if option in known)
        unknown = tuple(level for level, _ in _options(spec) if level not in levels)
        found.append(Expected(spec, low + width * min(level + total, 1.0),
                              width * math.sqrt(variance), unknown))
    return found


def _options(spec: Any) -> List[Tuple[str, str]]:
    return [(level, repr(value)) for level, value in spec.to_dict().items()]


def _level(task: TaskStatistics, known: Any) -> float:
    """Of the task, less the effects of what its trials took: the mean of the linear model."""
    taken = sum(task.counts[place, place] * known[option].mean
                for place, option in enumerate(task.options) if option in known)
    return (task.total - taken) / task.trials


def _low(task: TaskStatistics) -> float:
    return float((task.about.get('reward') or (0.0, 1.0))[0])


def _width(task: TaskStatistics) -> float:
    low, high = task.about.get('reward') or (0.0, 1.0)
    return float(high - low)
