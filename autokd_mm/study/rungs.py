"""The rungs of a final round: all at a short length, the better half at twice that, and so on."""
from __future__ import annotations

import math
from typing import (Callable, Collection, Dict, Iterable, List, Mapping, NamedTuple, Optional,
                    Sequence)

from autokd_mm.search.reward import Outcome, Reward
from autokd_mm.study.ranking import Standing

BASELINE = -1  # in the place of a trial's number: the undistilled student


class Run(NamedTuple):
    """One training of the final round.

    Attributes:
        candidate: number of the trial, or :data:`BASELINE`.
        seed: of weights, masks and order.
        length: the proxy's epochs times this.
    """
    candidate: int
    seed: int
    length: int


class Rungs:
    """What is run, and where everybody stands: a function of the runs that are finished.

    Successive halving (Karnin et al., ICML 2013), the lengths doubling upward. The undistilled
    student runs on every rung, since only equal lengths can be compared.

    Args:
        lengths: of the rungs, rising.
        seeds: with which everybody runs on every rung.
        reward: of an outcome over the undistilled student's with the same seed.
        is_handcrafted: of a trial's number. The best hand-crafted one stays on every rung, so that
            there is something to compare the winner with; ``None``: it has to earn it.
    """

    def __init__(self, lengths: Sequence[int], seeds: Sequence[int], reward: Reward,
                 is_handcrafted: Optional[Callable[[int], bool]] = None) -> None:
        self.lengths, self.seeds, self.reward = list(lengths), list(seeds), reward
        self.is_handcrafted = is_handcrafted

    def runs(self, entrants: Sequence[int], done: Collection[Run],
             outcomes: Mapping[Run, Outcome]) -> List[Run]:
        """Every run that is known by now, the undistilled student first on each rung; the next
        rung is known when this one is done.

        Args:
            entrants: numbers of trials, best first.
            done: finished runs, failed ones among them.
            outcomes: of those that have one.
        """
        found: List[Run] = []
        for length in self.lengths:
            if not entrants:
                break
            rung = [Run(candidate, seed, length) for candidate in [BASELINE, *entrants]
                    for seed in self.seeds]
            found += rung
            if not all(run in done for run in rung):
                break
            entrants = self._better_half(entrants, self._rewards(length, outcomes))
        return found

    def standings(self, outcomes: Mapping[Run, Outcome]) -> Dict[int, Standing]:
        """Of every trial that has run with all seeds on some rung: how far it came.

        A trial that failed with one of the seeds, or whose reward is not finite, stands where it
        stood before.
        """
        found = {}
        for length in self.lengths:
            for number, reward in self._rewards(length, outcomes).items():
                found[number] = Standing(length, reward)
        return found

    def metrics(self, number: int, outcomes: Mapping[Run, Outcome]) -> Dict[int, float]:
        """Mean metric over the seeds by length, of a trial or of :data:`BASELINE`."""
        found = {}
        for length in self.lengths:
            values = [outcomes[run].metric for run in
                      (Run(number, seed, length) for seed in self.seeds) if run in outcomes]
            if len(values) == len(self.seeds):
                found[length] = math.fsum(values) / len(values)
        return found

    def expected_length(self, entrants: int) -> int:
        """Of all runs together, in lengths of the proxy."""
        total = 0
        for length in self.lengths:
            total += (1 + entrants) * length * len(self.seeds)
            entrants = math.ceil(entrants / 2)
        return total

    def _rewards(self, length: int, outcomes: Mapping[Run, Outcome]) -> Dict[int, float]:
        """Mean over the seeds, of every trial that has one with each."""
        numbers = _in_order(run.candidate for run in outcomes if run.length == length)
        result = {}
        for number in numbers:
            pairs = [(outcomes.get(Run(number, seed, length)),
                      outcomes.get(Run(BASELINE, seed, length))) for seed in self.seeds]
            try:
                values = [self.reward(own, base) for own, base in pairs if own and base]
            except ValueError:
                continue
            if len(values) == len(self.seeds):
                result[number] = math.fsum(values) / len(values)
        return result

    def _better_half(self, entrants: Sequence[int], rewards: Mapping[int, float]) -> List[int]:
        """Of all that were to run: who failed is among the worse."""
        order = sorted((number for number in entrants if number in rewards),
                       key=lambda number: -rewards[number])
        kept = order[:math.ceil(len(entrants) / 2)]
        if self.is_handcrafted is not None and not any(map(self.is_handcrafted, kept)):
            kept += [number for number in order if self.is_handcrafted(number)][:1]
        return kept


def _in_order(numbers: Iterable[int]) -> List[int]:
    return sorted(set(numbers) - {BASELINE})
