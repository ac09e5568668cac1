"""What is known of effects given the trials, and how likely those were under a prior.

    z = mu + sum_f theta_f x_f + e,   e ~ N(0, s^2),   theta_f ~ N(m_f, s^2 / d_f)

with a conjugate prior of the noise (Bernardo and Smith, "Bayesian Theory", 1994).
"""
import math
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from autokd_mm.search.prior import HYPOTHESES

# Prior of the noise: as if so many trials had been seen with this standard deviation of z.
_GUESSES, _GUESS = 1.0, 0.3


# Of the variance of the noise over that of an effect, to choose from by evidence: where hardly
# anything is noise, what is not known may be anything.
SHRINKAGES = (1.0, 0.3, 0.1, 0.03, 0.01)


class Posterior(NamedTuple):
    """Effects given the trials, in the order of their names: N(mean, scale^2 (L L')^-1), L being
    ``factor``; None of very many effects. Where nothing is known of one, its deviation is
    scale / sqrt(shrinkage)."""
    mean: np.ndarray
    factor: Optional[np.ndarray]
    scale: float
    shrinkage: float

    def sample(self, normal: np.ndarray) -> np.ndarray:
        """Effects drawn from the posterior; ``normal``: as many standard normal numbers."""
        assert self.factor is not None
        return self.mean + self.scale * np.linalg.solve(self.factor.T, normal)


class Sums(NamedTuple):
    """What trials add up to: X'X, X'z, z'z and their number."""
    gram: np.ndarray
    target: np.ndarray
    squares: float
    trials: int


class Hypothesis(NamedTuple):
    """A factor of the prior's effects, its probability, and what is known if it is right."""
    factor: float
    probability: float
    posterior: Posterior


def drawn(models: Sequence[Hypothesis], place: float) -> Posterior:
    """What is known if one hypothesis is right, each as often as it is probable.

    Args:
        place: in [0, 1).
    """
    for model in models:
        place -= model.probability
        if place < 0:
            return model.posterior
    return models[-1].posterior


def plain(sums: Sums, precision: np.ndarray, draw: float, shrinkage: Optional[float] = None,
          inverse: Optional[np.ndarray] = None) -> Posterior:
    """Without expectations of single effects: m = 0.

    Args:
        precision: d of a shrinkage of 1, the first of them that of mu, which has none.
        draw: scale of the standard deviation in draws.
        shrinkage: None takes that of :data:`SHRINKAGES` under which the trials are the likeliest
            (empirical Bayes: MacKay, "Bayesian Interpolation", Neural Computation 1992).
        inverse: of X'X + D, where it is known.
    """
    if inverse is not None:
        assert shrinkage is not None
        mean = inverse @ sums.target
        left = max(sums.squares - float(sums.target @ mean), 0.0)
        return Posterior(mean, None, _noise(left, sums.trials) * draw, shrinkage)
    found: List[Tuple[float, Posterior]] = []
    for one in SHRINKAGES if shrinkage is None else (shrinkage, ):
        weight = shrunk(precision, one)
        gram = sums.gram + np.diag(weight)
        root, mean = np.linalg.cholesky(gram), np.linalg.solve(gram, sums.target)
        left = max(sums.squares - float(sums.target @ mean), 0.0)
        found.append((_evidence(weight, float(np.log(np.diag(root)).sum()), left, sums.trials),
                      Posterior(mean, root, _noise(left, sums.trials) * draw, one)))
    return max(found, key=lambda one: one[0])[1]


def shrunk(precision: np.ndarray, shrinkage: float) -> np.ndarray:
    """``precision`` of a shrinkage of 1, of another one."""
    return np.concatenate([precision[:1], shrinkage * precision[1:]])


def hypotheses(sums: Sums, precision: np.ndarray, expected: np.ndarray, believed: np.ndarray,
               draw: float, shrinkage: float = 1.0,
               inverse: Optional[np.ndarray] = None) -> List[Hypothesis]:
    """The same under each factor of a prior.

    Args:
        precision: d where the prior is of no use.
        expected: m, by the prior.
        believed: d, by the prior. Not looked at with ``inverse``, which costs too much to make
            twice.
        shrinkage: in ``precision``.
    """
    if inverse is not None:
        believed = precision
    logs, posteriors = [], []
    factors: Dict[bool, Tuple[np.ndarray, np.ndarray]] = {}
    for factor, probability in HYPOTHESES:
        weight, mean = (believed, factor * expected) if factor else (precision, 0.0 * expected)
        target = sums.target + weight * mean
        if inverse is None:
            if bool(factor) not in factors:
                gram = sums.gram + np.diag(weight)
                factors[bool(factor)] = gram, np.linalg.cholesky(gram)
            gram, root = factors[bool(factor)]
            found, volume = np.linalg.solve(gram, target), float(np.log(np.diag(root)).sum())
        else:
            root, volume, found = None, 0.0, inverse @ target
        left = max(sums.squares + float(mean @ (weight * mean)) - float(target @ found), 0.0)
        posteriors.append(Posterior(found, root, _noise(left, sums.trials) * draw, shrinkage))
        logs.append(math.log(probability) + _evidence(weight, volume, left, sums.trials))
    weights = [math.exp(value - max(logs)) for value in logs]
    total = math.fsum(weights)
    return [Hypothesis(factor, weight / total, posterior)
            for (factor, _), weight, posterior in zip(HYPOTHESES, weights, posteriors)]


def _evidence(weight: np.ndarray, volume: float, left: float, trials: int) -> float:
    """Logarithm of the marginal likelihood, less what no hypothesis changes.

    Args:
        weight: d.
        volume: half the logarithm of the determinant of X'X + D.
        left: squares that the effects leave.
    """
    return 0.5 * float(np.log(weight).sum()) - volume \
        - 0.5 * (_GUESSES + trials) * math.log(_GUESSES * _GUESS**2 + left)


def _noise(left: float, count: int) -> float:
    """Standard deviation s, by the squares that the effects leave."""
    return math.sqrt((_GUESSES * _GUESS**2 + left) / (_GUESSES + count))
