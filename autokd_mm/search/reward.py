"""How good a distiller is: its gain over the same student trained without distillation."""
from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Dict, Mapping, Optional, Tuple

from autokd_mm.errors import ConfigError, nearest

# What is measured on the held-out images. Of the metric more is better, of the others less is.
MEASURED = ('held_out_loss', 'calibrated_loss', 'gap', 'debiased_gap', 'mse_gap', 'linear_gap',
            'relation_gap', 'metric')
_MORE_IS_BETTER = ('metric', )
_SLOPE = '_slope'
# A metric below this counts as this: students that hit next to nothing differ by chance.
_LEAST_METRIC = 0.01
# What ranked distillers best in docs/benchmarks/rewards.md; what is left where nobody counts hits.
DEFAULT = dict(metric=0.5, gap=0.5)
DEFAULT_WITHOUT_METRIC = dict(calibrated_loss=0.5, gap=0.5)
# In a config in the place of weights: those of :func:`terms_for`.
AUTO = 'auto'
# A metric that says little: who hits so few differs by chance.
_LITTLE_METRIC = 0.05
TERMS = MEASURED + tuple(f'{term}{_SLOPE}' for term in MEASURED)


def terms_for(metric: float, has_loss: bool = True) -> Dict[str, float]:
    """Weights by what the undistilled student can do on the proxy: :data:`DEFAULT`, and the loss
    with the linear gap where its metric is below 5 %. A detector that finds one box in thirty gains
    or loses half of its mAP by the luck of a seed, and one that finds none has nothing to lose,
    while its loss and its features tell what it learns: docs/benchmarks/rewards.md.

    Args:
        metric: of the undistilled student, in [0, 1].
        has_loss: whether the loss of held-out images is measured.
    """
    enough = metric >= _LITTLE_METRIC or not has_loss
    return dict(DEFAULT) if enough else dict(held_out_loss=0.5, linear_gap=0.5)


@dataclass(frozen=True)
class Outcome:
    """What one run on the proxy gives, measured on images held out from training.

    Attributes:
        held_out_loss: the student's own task loss, in its own unit (nats for cross-entropy).
        calibrated_loss: the cross-entropy after one temperature is fitted to the logits; the
            task loss itself where there are no logits with labels.
        gap: 1 - linear CKA of the student's and the teacher's feature, 0 (same) to 1.
        metric: accuracy, box mAP or mean IoU in [0, 1], NaN where it is not known.
        seconds: wall time of the run.
        debiased_gap, mse_gap, linear_gap, relation_gap: other distances of the two features, see
            ``autokd_mm/measure/terms.py``; NaN where they are not known.
        curve: the measured terms behind each epoch that was looked at, the last included, where
            they were asked for; else empty.
    """
    held_out_loss: float
    calibrated_loss: float
    gap: float
    metric: float
    seconds: float
    debiased_gap: float = math.nan
    mse_gap: float = math.nan
    linear_gap: float = math.nan
    relation_gap: float = math.nan
    curve: Tuple[Mapping[str, float], ...] = ()

    def to_dict(self) -> Dict[str, Any]:
        """JSON values."""
        return dict(asdict(self), curve=[dict(point) for point in self.curve])

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> 'Outcome':
        """Inverse of :meth:`to_dict`; the terms that not every study has may be missing."""
        return cls(**dict(values, curve=tuple(values.get('curve') or ())))

    def at(self, epoch: int) -> 'Outcome':
        """What was measured behind ``epoch`` (from 0), of a run that was looked at behind each.

        Raises:
            IndexError: there is no such point on the curve.
        """
        return replace(self, curve=self.curve[:epoch + 1], **self.curve[epoch])

    def term(self, name: str) -> float:
        """One of :data:`TERMS`. A slope is the value behind the first half of the epochs less the
        value at the end; NaN without a curve of at least two points."""
        if not name.endswith(_SLOPE):
            return float(getattr(self, name))
        if len(self.curve) < 2:
            return math.nan
        name = name[:-len(_SLOPE)]
        half = (len(self.curve) - 1) // 2
        return float(self.curve[half][name] - self.curve[-1][name])


