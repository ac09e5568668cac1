"""What each option is worth, with an interval, as the sampler's model of options sees it."""
import math
from statistics import NormalDist
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from autokd_mm.search.option_model import OptionModel
from autokd_mm.search.posterior import Sums as Moments
from autokd_mm.search.posterior import plain
from autokd_mm.search.study_tree import StudyTree

_INSIDE = 1.645  # nine of ten of a normal distribution
_SURE = 0.05  # so often some pair would stand out by chance alone


class Effect(NamedTuple):
    """An option against the mean of the options of its level, with what comes of the questions
    that are asked behind it alone.

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


def beyond(effect: Effect) -> float:
    """How much of an effect is left beyond its spread; below 0 it does not stand out."""
    return abs(effect.mean) - effect.spread


class Effects:
    """Of the options of a study, and of pairs that follow each other.

    Args:
        trials: of a study that is maximised, in order.
        shared_name: as for :class:`~autokd_mm.search.MCTSSampler`.
    """

    def __init__(self, trials: Sequence[FrozenTrial],
                 shared_name: Optional[Callable[[str], str]] = None) -> None:
        self._view = StudyTree(StudyDirection.MAXIMIZE,
                               model=OptionModel(pairs=True, shared_name=shared_name))
        self._view.sync(trials)
        tree = self._view.tree
        self._width = tree.value_of(1.0) - tree.value_of(0.0)

    def by_level(self) -> List[List[Effect]]:
        """The level first in which an option is furthest beyond its spread; in a level the best
        option first.

        The model is linear and knows no pairs here; what was rejected or failed counts in it as a
        poor value, not as a disaster.
        """
        keys, sums = self._model._keys, self._model._sums
        known = [feature for feature, key in enumerate(keys) if len(key) < 4]
        mean, covariance = self._posterior(known)
        levels: Dict[str, List[int]] = {}
        for place, feature in enumerate(known):
            if len(keys[feature]) == 2 and sums[feature].visits:
                levels.setdefault(keys[feature][0], []).append(place)
        worth = self._worth(known, levels)
        found = []
        for level, places in levels.items():
            if len(places) < 2 or not self._width:
                continue
            contrast = worth[places] - worth[places].mean(0)
            spreads = _INSIDE * np.sqrt(np.diag(contrast @ covariance @ contrast.T))
            found.append(sorted(
                (Effect(level, keys[known[place]][1], self._width * float(one),
                        self._width * float(spread), sums[known[place]].visits)
                 for place, one, spread in zip(places, contrast @ mean, spreads)),
                key=lambda effect: -effect.mean))
        return sorted(found, key=lambda options: -max(map(beyond, options)))

    def _worth(self, known: Sequence[int], levels: Mapping[str, Sequence[int]]) -> np.ndarray:
        """By option, what its worth is made of: its own effect, and of each other level the mean
        effect of what trials answered there, as often as it was asked along with the option.

        Without the latter, an option that ends the questions, such as no logits, would be compared
        with others as if nothing came of the temperatures and weights that only they ask for.
        """
        worth = np.eye(len(known))
        gram, visits = self._model._gram, [self._model._sums[feature].visits for feature in known]
        for places in levels.values():
            answers = np.array([visits[place] for place in places], float)
            answers /= answers.sum()
            features = [known[place] for place in places]
            for option in (place for own in levels.values() if own is not places for place in own):
                asked = gram[known[option], features].sum() / visits[option]
                worth[option, places] += asked * answers
        return worth

    def pairs(self) -> Tuple[List[Pair], int]:
        """The pairs of options that follow each other and stand out of the noise, strongest first,
        and how many were looked at.

        The more pairs are looked at, the more stand out by chance; the bar is as much higher
        (Bonferroni), so that in nineteen of twenty searches without any such pair none is told.
        """
        keys, sums = self._model._keys, self._model._sums
        features = [feature for feature, key in enumerate(keys)
                    if len(key) == 4 and sums[feature].visits]
        if not features or not self._width:
            return [], len(features)
        mean, covariance = self._posterior(range(len(keys)))
        bar = NormalDist().inv_cdf(1 - _SURE / (2 * len(features)))
        found = []
        for feature in features:
            deviation = math.sqrt(covariance[feature, feature])
            if abs(mean[feature]) > bar * deviation:
                key = keys[feature]
                found.append(Pair((key[0], key[1]), (key[2], key[3]), self._width * mean[feature],
                                  _INSIDE * self._width * deviation, sums[feature].visits))
        return sorted(found, key=lambda pair: -abs(pair.mean)), len(features)

    @property
    def _model(self) -> OptionModel:
        model = self._view.tree.model
        assert model is not None
        return model

    def _posterior(self, features: Sequence[int]) -> Tuple[np.ndarray, np.ndarray]:
        """Mean and covariance of these features, in this order, as if there were no others; see
        :meth:`OptionModel.posterior`."""
        model, scale = self._model, self._view.tree._scale
        index = np.array(features)
        found = plain(Moments(
            model._gram[np.ix_(index, index)],
            np.array([model._sums[f].above(scale.low, scale.width) for f in features]),
            scale.squares(self._view.tree.root), model._sums[0].visits),
            model._precision()[index], draw=1.0, shrinkage=1.0)
        assert found.factor is not None
        return found.mean, found.scale**2 * np.linalg.inv(found.factor @ found.factor.T)
