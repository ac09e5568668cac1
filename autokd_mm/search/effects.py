"""What each option is worth, with an interval, as the sampler's model of options sees it."""
import math
from statistics import NormalDist
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from autokd_mm.search.option_model import OptionModel
from autokd_mm.search.study_tree import StudyTree

_INSIDE = 1.645  # nine of ten of a normal distribution
_SURE = 0.05  # so often some pair would stand out by chance alone


class Effect(NamedTuple):
    """An option against the mean of the options of its level.

    Attributes:
        level: of the space, as ``shared_name`` calls it. option: as Python writes it.
        mean: in the unit of the values; more is better.
        spread: nine of ten such effects lie within ``mean`` +- ``spread``.
        trials: that took it.
    """
    level: str
    option: str
    mean: float
    spread: float
    trials: int


class Pair(NamedTuple):
    """Two options that follow each other, beyond the sum of the two; the numbers as in
    :class:`Effect`."""
    first: Tuple[str, str]
    second: Tuple[str, str]
    mean: float
    spread: float
    trials: int


def option_effects(trials: Sequence[FrozenTrial],
                   shared_name: Optional[Callable[[str], str]] = None) -> List[List[Effect]]:
    """By level, the one whose options differ most first; in a level the best option first.

    The model is linear: it knows no pairs, and what was rejected or failed counts as a poor value,
    not as a disaster.

    Args:
        trials: of a study that is maximised, in order.
        shared_name: as for :class:`~autokd_mm.search.MCTSSampler`.
    """
    known = _posterior(trials, OptionModel(shared_name=shared_name))
    if known is None:
        return []
    model, mean, covariance, width = known
    levels: Dict[str, List[int]] = {}
    for feature, key in enumerate(model._keys):
        if len(key) == 2 and model._sums[feature].visits:
            levels.setdefault(key[0], []).append(feature)
    found = []
    for level, features in levels.items():
        if len(features) < 2:
            continue
        share = np.full((len(features), len(features)), -1 / len(features))
        contrast = share + np.eye(len(features))
        means = contrast @ mean[features]
        variances = np.diag(contrast @ covariance[np.ix_(features, features)] @ contrast.T)
        found.append(sorted((Effect(level, model._keys[feature][1], width * one,
                                    _INSIDE * width * math.sqrt(variance),
                                    model._sums[feature].visits)
                             for feature, one, variance in zip(features, means, variances)),
                            key=lambda effect: -effect.mean))
    return sorted(found, key=lambda level: -abs(level[0].mean - level[-1].mean))


def telling_pairs(trials: Sequence[FrozenTrial],
                  shared_name: Optional[Callable[[str], str]] = None) -> Tuple[List[Pair], int]:
    """The pairs of options that follow each other and stand out of the noise, strongest first, and
    how many were looked at.

    The more pairs are looked at, the more stand out by chance; the bar is as much higher
    (Bonferroni), so that in nineteen of twenty searches without any such pair none is told.

    Args:
        trials, shared_name: as for :func:`option_effects`.
    """
    known = _posterior(trials, OptionModel(pairs=True, shared_name=shared_name))
    if known is None:
        return [], 0
    model, mean, covariance, width = known
    features = [feature for feature, key in enumerate(model._keys)
                if len(key) == 4 and model._sums[feature].visits]
    bar = NormalDist().inv_cdf(1 - _SURE / (2 * max(len(features), 1)))
    found = []
    for feature in features:
        deviation = math.sqrt(covariance[feature, feature])
        if abs(mean[feature]) > bar * deviation:
            key = model._keys[feature]
            found.append(Pair((key[0], key[1]), (key[2], key[3]), width * mean[feature],
                              _INSIDE * width * deviation, model._sums[feature].visits))
    return sorted(found, key=lambda pair: -abs(pair.mean)), len(features)


def _posterior(trials: Sequence[FrozenTrial], empty: OptionModel
               ) -> Optional[Tuple[OptionModel, np.ndarray, np.ndarray, float]]:
    """Model, mean and covariance by feature, and the width of the scale; None: nothing is known."""
    view = StudyTree(StudyDirection.MAXIMIZE, model=empty)
    view.sync(trials)
    model, width = view.tree.model, view.tree.value_of(1.0) - view.tree.value_of(0.0)
    assert model is not None
    if not width:
        return None
    posterior = view.tree.posterior()
    size, order = len(model), model._order
    precision = model._gram[:size, :size] + np.diag(model._precision())
    mean = np.empty(size)
    mean[order] = posterior.mean
    return model, mean, posterior.scale**2 * np.linalg.inv(precision), width
