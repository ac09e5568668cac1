"""What the winner will gain in the full training, in words for the user."""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional

from optuna.trial import FrozenTrial, TrialState

from autokd_mm.engine.final_round import FinalRound
from autokd_mm.report.export import OUTCOME
from autokd_mm.search.extrapolation import KNOWN, expected_gain
from autokd_mm.search.reward import Outcome
from autokd_mm.study.rungs import BASELINE


@dataclass(frozen=True)
class FullLength:
    """Of the training that the search is for.

    Attributes:
        samples: training images that its steps see together, on one GPU.
        words: such as ``'12 epochs'``.
    """
    samples: int
    words: str

    @classmethod
    def of(cls, full_training: Mapping[str, Any], images: int,
           batch_size: int) -> Optional['FullLength']:
        """
        Args:
            full_training: its ``train_cfg``.
            images: of the data set.
            batch_size: of a step.
        """
        epochs, steps = full_training.get('max_epochs'), full_training.get('max_iters')
        if epochs:
            return cls(epochs * images, f'{epochs} epochs')
        return cls(steps * batch_size, f'{steps:,} steps of {batch_size}') if steps else None


class Expectation:
    """
    Args:
        length: of the full training; ``None`` where the config does not say.
        samples: that a run on the proxy sees.
        baseline: the undistilled student on the proxy.
        held_out: images on which all are measured.
    """

    def __init__(self, length: Optional[FullLength], samples: int, baseline: Outcome,
                 held_out: int) -> None:
        self.length, self.samples, self.baseline = length, samples, baseline
        self.held_out = held_out

    def lines(self, top: FrozenTrial, final: Optional[FinalRound]) -> List[str]:
        """About the winner; nothing where no metric is known.

        Args:
            final: the final round, if there was one.
        """
        if self.length is None:
            return []
        # A pruned one was measured somewhere on its way.
        own = Outcome.from_dict(top.user_attrs[OUTCOME]).metric \
            if top.state == TrialState.COMPLETE else math.nan
        found = expected_gain(self._by_samples(own, final, top.number),
                              self._by_samples(self.baseline.metric, final, BASELINE),
                              self.length.samples, self.held_out)
        if found is None:
            return []
        longest = 'the longest of these runs'
        lines = [f'  expected gain at {self.length.words}: {100 * found.gain:+.1f} +- '
                 f'{100 * found.spread:.1f} points of the metric (four of five lie inside), '
                 f'{found.times:.1f} times {longest}']
        if found.times < 1:
            lines.append('  which are longer than the full training: the proxy is too long for it')
        if found.times > KNOWN:
            lines.append(f'  trainings of more than {KNOWN:.0f} times {longest} were never looked '
                         'at: take this as a guess, or set final_round.length higher')
        return lines

    def _by_samples(self, metric: float, final: Optional[FinalRound],
                    number: int) -> Dict[float, float]:
        lengths = {1: metric, **(final.metrics(number) if final else {})}
        return {length * self.samples: value for length, value in lengths.items()}
