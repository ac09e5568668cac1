"""A number as a way down the tree: which half of its range, which half of that, and so on.

A range is halved on its own scale (logarithmic where the distribution is) until as many questions
are asked as the number of trials can answer; what is left is drawn from. A grid is halved between
its points; a small one down to single points, so that each is tried once before any twice.

A part is called by its values, ``x ∈ 0.25..0.5``. Where a range depends on earlier answers each
trial has another, and such names would never come twice: a parameter that was seen with many ranges
has its parts called by their place, ``x ∈ 1/4`` of whatever the range is.
"""
import math
from random import Random
from typing import (Any, Collection, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set,
                    Tuple, Union)

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from autokd_mm.search.node import Step

Numeric = Union[FloatDistribution, IntDistribution]
Number = Union[float, int]

_SMALL = 32  # a grid of at most so many points is always halved down to its points
_WITHIN, _GIVEN = ' ∈ ', ' given '  # as in: lr ∈ 0.001..0.1 given optimizer=adam
_MOST_RANGES = 4  # with more of them, parts are called by their place
_COARSE = 3  # so many halvings may have other effects in another context


class Part(NamedTuple):
    """A part of the range: from ``low`` up to ``high``; of a grid numbers of its points, both in
    it."""
    low: Number
    high: Number


class Grain(NamedTuple):
    """How fine numbers are told apart.

    Attributes:
        depth: how often a range is halved.
        room: so many trials may end in one leaf before it counts as used up: the best leaf would
            otherwise be gone to for ever, whatever is elsewhere.
    """
    depth: int
    room: int


def grain_of(n_trials: int, n_numbers: int) -> Grain:
    """For a study of so many trials, each with at least so many numbers: four times the trials
    move it. Trials fill at most an eighth of the room that all leaves have."""
    quarters = int(math.log2(max(n_trials, 1)) / 2)
    most = 4**(quarters + 1)
    depth = min(8, 2 * quarters + 3) if n_numbers < 2 else max(2, quarters + 1)
    return Grain(depth, max(2, math.ceil(8 * most / 2**(depth * n_numbers))))


def parameter(name: str) -> Tuple[str, str]:
    """The parameter that a question is about, and what it is asked given."""
    name, _, part = name.partition(_WITHIN)
    return name, part.partition(_GIVEN)[2]


class Ranges:
    """Which parameters have ranges that depend on something.

    Attributes:
        loose: their names.
    """

    def __init__(self) -> None:
        self.loose: Set[str] = set()
        self._seen: Dict[str, Set[Tuple[Number, Number]]] = {}

    def add(self, name: str, distribution: BaseDistribution) -> bool:
        """Take in where a parameter was asked for; whether it is loose from now on."""
        if name in self.loose or not isinstance(distribution, (FloatDistribution, IntDistribution)):
            return False
        seen = self._seen.setdefault(name, set())
        seen.add((distribution.low, distribution.high))
        if len(seen) <= _MOST_RANGES:
            return False
        self.loose.add(name)
        return True


def context_of(decided: Sequence[Tuple[str, Any, BaseDistribution]],
               loose: Collection[str] = ()) -> str:
    """What the effects of a number may depend on: the last category that was decided, or else in
    which quarter the last number is.

    Args:
        decided: name, value and distribution of the parameters before, in their order.
        loose: those whose ranges depend on something.
    """
    context = ''
    for name, value, distribution in reversed(decided):
        if distribution.single():
            continue
        number = halving(name, distribution, 2, loose=loose)
        if number is None:
            return f'{name}={value}'
        context = context or number.words(value)
    return context


