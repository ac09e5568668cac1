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


class Posterior(NamedTuple):
    """Effects given the trials, in the order of their names: N(mean, scale^2 (L L')^-1), L being
    ``factor``; None of very many effects."""
    mean: np.ndarray
    factor: Optional[np.ndarray]
    scale: float

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


def plain(sums: Sums, precision: np.ndarray, draw: float,
          inverse: Optional[np.ndarray] = None) -> Posterior:
    """Without expectations of single effects: m = 0.

    Args:
        precision: d.
        draw: scale of the standard deviation in draws.
        inverse: of X'X + D, where it is known.
    """
    if inverse is None:
        gram = sums.gram + np.diag(precision)
        factor = np.linalg.cholesky(gram)
        mean = np.linalg.solve(gram, sums.target)
    else:
        factor, mean = None, inverse @ sums.target
    left = max(sums.squares - float(sums.target @ mean), 0.0)
    return Posterior(mean, factor, _noise(left, sums.trials) * draw)


def hypotheses(sums: Sums, precision: np.ndarray, expected: np.ndarray, believed: np.ndarray,
               draw: float, inverse: Optional[np.ndarray] = None) -> List[Hypothesis]:
    """The same under each factor of a prior.

    Args:
        precision: d where the prior is of no use.
        expected: m, by the prior.
        believed: d, by the prior. Not looked at with ``inverse``, which costs too much to make
            twice.
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
        posteriors.append(Posterior(found, root, _noise(left, sums.trials) * draw))
        logs.append(math.log(probability) + 0.5 * float(np.log(weight).sum()) - volume
                    - 0.5 * (_GUESSES + sums.trials) * math.log(_GUESSES * _GUESS**2 + left))
    weights = [math.exp(value - max(logs)) for value in logs]
    total = math.fsum(weights)
    return [Hypothesis(factor, weight / total, posterior)
            for (factor, _), weight, posterior in zip(HYPOTHESES, weights, posteriors)]


def _noise(left: float, count: int) -> float:
    """Standard deviation s, by the squares that the effects leave."""
    return math.sqrt((_GUESSES * _GUESS**2 + left) / (_GUESSES + count))
