"""In which order independent questions stand in the tree, where each trial asks them in its own.

As long as no two questions are seen in both orders, the tree has them as they are asked. Then they
are sorted: one that always comes after another stays behind it, and names decide about the rest.
This depends on what was asked, not on when.
"""
from typing import Dict, Sequence, Set, Tuple


class Order:
    """Which question has been asked before which.

    Attributes:
        shuffled: some were seen in both orders.
    """

    def __init__(self) -> None:
        self.shuffled = False
        self._seen: Set[Tuple[str, ...]] = set()
        self._before: Set[Tuple[str, str]] = set()
        self._place: Dict[str, int] = {}

    def add(self, names: Sequence[str]) -> bool:
        """Take in the questions of a trial, as far as it has come.

        Returns:
            Whether the questions known before stand in another order now.
        """
        names = tuple(names)
        if names in self._seen:
            return False
        self._seen.add(names)
        new = {(one, other) for place, other in enumerate(names) for one in names[:place]}
        new -= self._before
        self._before |= new
        if not new:
            return False
        if not self.shuffled:
            self.shuffled = any((other, one) in self._before for one, other in new)
            if not self.shuffled:
                return False
        known = sorted(self._place, key=self._place.__getitem__)
        self._sort()
        return not known or known != sorted(known, key=self._place.__getitem__)

    def place(self, name: str) -> int:
        """Where a question stands; those never asked with others come last."""
        return self._place.get(name, len(self._place))

    def _sort(self) -> None:
        left = {name for pair in self._before for name in pair}
        ahead: Dict[str, Set[str]] = {name: set() for name in left}
        for one, other in self._before:
            if (other, one) not in self._before:
                ahead[other].add(one)
        self._place = {}
        while left:
            # Where they go round in circles, the one with the fewest before it.
            first = min(left, key=lambda name: (len(ahead[name] & left), name))
            left.remove(first)
            self._place[first] = len(self._place)
