"""What a tree knows of an objective that has changed: a study may go on with other questions.

A path that was asked more before and ends now is a new one, and so is one that ended before and is
asked more now. Trials are told apart by their numbers, so that the order of finishing changes
nothing.
"""
import math
from random import Random
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from autokd_mm.search.node import Node, refresh


class Behind(NamedTuple):
    """Numbers of the trials that were asked more behind an option, and of those that ended."""
    first_on: float = math.inf
    last_on: float = -1
    first_end: float = math.inf
    last_end: float = -1

    @property
    def goes_on(self) -> float:
        """The trial since which paths go on that ended before; -1 without one."""
        return self.first_on if 0 <= self.last_end < self.first_on < math.inf else -1

    @property
    def ends_now(self) -> bool:
        """Paths end that went on before."""
        return 0 <= self.last_on < self.first_end < math.inf


class Changes:
    """Which trials were asked what, and where to go where everything is used up."""

    def __init__(self) -> None:
        self._n_added = 0
        # By question, the option of which is None, and by option of one.
        self._behind: Dict[Tuple[str, Optional[int]], Behind] = {}

    def note(self, nodes: Sequence[Node], number: Optional[int], at_end: bool) -> None:
        """Take in a finished trial.

        Args:
            nodes: its path.
            number: of the trial; any that is new without.
            at_end: it was completed: there was nothing more to ask.
        """
        self._n_added += 1
        number = self._n_added - 1 if number is None else number
        for node in nodes[:-1]:
            node.last_on = max(node.last_on, number)
            self._note(node, Behind(first_on=number, last_on=number))
        leaf = nodes[-1]
        leaf.last = max(leaf.last, number)
        if at_end:
            leaf.last_end = max(leaf.last_end, number)
            self._note(leaf, Behind(first_end=number, last_end=number))
        for node in reversed(nodes):
            if node.branches and node.last_end >= 0:
                refresh(node)

    def _note(self, node: Node, new: Behind) -> None:
        if node.branch is not None:
            for option in (None, node.branch.children.index(node)):
                old = self._behind.get((node.branch.name, option), Behind())
                self._behind[node.branch.name, option] = Behind(
                    min(old.first_on, new.first_on), max(old.last_on, new.last_on),
                    min(old.first_end, new.first_end), max(old.last_end, new.last_end))

    def least_certain(self, node: Node, rng: Random) -> Tuple[Node, bool]:
        """A leaf below a node under which everything is closed, and whether it is new after all.

        First comes what nobody has tried since the questions changed, then what may be such, then
        what has been measured least often, last what has always failed; ties at random.
        """
        leaves: List[Node] = []
        changed, todo = -1.0, [node]
        while todo:
            one = todo.pop()
            if one.branches and self._of(one).ends_now:
                changed = max(changed, self._of(one, sure=False).last_on + 1)
            if one.is_end:
                leaves.append(one)
            else:
                todo += [child for branch in one.branches for child in branch.children
                         if child is not None]

        def new(leaf: Node) -> bool:
            return leaf.last < max(changed, self._of(leaf).goes_on)

        def rank(leaf: Node) -> Tuple[bool, bool, bool, int, float]:
            return (not new(leaf), leaf.last >= self._of(leaf, sure=False).goes_on,
                    leaf.visits > 0 and leaf.best is None, leaf.ends, rng.random())

        found = min(leaves, key=rank)
        return found, new(found)

    def _of(self, node: Node, sure: bool = True) -> Behind:
        """What is known behind the last option of a node, or behind all of that question."""
        if node.branch is None:
            return Behind()
        option = node.branch.children.index(node) if sure else None
        return self._behind.get((node.branch.name, option), Behind())
