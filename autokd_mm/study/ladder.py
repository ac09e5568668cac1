"""How a final round spends its budget: who begins how short, and which steps lead to the top."""
from __future__ import annotations

import math
from typing import Iterator, List, NamedTuple, Optional, Sequence

LEFT = 2  # run on the last step: the best one, and one to compare it with


class Step(NamedTuple):
    """Everybody who has come so far runs with these seeds at this length.

    Attributes:
        length: the proxy's epochs times this.
        seeds: so many, the first ones; runs of an earlier step count.
    """
    length: int
    seeds: int


def kept(entrants: int, last: bool) -> int:
    """How many go on to the next step: the better half, two on the last one, never fewer."""
    return min(entrants, LEFT if last else max(LEFT, math.ceil(entrants / 2)))


def cost(entrants: int, steps: Sequence[Step]) -> int:
    """Of all runs, the undistilled student's among them, in lengths of the proxy."""
    total, done = 0, Step(0, 0)
    for place, step in enumerate(steps):
        if place:
            entrants = kept(entrants, place == len(steps) - 1)
        seeds = step.seeds - (done.seeds if step.length == done.length else 0)
        total += (1 + entrants) * step.length * seeds
        done = step
    return total


def ladder(entrants: int, length: int, seeds: int, budget: int) -> Optional[List[Step]]:
    """The steps to ``seeds`` runs of ``length`` that begin as long as the budget allows; ``None``
    where none is within it."""
    return next((steps for steps in _ladders(length, seeds) if cost(entrants, steps) <= budget),
                None)


def cheapest(entrants: int, length: int, seeds: int, begin: int = 1) -> int:
    """The least budget with which so many can take part, and begin at least at this length."""
    return min(cost(entrants, steps) for steps in _ladders(length, seeds)
               if steps[0].length >= begin)


def possible(lengths: Sequence[int], seeds: int) -> List[Step]:
    """Every step of some ladder with these lengths, rising."""
    return [Step(length, 1) for length in lengths] + [Step(lengths[-1], seeds)] * (seeds > 1)


def halved(length: int) -> List[int]:
    """``length``, half of it, a quarter ... down to 1."""
    found = [length]
    while found[-1] > 1:
        found.append(-(-found[-1] // 2))
    return found


def _ladders(length: int, seeds: int) -> Iterator[List[Step]]:
    """The longest beginning first; below the top everybody has one seed."""
    top, shorter = Step(length, seeds), halved(length)[1:]
    yield [top]
    if seeds > 1:
        yield [Step(length, 1), top]
    for count in range(1, len(shorter) + 1):
        below = [Step(own, 1) for own in shorter[:count][::-1]]
        if seeds > 1:
            yield below + [Step(length, 1), top]
        yield below + [top]
