"""The statistics of a Monte Carlo tree: visits, values, what is running and what is used up.

A node is the path of (parameter, choice) from the root, in the order in which the objective asks.
The tree knows neither Optuna nor how a choice is made (see :mod:`autokd_mm.search.selection`).
Values are always "higher is better": whoever fills the tree turns the sign.

**One scale.** A value v is seen as ``clip((v - low) / (high - low), 0, 1)``, where ``high`` is the
best value so far and ``low`` the lower quartile (an order statistic, not interpolated). So the
exploration constant has no unit: ``a * v + b`` with a > 0 gives the same tree. ``low`` is not the
minimum, because one diverged candidate (reward -1e6) would then squash all others into one point
and the search would turn into a uniform one; a quarter of the trials may diverge without harm.
Nothing is clipped at the upper end: an unusually good value is what we look for.

**Exact sums.** Sums are :class:`fractions.Fraction`: a tree grown trial by trial, in any order of
finishing, is bit for bit the one rebuilt from the storage, and a value can leave a sum again (when
the quartile moves past it) without leaving rounding errors behind.
"""
from bisect import bisect_left, insort
from fractions import Fraction
from typing import Any, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

LOW_QUANTILE = Fraction(1, 4)


class Step(NamedTuple):
    """One decision of a path: ``choices[taken]`` for the parameter ``name``."""
    name: str
    choices: Tuple[Any, ...]
    taken: int


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


class Row(NamedTuple):
    """One node, for reports; ``mean`` and ``best`` in the unit of the values."""
    depth: int
    name: str
    choice: Any
    visits: int
    running: int
    mean: Optional[float]
    best: Optional[float]
    closed: bool


class Branch:
    """The choices of one parameter below one node."""
    __slots__ = ('parent', 'name', 'choices', 'children', 'n_closed')

    def __init__(self, parent: 'Node', name: str, choices: Sequence[Any]) -> None:
        self.parent = parent
        self.name = name
        self.choices = choices
        self.children: List[Optional[Node]] = [None] * len(choices)
        self.n_closed = 0


class Node:
    """Statistics of one path.

    Attributes:
        branch, branches: the one it belongs to, those below: nearly always one, more when a
            numeric parameter decides what is asked next.
        total, scored: exact sum and number of the values that lie in the range.
        worst: finished trials that count as the worst value: no value, or below the range.
        running: trials that are on their way through this node.
        ends: trials, finished or running, whose path ends here.
        closed: a leaf with an end, or an inner node all of whose choices are closed.
        best: highest value seen below.
    """
    __slots__ = ('branch', 'branches', 'total', 'scored', 'worst', 'running', 'ends', 'closed',
                 'best')

    def __init__(self, branch: Optional[Branch] = None) -> None:
        self.branch = branch
        self.branches: Tuple[Branch, ...] = ()
        self.total = Fraction(0)
        self.scored = 0
        self.worst = 0
        self.running = 0
        self.ends = 0
        self.closed = False
        self.best: Optional[float] = None

    @property
    def visits(self) -> int:
        return self.scored + self.worst

    def find(self, name: str, n_choices: int) -> Optional[Branch]:
        for branch in self.branches:
            if branch.name == name and len(branch.children) == n_choices:
                return branch
        return None


Record = Tuple[float, int, List[Node]]  # value, serial number, nodes of the path


class Walk:
    """The way of one running trial so far; made by :meth:`Tree.start`."""
    __slots__ = ('nodes', 'repeatable')

    def __init__(self, root: Node) -> None:
        self.nodes = [root]
        self.repeatable = False


