"""What the objective asks next, learnt from the paths it has asked for.

Where nobody has been, the next question is guessed: what was asked elsewhere after the same last
options, of which as few are compared as are needed to tell the questions apart.
"""
from typing import Dict, List, Optional, Sequence, Set, Tuple

_MEMORY = 4  # options that are compared at most

Path = Tuple[int, ...]
Offered = Sequence[Tuple[int, Path]]


class Grammar:
    """Which options are offered after which; options are numbers, 0 stands before the first."""

    def __init__(self) -> None:
        # By number of options compared: what was offered after them, a set for each question.
        self._after: List[Dict[Path, Set[Path]]] = [{} for _ in range(_MEMORY + 1)]
        self._ambiguous: List[Set[int]] = [set() for _ in range(_MEMORY + 1)]
        self._reach: Dict[int, int] = {}
        self._offered: Dict[Path, Optional[Offered]] = {}

    def add(self, path: Path, offered: Path) -> None:
        """After ``path`` the options ``offered`` were offered; none: that was the end."""
        if offered in self._after[_MEMORY].get(path[-_MEMORY:], ()):
            return
        for length in range(1, _MEMORY + 1):
            questions = self._after[length].setdefault(path[-length:], set())
            questions.add(offered)
            if len(questions) > 1:
                self._ambiguous[length].add(path[-1])
        self._reach.clear()
        self._offered.clear()

    def state(self, path: Path) -> Path:
        """The last options of ``path``, as many as decide what comes after it."""
        return path[-self.reach(path[-1]):]

    def offered(self, state: Path) -> Optional[Offered]:
        """What is probably offered next, with the states after it; nothing at an end; None:
        nobody knows."""
        if state not in self._offered:
            self._offered[state] = self._look(state)
        return self._offered[state]

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
