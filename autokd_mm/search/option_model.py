"""Statistics of options shared by the whole tree: a Bayesian linear model of the reward.

A node of the tree has seen the few trials of its own path; an option (``logits=kl``) has seen all
the trials that took it anywhere. The model says that the value of a path is the sum of the effects
of its options, plus, if wanted, of the pairs of options that follow each other:

    z = mu + sum_f theta_f x_f + e,   e ~ N(0, s^2),   theta_f ~ N(0, s^2 / shrinkage)

z is the value on the scale of the tree, so that failed trials and those below the range count as
0; mu has a flat prior. All that is kept are sums (X'X, X'z, z'z), added up exactly: the posterior
does not depend on the order in which trials finish, and it costs the cube of the number of
options, whatever the number of trials; of many options the square (see
:mod:`~autokd_mm.search.wide`, where the order decides about the last digits).

Sources: Baptista and Poloczek, "Bayesian Optimization of Combinatorial Structures", ICML 2018
(linear model of options and pairs, Thompson sampling); Gelly and Silver, "Combining Online and
Offline Knowledge in UCT", ICML 2007 (all-moves-as-first: one statistic for a move wherever it is
made); MCT-NAS, CVPR 2021 (node communication between sub-trees).
"""
from fractions import Fraction
from typing import Callable, List, Optional, Sequence, Set, Tuple

import numpy as np

from autokd_mm.search.grammar import Grammar, Path
from autokd_mm.search.node import Step, Sums
from autokd_mm.search.posterior import Hypothesis, Posterior, hypotheses, plain, shrunk
from autokd_mm.search.posterior import Sums as Moments
from autokd_mm.search.prior import Prior
from autokd_mm.search.vocabulary import Vocabulary
from autokd_mm.search.wide import WideInverse

_FLAT = 1e-6  # precision of mu
_WIDE = 300  # features from which on the posterior is kept, not made anew for each trial


