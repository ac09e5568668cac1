"""How good a distiller is: its gain over the same student trained without distillation."""
from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Dict, Mapping, Optional

from autokd_mm.space.errors import ConfigError, nearest

# Terms of which more is better; of the others less is.
_MORE_IS_BETTER = ('metric', )
TERMS = ('held_out_loss', 'calibrated_loss', 'gap', 'metric')


@dataclass(frozen=True)
class Outcome:
    """What one run on the proxy gives, measured on images held out from training.

    Attributes:
        held_out_loss: the student's own task loss, in its own unit (nats for cross-entropy).
        calibrated_loss: the cross-entropy after one temperature is fitted to the logits; the
            task loss itself where there are no logits with labels.
        gap: distance of the student's feature from the teacher's, 0 (same) to 1.
        metric: accuracy in [0, 1], NaN where it is not known.
        seconds: wall time of the run.
    """
    held_out_loss: float
    calibrated_loss: float
    gap: float
    metric: float
    seconds: float

    def to_dict(self) -> Dict[str, float]:
        return asdict(self)


class Reward:
    """Weighted mean of gains, reward = sum_t w_t g_t / sum_t w_t.

    The gain of a term of which less is better is g = (baseline - value) / |baseline|, otherwise
    (value - baseline) / |baseline|, cut to [-1, 1]: 0 is no better than no distillation, 1 is
    perfect. The cut keeps one exploding student from hiding the differences between all others.

    Auto-KD names test loss and representation gap as the terms (abstract); a weight of one half
    each follows the authors' later public code. We take the loss after fitting one temperature,
    because large logits weights ruin calibration and not the student.

    Args:
        weights: weight of each term, see :data:`TERMS`.

    Raises:
        ConfigError: unknown term, or weights that are negative or all zero.
    """

    def __init__(self, weights: Optional[Mapping[str, float]] = None) -> None:
        if weights is not None and not isinstance(weights, Mapping):
            raise ConfigError('reward must be a dict like dict(calibrated_loss=0.5, gap=0.5), got '
                              f'{weights!r}')
        self.weights = dict(weights or dict(calibrated_loss=0.5, gap=0.5))
        for term, weight in self.weights.items():
            if term not in TERMS:
                raise ConfigError(f'reward: {nearest(term, TERMS)}')
            if isinstance(weight, bool) or not isinstance(weight, (int, float)) \
                    or not 0 <= weight < math.inf:
                raise ConfigError(f'reward.{term}: {weight!r} is not a weight >= 0')
        if not sum(self.weights.values()) > 0:
            raise ConfigError('reward: all weights are zero')

    def __call__(self, outcome: Outcome, baseline: Outcome) -> float:
        """Reward of ``outcome``, in [-1, 1].

        Raises:
            ValueError: a term is not finite.
        """
        total = 0.0
        for term, weight in self.weights.items():
            value, base = getattr(outcome, term), getattr(baseline, term)
            if not (math.isfinite(value) and math.isfinite(base)):
                raise ValueError(f'{term} is not finite ({value} against {base})')
            gain = (value - base) / max(abs(base), 1e-12)
            if term not in _MORE_IS_BETTER:
                gain = -gain
            total += weight * min(1.0, max(-1.0, gain))
        return total / sum(self.weights.values())
