"""What a distiller will gain in a training much longer than those in which it was measured.

A metric m in (0, 1) is taken as z = logit m: accuracies near one and mean average precisions near
zero both grow about evenly in it with the logarithm of the number of samples. What a distiller is
ahead, d = z(student) - z(undistilled), fades: the longer a student learns, the less it needs the
teacher. With D = log(samples / samples of the longest runs):

    d(D) = d e^(-FADE D)                    +- sqrt(RUN^2 + SPREAD^2 D + that of measuring d)
    z(D) = z + b (1 - e^(-SLOWING D)) / SLOWING     +- UNSURE of what was added

where b is the undistilled student's growth between its two longest lengths. A metric of n images
is as unsure as a share of n is, m (1 - m) / n; both students are measured on the same images, so of
the two variances half is counted. The constants were set by tables of trainings of digits of
different lengths (``tools/benchmarks/lengths.py``) and looked at on CIFAR-10:
docs/benchmarks/lengths.md says how often the truth lay inside.
"""
from __future__ import annotations

import math
from statistics import NormalDist
from typing import Mapping, NamedTuple, Optional, Tuple

import numpy as np

FADE, RUN, SPREAD = 0.3, 0.1, 0.2
SLOWING, UNSURE, GROWTH = 0.4, 0.5, 0.5
# The tables know no training that was longer than what it was foretold from by more than this.
KNOWN = 40.0
# Of a normal distribution, so that four of five lie inside.
_INSIDE = 1.2816


class Expected(NamedTuple):
    """A gain in the metric over no distillation, as a share of one.

    Attributes:
        gain: at the middle of what is foretold. spread: four of five gains lie within ``gain`` +-
            ``spread``.
        times: how much longer the training is than the longest that was measured.
    """
    gain: float
    spread: float
    times: float


def expected_gain(student: Mapping[float, float], undistilled: Mapping[float, float],
                  samples: float, images: int) -> Optional[Expected]:
    """The gain of a distiller in a training of another length.

    Args:
        student: metric in [0, 1] by number of samples (images times epochs) of the runs.
        undistilled: of the student alone, likewise.
        samples: of the training that is asked about.
        images: on which the metric was measured.

    Returns:
        ``None`` where the two have no length in common, or the metric is not known, or none of
        0 to 1 (which NaN is not either).
    """
    student, undistilled = ({length: metric for length, metric in one.items() if 0 <= metric <= 1}
                            for one in (student, undistilled))
    common = sorted(set(student) & set(undistilled))
    if not common:
        return None
    longest = common[-1]
    further = math.log(samples / longest)
    z = {length: _logit(metric, images) for length, metric in undistilled.items()}
    own = _logit(student[longest], images)
    ahead = (own - z[longest]) * math.exp(-FADE * max(further, 0.0))
    measured = (_variance(own) + _variance(z[longest])) / (2 * images)
    ahead_spread = math.sqrt(RUN ** 2 + SPREAD ** 2 * abs(further) + measured)
    base, base_spread = _base(z, longest, further)
    # Both are taken as normal; a grid of their quantiles is as good as any number of draws.
    quantiles = _normal_quantiles(101)
    bases = base + base_spread * quantiles[:, None]
    gains = _sigmoid(bases + ahead + ahead_spread * quantiles) - _sigmoid(bases)
    # The mean would make a gain of the skewness alone, where a metric of two equal students is
    # next to 0 or 1.
    middle = _sigmoid(np.array([base + ahead, base]))
    return Expected(float(middle[0] - middle[1]), float(_INSIDE * gains.std()), samples / longest)


def _base(z: Mapping[float, float], longest: float, further: float) -> Tuple[float, float]:
    """The undistilled student's logit and how unsure it is."""
    before = [length for length in sorted(z) if length < longest]
    growth = GROWTH if not before else \
        max(0.0, z[longest] - z[before[-1]]) / math.log(longest / before[-1])
    added = growth * -math.expm1(-SLOWING * further) / SLOWING if further > 0 else growth * further
    return z[longest] + added, UNSURE * abs(added)


def _logit(metric: float, images: int) -> float:
    """As if half an image more were right and half a one more wrong: finite for all and none."""
    metric = (metric * images + 0.5) / (images + 1)
    return math.log(metric / (1 - metric))


def _variance(logit: float) -> float:
    """Of the logit of a share of one image: 1 / (m (1 - m))."""
    return 2 + 2 * math.cosh(logit)


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-values)))


def _normal_quantiles(number: int) -> np.ndarray:
    normal = NormalDist()
    return np.array([normal.inv_cdf((i + 0.5) / number) for i in range(number)])