class OptionModel(Vocabulary):
    """Sums over finished trials, and the posterior of the effects.

    Args:
        pairs: effects of pairs of options that follow each other, too.
        shrinkage: variance of the noise over the variance of an effect, > 0; None: the likeliest,
            of very many options 1.
        draw: scale of the standard deviation in :meth:`sample`.
        gp_share: of the plans that go to a path of :class:`~autokd_mm.search.proposer.Proposer`.
        look_ahead: whether plans look past the next option.
        shared_name: see :class:`~autokd_mm.search.vocabulary.Vocabulary`.
        prior: what is believed of options before the first trial.
    """

    def __init__(self, pairs: bool = False, shrinkage: Optional[float] = None, draw: float = 1.0,
                 look_ahead: bool = True,
                 shared_name: Optional[Callable[[str], str]] = None,
                 prior: Optional[Prior] = None, gp_share: float = 0.0) -> None:
        super().__init__(shared_name)
        self.pairs = pairs
        self.shrinkage = shrinkage
        self.draw, self.gp_share = draw, gp_share
        self.look_ahead = look_ahead
        self.prior = prior
        self.grammar = Grammar()
        self._sums: List[Sums] = [Sums()]
        self._gram: np.ndarray = np.zeros((1, 1))
        self._n_added = 0
        self._wide = WideInverse()
        for key in sorted(prior.options) if prior is not None else ():
            self._feature(key)  # from the start, whatever a process has been asked
        self._grow()

    def anew(self) -> 'OptionModel':
        """The same model before its first trial."""
        return OptionModel(self.pairs, self.shrinkage, self.draw, self.look_ahead,
                           self.shared_name, self.prior, self.gp_share)

    def add(self, steps: Sequence[Step], number: Optional[int] = None,
            forgotten: Sequence[int] = ()) -> List[Sums]:
        """Count a finished trial.

        Args:
            steps: what it took.
            number: of the trial; any that is new without.
            forgotten: numbers of trials that took the same and are not to count any more.

        Returns:
            The sums to which its value is to be added.
        """
        taken: Set[int] = {0}
        path: Path = (0, )
        for step in steps:
            question = self._question(step.name, step.choices, step.level)
            self.grammar.add(path, question.features)
            feature = question.features[step.taken]
            taken.add(feature)
            taken.add(self._general.get(feature, feature))
            if self.pairs and len(path) > 1:
                taken.add([self._pair(path[-1], other)
                           for other in question.features][step.taken])
            path += (feature, )
        self.grammar.add(path, ())
        index = sorted(taken)
        self._grow()
        self._gram[np.ix_(index, index)] += 1 - len(forgotten)
        self._n_added += 1
        self._wide.add(-self._n_added if number is None else number, index)
        for other in forgotten:
            self._wide.remove(other)
        return [self._sums[feature] for feature in index]

    def posterior(self, low: Fraction, width: Fraction, squares: float) -> Posterior:
        """What is known of the effects, as of the last trial added.

        Args:
            low, width: z = (value - low) / width.
            squares: sum of z^2 over all trials.
        """
        _, moments, precision, inverse = self._known(low, width, squares)
        found = self._plain(moments, precision, inverse)
        return found if inverse is None else found._replace(mean=found.mean[self._order])

    def hypotheses(self, low: Fraction, width: Fraction, squares: float) -> List[Hypothesis]:
        """The same under each factor of the prior, see :mod:`~autokd_mm.search.prior`."""
        assert self.prior is not None
        order, moments, precision, inverse = self._known(low, width, squares)
        shrinkage = self._plain(moments, precision, inverse).shrinkage
        precision = shrunk(precision, shrinkage)
        expected, believed = np.zeros(len(precision)), precision.copy()
        for place, feature in enumerate(order):
            belief = self.prior.of(self._keys[feature])
            if belief is not None:
                expected[place], believed[place] = belief
        found = hypotheses(moments, precision, expected, believed, self.draw, shrinkage, inverse)
        if inverse is None:
            return found
        return [one._replace(posterior=one.posterior._replace(
            mean=one.posterior.mean[self._order])) for one in found]

    def _plain(self, moments: Moments, precision: np.ndarray,
               inverse: Optional[np.ndarray]) -> Posterior:
        shrinkage = self._wide_shrinkage if inverse is not None else self.shrinkage
        return plain(moments, precision, self.draw, shrinkage, inverse)

    @property
    def _wide_shrinkage(self) -> float:
        """Where options are so many that the inverse is kept, it is kept for one."""
        return 1.0 if self.shrinkage is None else self.shrinkage

    def _known(self, low: Fraction, width: Fraction, squares: float
               ) -> Tuple[np.ndarray, Moments, np.ndarray, Optional[np.ndarray]]:
        """Features in their order, and by it sums, precision of the effects, and the inverse of
        both where there are very many: in the order in which they came, to move no matrix."""
        self._grow()
        wide = len(self) >= _WIDE
        order = np.arange(len(self)) if wide else self._order
        target = np.array([self._sums[f].above(low, width) for f in order])
        gram, precision = self._gram[:len(order), :len(order)], self._precision()
        inverse = self._wide.inverse(
            gram, shrunk(precision, self._wide_shrinkage)) if wide else None
        if not wide:
            gram, precision = self._gram[order[:, None], order], precision[order]
        return order, Moments(gram, target, squares, self._sums[0].visits), precision, inverse

    def sample(self, posterior: Posterior, rng: np.random.RandomState) -> List[float]:
        """One draw of all effects, by feature."""
        effects = np.empty(len(self._order))
        if posterior.factor is None:
            effects[self._order] = posterior.mean
            effects += posterior.scale * self._wide.draw(
                shrunk(self._precision(), self._wide_shrinkage), self._order, rng)
        else:
            effects[self._order] = posterior.sample(rng.standard_normal(len(effects)))
        return self._whole(effects)

    def means(self, posterior: Posterior) -> List[float]:
        """The mean of all effects, by feature."""
        effects = np.empty(len(self._order))
        effects[self._order] = posterior.mean
        return self._whole(effects)

    def deviation(self, posterior: Posterior, features: Sequence[int]) -> float:
        """Standard deviation of the sum of some effects; of very many features it is not known, and
        0."""
        if posterior.factor is None:
            return 0.0
        taken = np.zeros(len(self._order))
        for feature in features:
            taken[feature] = taken[self._general.get(feature, feature)] = 1.0
        return posterior.scale * float(np.linalg.norm(
            np.linalg.solve(posterior.factor, taken[self._order])))

    def _whole(self, effects: np.ndarray) -> List[float]:
        """With what an option has in any context, where it is one in a context."""
        whole = effects.tolist()
        for feature, general in self._general.items():
            whole[feature] += whole[general]
        return whole

    def _precision(self) -> np.ndarray:
        # Halving a range halves the variance of the effects, as of a random walk along it.
        precision = 2.0**np.array(self._depths)
        precision[0] = _FLAT
        return precision

    def _grow(self) -> None:
        """Have sums for all features."""
        size, before = len(self), len(self._gram)
        self._sums += [Sums() for _ in range(size - len(self._sums))]
        if size > before:
            gram = np.zeros((2 * size, 2 * size))
            gram[:before, :before] = self._gram
            self._gram = gram
