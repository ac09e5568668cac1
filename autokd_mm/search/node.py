"""The nodes of a Monte Carlo tree and what is added up in them."""
from fractions import Fraction
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple


OUTLIER = 2  # on the scale where 0 is a poor value and 1 the best that is believed


class Step(NamedTuple):
    """One decision of a path: ``choices[taken]`` for the question ``name``.

    Attributes:
        level: how many questions about the same parameter came before, see
            :mod:`autokd_mm.search.numeric`.
    """
    name: str
    choices: Tuple[Any, ...]
    taken: int
    level: int = 0


class Option(NamedTuple):
    """What selection gets to know about one choice below a node.

    Attributes:
        visits: finished trials plus ``virtual_loss`` for each running one.
        value: mean over ``visits`` on the scale [0, 1]; failed and running trials count as 0.
        closed: nothing new is left below it.
    """
    visits: float
    value: float
    closed: bool


class Sums:
    """What finished trials add up to; exact, see :mod:`autokd_mm.search.scale`.

    Attributes:
        total, scored: sum and number of the values that lie in the range.
        worst: finished trials that count as the worst value: no value, or below the range.
        outliers: finished trials whose value is too far above the range to be believed.
    """
    __slots__ = ('total', 'scored', 'worst', 'outliers')

    def __init__(self) -> None:
        self.total = Fraction(0)
        self.scored = 0
        self.worst = 0
        self.outliers = 0

    @property
    def visits(self) -> int:
        return self.scored + self.worst + self.outliers

    def above(self, low: Fraction, width: Fraction) -> float:
        """Sum of (value - low) / width over the values in the range, rounded once: whole numbers,
        because Fraction would look for common divisors in every step. An outlier adds
        ``OUTLIER``."""
        if not self.scored or not width:
            return OUTLIER * self.outliers if width else 0.0
        total = self.total
        number = total.numerator * low.denominator - \
            self.scored * low.numerator * total.denominator
        return (number * width.denominator
                / (total.denominator * low.denominator * width.numerator)
                + OUTLIER * self.outliers)


class Branch:
    """The choices of one parameter below one node."""
    __slots__ = ('parent', 'name', 'choices', 'children', 'n_closed')

    def __init__(self, parent: 'Node', name: str, choices: Tuple[Any, ...]) -> None:
        self.parent = parent
        self.name = name
        self.choices = choices
        self.children: List[Optional[Node]] = [None] * len(choices)
        self.n_closed = 0


class Node(Sums):
    """Statistics of one path.

    Attributes:
        branch, branches: the one it belongs to, those below: nearly always one, more when a
            numeric parameter decides what is asked next.
        running: trials that are on their way through this node.
        ends: trials, finished or running, whose path ends here.
        room: so many may end here before it is used up.
        closed: a leaf that is used up, or an inner node all of whose choices are closed.
        best: highest value seen below.
        accidents: numbers of the trials that ended here without a value or a reason.
        forgotten: so many of them do not count, because
        works: a trial was completed here, with a value.
        last_end: number of the last completed trial whose path ends here; -1 without one.
        last_on: of the last trial that was asked more here.
        last: of the last trial whose path ends here, completed or not.
    """
    __slots__ = ('branch', 'branches', 'running', 'ends', 'room', 'closed', 'best', 'accidents',
                 'forgotten', 'works', 'last_end', 'last_on', 'last')

    def __init__(self, branch: Optional[Branch] = None) -> None:
        super().__init__()
        self.branch = branch
        self.branches: Tuple[Branch, ...] = ()
        self.running = 0
        self.ends = 0
        self.room = 1.0
        self.closed = False
        self.best: Optional[float] = None
        self.accidents: Sequence[int] = ()
        self.forgotten = 0
        self.works = False
        self.last_end = self.last_on = self.last = -1

    @property
    def is_end(self) -> bool:
        """Whether paths end here, by the last trials: an objective may be changed."""
        return not self.branches or self.last_end > self.last_on

    def find(self, name: str, n_choices: int) -> Optional[Branch]:
        for branch in self.branches:
            if branch.name == name and len(branch.children) == n_choices:
                return branch
        return None


def refresh(node: Node) -> None:
    """Recompute ``closed`` and tell the ancestors when it has changed."""
    while True:
        if not node.branches:
            closed = node.ends >= node.room
        elif node.is_end:
            closed = True
        else:
            closed = all(b.n_closed == len(b.children) for b in node.branches)
        if closed == node.closed:
            return
        node.closed = closed
        if node.branch is None:  # the root
            return
        node.branch.n_closed += 1 if closed else -1
        node = node.branch.parent


def unsure(node: Optional[Node]) -> bool:
    """Whether a closed node may still have something new below it: a running trial stands where no
    other trial has been, next to nodes with further questions below them."""
    if node is None:
        return True
    if not node.is_end:
        return any(unsure(child) for branch in node.branches for child in branch.children)
    beside = node.branch.children if node.branch is not None else []
    return not node.visits and any(child is not None and child.branches for child in beside)
