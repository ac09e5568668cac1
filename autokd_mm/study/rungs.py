"""The rungs of a final round: all at a short length, the better half at twice that, and so on."""
from __future__ import annotations

import math
from typing import (Callable, Collection, Dict, Iterable, List, Mapping, NamedTuple, Optional,
                    Sequence)

from autokd_mm.search.reward import Outcome, Reward
from autokd_mm.study.ladder import Step, kept
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
        steps: the rungs, rising.
        seeds: of them all; a rung has the first ones.
        reward: of an outcome over the undistilled student's with the same seed.
        is_handcrafted: of a trial's number. The best hand-crafted one stays on every rung, so that
            there is something to compare the winner with; ``None``: it has to earn it.
        within: how many go on is limited: two to the last rung, and a hand-crafted one that stays
            takes another's place.
    """

    def __init__(self, steps: Sequence[Step], seeds: Sequence[int], reward: Reward,
                 is_handcrafted: Optional[Callable[[int], bool]] = None,
                 within: bool = False) -> None:
        self.steps, self.seeds, self.reward = list(steps), list(seeds), reward
        self.is_handcrafted, self.within = is_handcrafted, within

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
        for place, step in enumerate(self.steps):
            if place:
                last = place == len(self.steps) - 1
                entrants = self._better(entrants, self._rewards(self.steps[place - 1], outcomes),
                                        last)
            if not entrants:
                break
            rung = [Run(candidate, seed, step.length) for candidate in [BASELINE, *entrants]
                    for seed in self.seeds[:step.seeds]]
            found += [run for run in rung if run not in found]
            if not all(run in done for run in rung):
                break
        return found

    def standings(self, outcomes: Mapping[Run, Outcome]) -> Dict[int, Standing]:
        """Of every trial that has run with all seeds of some rung: how far it came.

        A trial that failed with one of the seeds, or whose reward is not finite, stands where it
        stood before.
        """
        found = {}
        for step in self.steps:
            for number, reward in self._rewards(step, outcomes).items():
                found[number] = Standing(step.length, reward, step.seeds)
        return found

    def metrics(self, number: int, outcomes: Mapping[Run, Outcome]) -> Dict[int, float]:
        """Mean metric over the seeds by length, of a trial or of :data:`BASELINE`."""
        found = {}
        for length, seeds in self.steps:
            values = [outcomes[run].metric for run in
                      (Run(number, seed, length) for seed in self.seeds[:seeds])
                      if run in outcomes]
            if len(values) == seeds:
                found[length] = math.fsum(values) / len(values)
        return found

    def _rewards(self, step: Step, outcomes: Mapping[Run, Outcome]) -> Dict[int, float]:
        """Mean over the seeds, of every trial that has one with each."""
        length, seeds = step.length, self.seeds[:step.seeds]
        numbers = _in_order(run.candidate for run in outcomes if run.length == length)
        result = {}
        for number in numbers:
            pairs = [(outcomes.get(Run(number, seed, length)),
                      outcomes.get(Run(BASELINE, seed, length))) for seed in seeds]
            try:
                values = [self.reward(own, base) for own, base in pairs if own and base]
            except ValueError:
                continue
            if len(values) == len(seeds):
                result[number] = math.fsum(values) / len(values)
        return result

    def _better(self, entrants: Sequence[int], rewards: Mapping[int, float],
                last: bool) -> List[int]:
        """Of all that were to run: who failed is among the worse."""
        order = sorted((number for number in entrants if number in rewards),
                       key=lambda number: -rewards[number])
        count = kept(len(entrants), last) if self.within else math.ceil(len(entrants) / 2)
        on = order[:count]
        if self.is_handcrafted is not None and not any(map(self.is_handcrafted, on)):
            crafted = [number for number in order if self.is_handcrafted(number)][:1]
            on = on[:count - len(crafted)] + crafted if self.within else on + crafted
        return on


def _in_order(numbers: Iterable[int]) -> List[int]:
    return sorted(set(numbers) - {BASELINE})