class Halving:
    """The questions about one numeric parameter.

    Args:
        name: of the parameter.
        distribution: where its values come from.
        depth: how often the range is halved, but for small grids.
        context: of :func:`context_of`.
        by_place: parts are called by their place in the range, not by their values.
    """

    def __init__(self, name: str, distribution: Numeric, depth: int, context: str = '',
                 by_place: bool = False) -> None:
        self._name, self._log, self._context = name, distribution.log, context
        self._by_place, self._place, self._level = by_place, 0, 0
        self._low, self._step = distribution.low, distribution.step
        self._high = distribution.high
        self._integer = isinstance(distribution, IntDistribution)
        if self._step is None:
            self._part = Part(distribution.low, distribution.high)
            self._depth = depth
        else:
            self._part = Part(0, round((distribution.high - self._low) / self._step))
            self._depth = depth if is_coarse(distribution) else _SMALL

    def questions(self) -> Iterator[Tuple[str, Tuple[str, str], int]]:
        """Name, choices and level of one question after the other; each is to be answered by
        :meth:`take` before the next."""
        for level in range(self._depth):
            if self._step is not None and self._part.low == self._part.high:
                return
            name = f'{self._name}{_WITHIN}{self._words()}'
            if self._context and level < _COARSE:
                name += f'{_GIVEN}{self._context}'
            yield name, (self._words(0), self._words(1)), level

    def take(self, index: int) -> None:
        """Go on in the lower (0) or upper (1) half."""
        self._part = self._half(index)
        self._place, self._level = 2 * self._place + index, self._level + 1

    @property
    def exact(self) -> bool:
        """Whether one value is left."""
        return self._step is not None and self._part.low == self._part.high

    def draw(self, rng: Random) -> Number:
        """A value from what is left."""
        low, high = self._part
        if self._step is None:
            value = self._between(low, high, rng.random())
            # Rounding must not carry it into the neighbour's half.
            return float(min(max(value, low), np.nextafter(high, low)))
        if not self._log:
            return self._value(low + int(rng.random() * (high - low + 1)))
        edges = self._value(low) - 0.5, self._value(high) + 0.5
        place = round(self._between(*edges, rng.random())) - self._low
        return self._value(min(max(place, low), high))

    def steps(self, value: Number) -> List[Step]:
        """The answers that lead to a value."""
        place = value if self._step is None else round((value - self._low) / self._step)
        steps = []
        for name, choices, level in self.questions():
            upper = self._half(1)
            index = int(place >= upper.low)
            steps.append(Step(name, choices, index, level))
            self.take(index)
        return steps

    def words(self, value: Number) -> str:
        """In which part of ``depth`` halvings a value is."""
        self.steps(value)
        return f'{self._name}{_WITHIN}{self._words()}'

    def _half(self, index: int) -> Part:
        low, high = self._part
        if self._step is None:
            middle: Number = self._between(low, high, 0.5)
            return Part(middle, high) if index else Part(low, middle)
        if self._log:
            edge = self._between(self._value(low) - 0.5, self._value(high) + 0.5, 0.5)
            middle = min(max(math.floor(edge) - self._low, low), high - 1)
        else:
            middle = (low + high) // 2
        return Part(middle + 1, high) if index else Part(low, middle)

    def _between(self, low: Number, high: Number, share: float) -> float:
        if self._log:
            if math.isinf(float(high) / float(low)):
                return math.exp((1 - share) * math.log(low) + share * math.log(high))
            return low * (high / low)**share
        if math.isinf(float(high) - float(low)):
            return (1 - share) * low + share * high
        return low + share * (high - low)

    def _value(self, place: Number) -> Number:
        value = self._low + place * (self._step or 0)
        # 3 x 0.1 is more than 0.3.
        return value if self._integer else min(float(value), float(self._high))

    def _words(self, index: Optional[int] = None) -> str:
        """The part that is left, or one of its halves."""
        if self._by_place:
            return f'{self._place}/{2**self._level}' if index is None else \
                f'{2 * self._place + index}/{2**(self._level + 1)}'
        low, high = self._part if index is None else self._half(index)
        if self._step is not None:
            low, high = self._value(low), self._value(high)
        first, last = f'{low:.12g}', f'{high:.12g}'
        if first == last and low != high:
            first, last = repr(low), repr(high)
        return first if low == high else f'{first}..{last}'


def is_coarse(distribution: BaseDistribution) -> bool:
    """Whether it is of numbers that are not told apart one by one."""
    if not isinstance(distribution, (FloatDistribution, IntDistribution)):
        return False
    return distribution.step is None or \
        round((distribution.high - distribution.low) / distribution.step) >= _SMALL


def halving(name: str, distribution: BaseDistribution, depth: int, context: str = '',
            loose: Collection[str] = ()) -> Optional[Halving]:
    """None where the distribution is not one of numbers; arguments as for :class:`Halving`.

    Args:
        loose: of :class:`Ranges`.
    """
    if isinstance(distribution, (FloatDistribution, IntDistribution)):
        return Halving(name, distribution, depth, context, name in loose)
    return None