class Reward:
    """Weighted mean of gains, reward = sum_t w_t g_t / sum_t w_t.

    The gain of a term of which less is better is ``g = (baseline - value) / |baseline|``, otherwise
    ``(value - baseline) / |baseline|``: 0 is no better than no distillation, 1 a loss of zero or
    twice the metric. It is cut at -1, which keeps one exploding student from hiding the differences
    between all others. Above 1, as of a metric that more than doubles, it counts as 1 + ln g: the
    distance of two distillers is then that of the logarithms of what they gain, whatever the
    baseline, and a baseline next to zero (a detector behind a short proxy) does not drown the other
    terms. A baseline's metric below 0.01 counts as 0.01.
    A slope ``<term>_slope`` asks which student still improves faster: it is compared on the same
    scale, with ``|baseline|`` of the term itself.

    Auto-KD names test loss and representation gap as the terms (abstract); a weight of one half
    each follows the authors' later public code: ``dict(held_out_loss=0.5, gap=0.5)``. What ranks
    distillers as a long training does is measured in ``docs/benchmarks/rewards.md``.

    Args:
        weights: weight of each term, see :data:`TERMS`; by default :data:`DEFAULT`.
        key: of the config, for errors.

    Raises:
        ConfigError: unknown term, or weights that are negative or all zero.
    """

    def __init__(self, weights: Optional[Mapping[str, float]] = None,
                 key: str = 'reward') -> None:
        if weights is not None and not isinstance(weights, Mapping):
            raise ConfigError(f'{key} must be a dict like dict(metric=0.5, gap=0.5), got '
                              f'{weights!r}')
        self.weights, self._key = dict(weights or DEFAULT), key
        for term, weight in self.weights.items():
            if term not in TERMS:
                raise ConfigError(f'{key}: {nearest(term, TERMS)}')
            if isinstance(weight, bool) or not isinstance(weight, (int, float)) \
                    or not 0 <= weight < math.inf:
                raise ConfigError(f'{key}.{term}: {weight!r} is not a weight >= 0')
        if not sum(self.weights.values()) > 0:
            raise ConfigError(f'{key}: all weights are zero')

    @property
    def needs_curve(self) -> bool:
        """Whether runs must be measured behind every epoch."""
        return any(weight and term.endswith(_SLOPE) for term, weight in self.weights.items())

    def refuse_without_metric(self, has_metric: bool) -> None:
        """
        Args:
            has_metric: whether a metric will be measured.

        Raises:
            ConfigError: it will not, and the metric or its slope counts.
        """
        if not has_metric and any(weight and term.startswith('metric')
                                  for term, weight in self.weights.items()):
            raise ConfigError(f'{self._key}.metric: no metric is known here; name '
                              'layers.student_logits and layers.teacher_logits')

    def refuse_without_loss(self, has_loss: bool) -> None:
        """
        Args:
            has_loss: whether the loss of the held-out images will be measured.

        Raises:
            ConfigError: it will not, and it counts.
        """
        counted = next((term for term, weight in self.weights.items()
                        if weight and 'loss' in term), None)
        if not has_loss and counted:
            raise ConfigError(f'{self._key}.{counted}: the student has no loss that can be '
                              'measured on held-out images; take metric and gap')

    def __call__(self, outcome: Outcome, baseline: Outcome) -> float:
        """Reward of ``outcome``, at least -1.

        Raises:
            ValueError: a term is not finite.
        """
        total = 0.0
        for term, weight in self.weights.items():
            if weight:
                total += weight * _bounded(gain(term, outcome, baseline))
        return total / sum(self.weights.values())

    def at(self, epoch: int, outcome: Outcome, baseline: Outcome) -> float:
        """Reward of a run that has come to ``epoch`` (from 0), against the baseline there.

        Raises:
            ValueError: as above, or the baseline was not measured there.
        """
        if epoch >= len(baseline.curve):
            raise ValueError(f'the undistilled student was not measured behind epoch {epoch}')
        return self(outcome, baseline.at(epoch))


def _bounded(value: float) -> float:
    return 1 + math.log(value) if value > 1 else max(-1.0, value)


def gain(term: str, outcome: Outcome, baseline: Outcome) -> float:
    """What ``outcome`` has gained over ``baseline`` in one term, as a share of the baseline's.

    Raises:
        ValueError: one of the two is not finite.
    """
    value, base = outcome.term(term), baseline.term(term)
    if not (math.isfinite(value) and math.isfinite(base)):
        raise ValueError(f'{term} is not finite ({value} against {base})')
    measured = term[:-len(_SLOPE)] if term.endswith(_SLOPE) else term
    difference = value - base
    if (measured in _MORE_IS_BETTER) == term.endswith(_SLOPE):
        difference = -difference  # of losses less is better, of their slope (a decrease) more
    least = _LEAST_METRIC if measured in _MORE_IS_BETTER else 1e-12
    return difference / max(abs(baseline.term(measured)), least)
