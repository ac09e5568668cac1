"""From the statistics of several tasks to a prior for the next one.

A hierarchical linear model: in a trial of table t of task g, trained on s samples,

    z = mu_t + sum_f (theta_f + l beta_f + delta_gf) x_f + e,    l = ln(s / 10,000)

theta is what all tasks have in common, beta how it changes with the length of the training, delta
what is a task's own, e the noise of the table. All are normal with mean zero; how far tasks differ
in an option, Var(delta_gf), is learnt by expectation maximisation from all of them, from a guess
that counts as much as so many tasks (empirical Bayes). What is expected of an option in a new task
is theta + l beta; the variance of that and of delta is its width, so that what differs between
tasks is believed less.

Sources: Efron and Morris, "Data Analysis Using Stein's Estimator", JASA 1975; Dempster, Laird and
Rubin, JRSS B 1977; Swersky, Snoek and Adams, "Multi-Task Bayesian Optimization", NIPS 2013, for
searches that learn from others.
"""
from __future__ import annotations

import math
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from autokd_mm.experience.statistics import Option, TaskStatistics, by_level
from autokd_mm.search.prior import Belief, Prior

_COMMON = 0.15**2  # variance of what tasks have in common, on the scale of the tree
_LENGTH = 0.04**2  # of its change when the training is e times as long
_BETWEEN = 0.10**2  # guess of the variance between tasks
_GUESSES = 4.0  # so many tasks the guess counts as
_NOISE = 0.25**2  # guess of the variance of a trial's value, on the scale of the whole table
# A search sees a narrower range, from poor among the good to the best so far: effects are larger
# on its scale, by this, and so is the noise.
_STRETCH, _SEEN = 2.0, 0.35**2
_FLAT = 1e-3  # of own effects, when the noise of a table is estimated
_ROUNDS = 10
_USUAL = 1e4  # samples, where a length is zero or not known


class Effect(NamedTuple):
    """Of an option in a new task, on the scale from poor (0) to best (1)."""
    mean: float
    deviation: float


def pool(tasks: Sequence[TaskStatistics], samples: Optional[float] = None) -> Prior:
    """What tasks say of a new one, to a search: it sees a narrower range.

    Args:
        tasks: at least one.
        samples: that the student of the new task will be trained on in one trial.
    """
    return Prior({option: Belief(_STRETCH * effect.mean, _SEEN / effect.deviation**2)
                  for option, effect in effects(tasks, samples).items()})


def effects(tasks: Sequence[TaskStatistics],
            samples: Optional[float] = None) -> Dict[Option, Effect]:
    """The same on the scale of whole tables; arguments as for :func:`pool`.

    Only options whose rivals are known too: a level with one option says nothing.
    """
    options = sorted({option for task in tasks for option in task.options})
    names = sorted({task.name for task in tasks})
    common = _Common(options, names)
    for task in tasks:
        common.add(task)
    between = np.full(len(options), _BETWEEN)
    for _ in range(_ROUNDS):
        between = common.between(common.solve(between)[2])
    mean, covariance = common.at(_length(samples), *common.solve(between)[:2])
    covariance = covariance + np.diag(between)
    found: Dict[Option, Effect] = {}
    for places in by_level(options).values():
        if len(places) > 1:
            for place, variance in zip(places, _contrasts(covariance, places)):
                found[options[place]] = Effect(float(mean[place]), math.sqrt(variance))
    return found


def _length(samples: Optional[float]) -> float:
    return math.log(samples / _USUAL) if samples else 0.0


class _Common:
    """Normal equations of theta and beta, and of the delta of each task, which meet those of other
    tasks in theta and beta alone: they are solved one after the other, whatever their number."""

    def __init__(self, options: Sequence[Option], names: Sequence[str]) -> None:
        self.options, self.names = options, names
        self.places = {option: place for place, option in enumerate(options)}
        size = len(options)
        self.gram, self.target = np.zeros((2 * size, 2 * size)), np.zeros(2 * size)
        self.own = [np.zeros((size, size)) for _ in names]
        self.cross = [np.zeros((2 * size, size)) for _ in names]
        self.targets = np.zeros((len(names), size))
        self.seen: np.ndarray = np.zeros((len(names), size), bool)

    def add(self, task: TaskStatistics) -> None:
        count = np.diag(task.counts)
        gram = task.counts - np.outer(count, count) / task.trials
        target = np.diag(task.sums) - count * task.total / task.trials
        noise = _noise(task, gram, target)
        index = np.array([self.places[option] for option in task.options], int)
        group, size = self.names.index(task.name), len(self.options)
        self.seen[group, index] = True
        self.own[group][np.ix_(index, index)] += gram / noise
        self.targets[group, index] += target / noise
        blocks = ((0, 1.0), (1, _length(task.samples)))
        for row, weight in blocks:
            self.target[row * size + index] += weight * target / noise
            self.cross[group][np.ix_(row * size + index, index)] += weight * gram / noise
            for column, other in blocks:
                self.gram[np.ix_(row * size + index, column * size + index)] += \
                    weight * other * gram / noise

    def solve(self, between: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean and covariance of theta and beta, and of each delta what is expected of its square.

        A delta is eliminated by its Schur complement (Boyd and Vandenberghe, "Convex Optimization",
        appendix A.5.5).
        """
        size = len(self.options)
        gram = self.gram + np.diag(1.0 / np.repeat([_COMMON, _LENGTH], size))
        target = self.target.copy()
        inverses, ties = [], []
        for own, cross, own_target in zip(self.own, self.cross, self.targets):
            inverses.append(np.linalg.inv(own + np.diag(1.0 / between)))
            ties.append(cross @ inverses[-1])
            gram -= ties[-1] @ cross.T
            target -= ties[-1] @ own_target
        covariance = np.linalg.inv(gram)
        mean, squares = covariance @ target, []
        for inverse, tie, own_target in zip(inverses, ties, self.targets):
            delta = inverse @ own_target - tie.T @ mean
            spread = np.diag(inverse) + np.einsum('ai,ab,bi->i', tie, covariance, tie,
                                                  optimize=True)
            squares.append(delta**2 + spread)
        return mean, covariance, np.array(squares)

    def between(self, squares: np.ndarray) -> np.ndarray:
        """How far tasks differ in each option, by what is known of the differences."""
        return (_GUESSES * _BETWEEN + (squares * self.seen).sum(0)) / (_GUESSES + self.seen.sum(0))

    def at(self, length: float, mean: np.ndarray,
           covariance: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Mean and covariance of what all tasks have in common at a length."""
        size = len(self.options)
        blocks = covariance.reshape(2, size, 2, size)
        weights = np.array([1.0, length])
        return (weights @ mean.reshape(2, size),
                np.einsum('i,iajb,j->ab', weights, blocks, weights))


def _noise(task: TaskStatistics, gram: np.ndarray, target: np.ndarray) -> float:
    """Variance of the rewards of a table about the sums of effects, at least a little."""
    effects = np.linalg.solve(gram + _FLAT * np.eye(len(gram)), target)
    left = task.squares - task.total**2 / task.trials - float(target @ effects)
    free = max(task.trials - np.linalg.matrix_rank(gram) - 1, 1)
    guess = 3.0  # the residuals of a small table are too small
    return max((left + guess * _NOISE) / (free + guess), 1e-4)


def _contrasts(covariance: np.ndarray, places: List[int]) -> List[float]:
    """Variances of the options of a level without what they have in common."""
    count = len(places)
    centre = np.eye(count) - 1.0 / count
    own = centre @ covariance[np.ix_(places, places)] @ centre
    return [float(variance) * count / (count - 1) for variance in np.diag(own)]