class Tree:
    """Monte Carlo tree over the paths of finished and running trials.

    Args:
        virtual_loss: visits with the worst value that one running trial stands for (Chaslot et
            al., "Parallel Monte-Carlo Tree Search", CG 2008, tree parallelisation). 0 ignores it.
    """

    def __init__(self, virtual_loss: float = 1.0) -> None:
        self.virtual_loss = virtual_loss
        self.root = Node()
        self._values: List[Record] = []  # sorted; the first ``_n_clipped`` count as worst
        self._n_clipped = 0
        self._low = self._width = Fraction(0)

    def add(self, steps: Iterable[Step], value: Optional[float], repeatable: bool = False) -> None:
        """Back a finished trial up to the root.

        Args:
            steps: its decisions from the root downwards.
            value: a finite number, higher is better; None stands for the worst value seen, also
                when later trials move that.
            repeatable: a numeric parameter was asked too, so that the leaf is never closed.
        """
        nodes = [self.root]
        for step in steps:
            nodes.append(self._child(nodes[-1], step))
        for node in nodes:
            node.worst += 1
        if value is not None:
            self._insert(float(value), nodes)
        if not repeatable:
            _end(nodes[-1], +1)

    def _insert(self, value: float, nodes: List[Node]) -> None:
        record = (value, len(self._values), nodes)
        clipped = bisect_left(self._values, record) < self._n_clipped
        insort(self._values, record)
        for node in nodes:
            node.best = value if node.best is None else max(node.best, value)
        if clipped:
            self._n_clipped += 1
        else:
            _move(record, +1)
        self._move_range()

    def _move_range(self) -> None:
        """Let ``low`` follow the quartile; the values it passes change sides."""
        values = self._values
        high = values[-1][0]
        k = int(LOW_QUANTILE * (len(values) - 1))
        if values[k][0] == high:
            # Most values tie at the best: keep best and second best apart.
            k = max(bisect_left(values, (high, )) - 1, 0)
        # A value equal to ``low`` is 0 on the scale on either side, so that ties do not matter.
        while self._n_clipped < k:
            _move(values[self._n_clipped], -1)
            self._n_clipped += 1
        while self._n_clipped > k:
            self._n_clipped -= 1
            _move(values[self._n_clipped], +1)
        self._low = Fraction(values[k][0])
        self._width = Fraction(high) - self._low

    def start(self) -> Walk:
        """A trial starts to run: virtual loss at the root."""
        walk = Walk(self.root)
        self.root.running += 1
        _end(self.root, +1)
        return walk

    def step(self, walk: Walk, step: Step) -> None:
        """A running trial takes a decision: virtual loss on the next node."""
        last = walk.nodes[-1]
        child = self._child(last, step)
        child.running += 1
        walk.nodes.append(child)
        if not walk.repeatable:
            _end(last, -1)
            _end(child, +1)

    def set_repeatable(self, walk: Walk) -> None:
        """A running trial has a numeric parameter: nobody else will repeat it by accident."""
        if not walk.repeatable:
            walk.repeatable = True
            _end(walk.nodes[-1], -1)

    def drop(self, walk: Walk) -> None:
        """A trial runs no longer: take its virtual loss back."""
        for node in walk.nodes:
            node.running -= 1
        if not walk.repeatable:
            _end(walk.nodes[-1], -1)

    def options(self, node: Node, name: str, choices: Sequence[Any]) -> List[Option]:
        """The statistics of every choice of ``name`` below ``node``, in the order of choices."""
        branch = node.find(name, len(choices))
        if branch is None:
            return [Option(0, 0.0, False)] * len(choices)
        return [self._option(child) for child in branch.children]

    def _option(self, node: Optional[Node]) -> Option:
        if node is None:
            return Option(0, 0.0, False)
        visits = node.visits + self.virtual_loss * node.running
        value = 0.0
        if node.scored and self._width:
            value = float((node.total - node.scored * self._low) / self._width) / visits
        return Option(visits, value, node.closed)

    def rows(self, max_depth: Optional[int] = None, sign: int = 1) -> Iterator[Row]:
        """Walk over all visited nodes, depth first, most visited choice first.

        ``mean`` counts failed trials and values below the range as the lower end of the range.
        ``sign=-1`` shows the values of a minimisation.
        """
        todo = [(self.root, 0, '', None)]
        while todo:
            node, depth, name, choice = todo.pop()
            mean = None
            if node.visits and self._values:
                mean = sign * float((node.total + node.worst * self._low) / node.visits)
            best = None if node.best is None else sign * node.best
            yield Row(depth, name, choice, node.visits, node.running, mean, best, node.closed)
            if max_depth is None or depth < max_depth:
                below = [(child, depth + 1, branch.name, branch.choices[index])
                         for branch in node.branches
                         for index, child in enumerate(branch.children)
                         if child is not None and child.visits + child.running]
                todo += sorted(below, key=lambda item: item[0].visits + item[0].running)

    def describe(self, max_depth: Optional[int] = 2, sign: int = 1) -> str:
        """The tree as lines of text: visits, mean and best value of every node."""
        lines = [f'{"visits":>6} {"running":>7} {"mean":>10} {"best":>10}  node']
        for row in self.rows(max_depth, sign):
            label = f'{row.name}={row.choice}' if row.depth else 'all trials'
            mean, best = ('-' if v is None else f'{v:.4g}' for v in (row.mean, row.best))
            label = '  ' * row.depth + label + ' (used up)' * row.closed
            lines.append(f'{row.visits:6d} {row.running:7d} {mean:>10} {best:>10}  {label}')
        return '\n'.join(lines)

    def _child(self, node: Node, step: Step) -> Node:
        branch = node.find(step.name, len(step.choices))
        if branch is None:
            branch = Branch(node, step.name, step.choices)
            node.branches += (branch, )
            _refresh(node)
        child = branch.children[step.taken]
        if child is None:
            child = branch.children[step.taken] = Node(branch)
        return child


def _move(record: Record, into: int) -> None:
    """Let a value count as itself (+1) or as the worst one (-1) on all of its path."""
    change = into * Fraction(record[0])
    for node in record[2]:
        node.total += change
        node.scored += into
        node.worst -= into


def _end(node: Node, change: int) -> None:
    node.ends += change
    _refresh(node)


def _refresh(node: Node) -> None:
    """Recompute ``closed`` and tell the ancestors when it has changed."""
    while True:
        if node.branches:
            closed = all(b.n_closed == len(b.children) for b in node.branches)
        else:
            closed = node.ends > 0
        if closed == node.closed:
            return
        node.closed = closed
        if node.branch is None:  # the root
            return
        node.branch.n_closed += 1 if closed else -1
        node = node.branch.parent
