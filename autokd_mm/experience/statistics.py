"""What one finished search or table says of options, as sums that can be added up.

Rewards are seen on the scale of the search tree (:mod:`autokd_mm.search.scale`): 0 is the lower
quartile and everything below, failures too, 1 is the best, and what is too far above to be believed
is :data:`~autokd_mm.search.node.OUTLIER`. So tasks with rewards of another unit can be compared,
and what is known has the scale on which a search looks at it.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from autokd_mm.errors import DataError
from autokd_mm.search.node import OUTLIER
from autokd_mm.search.scale import Scale

LEAST = 10  # trials; fewer do not say what is poor and what is good

_SAME = 1e-6  # of the variance of an option, where all trials say the same of it

Option = Tuple[str, str]  # level, repr of the choice


@dataclass(frozen=True)
class TaskStatistics:
    """Sums over the trials of one task.

    Attributes:
        name: of the task; tasks of one name are the same one, of another length perhaps.
        options: that were taken, as (level, ``repr`` of the choice), sorted.
        counts: trials that took both options, a symmetric matrix; one option on the diagonal.
        sums: of the standardised rewards of the trials that took both.
        trials: number of all.
        total, squares: sum of the standardised rewards, and of their squares.
        samples: that the student was trained on in one trial; None where nobody knows.
        about: what else is known of the task, and where it comes from; JSON values. ``reward``: the
            poor one and the best one.
    """
    name: str
    options: Tuple[Option, ...]
    counts: np.ndarray
    sums: np.ndarray
    trials: int
    total: float
    squares: float
    samples: Optional[float] = None
    about: Mapping[str, Any] = field(default_factory=dict)


def statistics(name: str, paths: Sequence[Sequence[Option]],
               rewards: Sequence[Optional[float]], samples: Optional[float] = None,
               about: Optional[Mapping[str, Any]] = None) -> TaskStatistics:
    """Add up trials.

    Args:
        paths: the options of each trial.
        rewards: of each, higher is better; None or not finite: it failed.
        name, samples, about: see :class:`TaskStatistics`.

    Raises:
        DataError: there are too few trials, or all rewards are the same.
    """
    values = standardised(rewards)
    if len(values) < LEAST or not values.any():
        raise DataError(f'{name}: {len(values)} trials say nothing of what is good; at least '
                        f'{LEAST} with different rewards are needed')
    options = sorted({option for path in paths for option in path})
    places = {option: place for place, option in enumerate(options)}
    taken = np.zeros((len(paths), len(options)))
    for row, path in zip(taken, paths):
        row[[places[option] for option in path]] = 1.0
    low, high = _range(rewards)
    return TaskStatistics(name, tuple(options), taken.T @ taken, (taken.T * values) @ taken,
                          len(values), float(values.sum()), float(values @ values), samples,
                          dict(about or {}, reward=[low, high]))


def standardised(rewards: Sequence[Optional[float]]) -> np.ndarray:
    """Rewards on the scale of the tree; all zero where they are the same."""
    low, high = _range(rewards)
    if low == high:
        return np.zeros(len(rewards))
    values = np.array([np.nan if reward is None else reward for reward in rewards], float)
    values = np.maximum(np.where(np.isfinite(values), values - low, 0.0) / (high - low), 0.0)
    return np.where(values > 1.0 + 1e-9, OUTLIER, np.minimum(values, 1.0))


def _range(rewards: Sequence[Optional[float]]) -> Tuple[float, float]:
    """The poor reward and the best one, which the scale has as 0 and 1."""
    scale = Scale()
    for reward in rewards:
        if reward is not None and np.isfinite(reward):
            scale.add(float(reward), [])
    return float(scale.low), float(scale.low + scale.width)


def contradict(counts: np.ndarray, sums: np.ndarray, trials: float, total: float,
               squares: float) -> bool:
    """Whether no trials can have these sums: options that are the same in all trials differ in
    their rewards, or the options explain more than there is.

    Args: those of :class:`TaskStatistics`, rounded as a file has them.
    """
    alone = np.diag(counts)
    strengths, directions = np.linalg.eigh(counts - np.outer(alone, alone) / trials)
    target = directions.T @ (np.diag(sums) - alone * total / trials)
    told = strengths > _SAME * trials
    explained = float((target[told]**2 / strengths[told]).sum())
    # What rounding may make of either.
    return bool((abs(target[~told]) > 5e-3).any()) \
        or explained > 1.01 * (squares - total**2 / trials) + 0.05


def by_level(options: Sequence[Option]) -> Dict[str, List[int]]:
    """The places of the options of each level."""
    found: Dict[str, List[int]] = {}
    for place, (level, _) in enumerate(options):
        found.setdefault(level, []).append(place)
    return found
