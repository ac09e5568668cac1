"""What the objective asks next, learnt from the paths it has asked for.

Where nobody has been, the next question is guessed: what was asked elsewhere after the same last
options, of which as few are compared as are needed to tell the questions apart.
"""
from itertools import groupby
from operator import itemgetter
from typing import Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

import numpy as np

_MEMORY = 4  # options that are compared at most

Path = Tuple[int, ...]
Offered = Sequence[Tuple[int, Path]]


class Level(NamedTuple):
    """What is offered in states that are equally far from the end, one entry for each option.

    Attributes:
        before: the option that came last in the state.
        option: the one offered.
        after: place of the state behind it; the last two places are an end and "nobody knows".
        start: where the options of each state begin; the states' places are ``first`` and on.
        width: how many options each state has.
    """
    first: int
    before: np.ndarray
    option: np.ndarray
    after: np.ndarray
    start: np.ndarray
    width: np.ndarray


class Table(NamedTuple):
    """Every state that may come, with its place, and what is offered there, from the ends on."""
    places: Dict[Path, int]
    levels: List[Level]


class Grammar:
    """Which options are offered after which; options are numbers, 0 stands before the first."""

    def __init__(self) -> None:
        # By number of options compared: what was offered after them, a set for each question.
        self._after: List[Dict[Path, Set[Path]]] = [{} for _ in range(_MEMORY + 1)]
        self._ambiguous: List[Set[int]] = [set() for _ in range(_MEMORY + 1)]
        self._reach: Dict[int, int] = {}
        self._offered: Dict[Path, Optional[Offered]] = {}
        self._table: Optional[Table] = None

    def add(self, path: Path, offered: Path) -> None:
        """After ``path`` the options ``offered`` were offered; none: that was the end."""
        if offered in self._after[_MEMORY].get(path[-_MEMORY:], ()):
            return
        reach, changed = self.reach(path[-1]), False
        for length in range(1, _MEMORY + 1):
            questions = self._after[length].setdefault(path[-length:], set())
            # More options than are compared change nothing of what is known.
            changed |= length <= reach and offered not in questions
            questions.add(offered)
            if len(questions) > 1:
                self._ambiguous[length].add(path[-1])
        if changed:
            self._reach.clear()
            self._offered.clear()
            self._table = None

    def state(self, path: Path) -> Path:
        """The last options of ``path``, as many as decide what comes after it."""
        return path[-self.reach(path[-1]):]

    def offered(self, state: Path) -> Optional[Offered]:
        """What is probably offered next, with the states after it; nothing at an end; None:
        nobody knows."""
        if state not in self._offered:
            self._offered[state] = self._look(state)
        return self._offered[state]

    def table(self) -> Table:
        """A new object whenever something was learnt."""
        if self._table is None:
            heights: Dict[Path, int] = {}
            self._measure((0, ), heights)
            order = sorted((height, state) for state, height in heights.items() if height > 0)
            places = {state: place for place, (_, state) in enumerate(order)}
            levels = []
            for _, group in groupby(order, key=itemgetter(0)):
                levels.append(self._level([state for _, state in group], places, heights))
            self._table = Table(places, levels)
        return self._table

    def _measure(self, state: Path, heights: Dict[Path, int]) -> int:
        """How many questions may come at most; -1 where nobody knows."""
        if state not in heights:
            heights[state] = 0  # where questions go round in circles
            offered = self.offered(state)
            heights[state] = -1 if offered is None else max(
                [1 + max(self._measure(after, heights), 0) for _, after in offered], default=0)
        return heights[state]

    def _level(self, states: Sequence[Path], places: Dict[Path, int],
               heights: Dict[Path, int]) -> Level:
        first = places[states[0]]
        offered = [self.offered(state) or () for state in states]
        count = np.array([len(one) for one in offered])
        after = []
        for state in (state for one in offered for _, state in one):
            # In a circle the way back counts as an end.
            known = len(places) if places.get(state, first) >= first else places[state]
            after.append(len(places) + 1 if heights[state] < 0 else known)
        return Level(first, np.repeat([state[-1] for state in states], count),
                     np.array([option for one in offered for option, _ in one]), np.array(after),
                     np.cumsum(count) - count, count)

    def _look(self, state: Path) -> Optional[Offered]:
        for length in range(min(len(state), _MEMORY), 0, -1):
            questions = self._after[length].get(state[-length:])
            if questions is not None:
                return [(option, self.state(state + (option, )))
                        for question in sorted(questions) for option in question]
        return None

    def reach(self, option: int) -> int:
        """How many last options, this one included, decide what comes after it down to the end."""
        reach = self._reach.get(option)
        if reach is None:
            self._reach[option] = 1  # where questions go round in circles
            reach = 1
            while reach < _MEMORY and option in self._ambiguous[reach]:
                reach += 1
            for question in self._after[1].get((option, ), ()):
                reach = max([reach] + [self.reach(other) - 1 for other in question])
            self._reach[option] = reach
        return reach
