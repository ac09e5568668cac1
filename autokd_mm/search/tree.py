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
import math
from bisect import bisect_left, insort
from fractions import Fraction
from itertools import chain
from random import Random
from typing import Any, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from autokd_mm.search.node import Branch, Node, Option, Step, Sums, end, refresh
from autokd_mm.search.option_model import OptionModel, Posterior
from autokd_mm.search.planning import Plan

LOW_QUANTILE = Fraction(1, 4)


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


Record = Tuple[float, int, List[Sums]]  # value, serial number, what the value is added to


class Walk:
    """The way of one running trial; made by :meth:`Tree.start`.

    Attributes:
        nodes: where it has been, from the root on.
        ahead: where it is going to, behind the last of ``nodes``: the last of them is taken.
        repeatable: it has a numeric parameter.
    """
    __slots__ = ('nodes', 'ahead', 'repeatable')

    def __init__(self, root: Node) -> None:
        self.nodes = [root]
        self.ahead: List[Node] = []
        self.repeatable = False

    @property
    def goal(self) -> Node:
        """The node that nobody else need go to."""
        return (self.ahead or self.nodes)[-1]


class Tree:
    """Monte Carlo tree over the paths of finished and running trials.

    Args:
        virtual_loss: visits with the worst value that one running trial stands for (Chaslot et
            al., "Parallel Monte-Carlo Tree Search", CG 2008, tree parallelisation). 0 ignores it.
        model: of options, if they share their statistics.
    """

    def __init__(self, virtual_loss: float = 1.0, model: Optional[OptionModel] = None) -> None:
        self.virtual_loss = virtual_loss
        self.model = model
        self.root = Node()
        self._squares = Fraction(0)  # of the values in the range
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
        steps = list(steps)
        for step in steps:
            nodes.append(self._child(nodes[-1], step))
        shared = self.model.add(steps) if self.model is not None else []
        for sums in chain(nodes, shared):
            sums.worst += 1
        if value is not None:
            for node in nodes:
                node.best = value if node.best is None else max(node.best, value)
            self._insert(float(value), [*nodes, *shared])
        if not repeatable:
            end(nodes[-1], +1)

    def _insert(self, value: float, sums: List[Sums]) -> None:
        record = (value, len(self._values), sums)
        clipped = bisect_left(self._values, record) < self._n_clipped
        insort(self._values, record)
        if clipped:
            self._n_clipped += 1
        else:
            self._move(record, +1)
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
            self._move(values[self._n_clipped], -1)
            self._n_clipped += 1
        while self._n_clipped > k:
            self._n_clipped -= 1
            self._move(values[self._n_clipped], +1)
        self._low = Fraction(values[k][0])
        self._width = Fraction(high) - self._low

    def _move(self, record: Record, into: int) -> None:
        """Let a value count as itself (+1) or as the worst one (-1) on all of its path."""
        value = Fraction(record[0])
        change = into * value
        self._squares += change * value
        for sums in record[2]:
            sums.total += change
            sums.scored += into
            sums.worst -= into

    def plan(self, rng: Random) -> Plan:
        """A draw of the effects of options from what the model knows of them."""
        assert self.model is not None
        posterior = self.posterior()
        effects = self.model.sample(posterior, np.random.RandomState(rng.getrandbits(32)))
        return Plan(self.model, effects, posterior.scale / math.sqrt(self.model.shrinkage))

    def posterior(self) -> Posterior:
        """What the model knows of the effects of options."""
        assert self.model is not None
        low, width, squares = self._low, self._width, 0.0
        if width:
            root = self.root
            squares = float((self._squares - 2 * low * root.total + root.scored * low * low)
                            / (width * width))
        return self.model.posterior(low, width, squares)

    def start(self) -> Walk:
        """A trial starts to run: virtual loss at the root."""
        walk = Walk(self.root)
        self.root.running += 1
        end(self.root, +1)
        return walk

    def step(self, walk: Walk, step: Step) -> None:
        """A running trial takes a decision: virtual loss on the next node."""
        child = self._child(walk.nodes[-1], step)
        child.running += 1
        goal = walk.goal
        on_its_way = walk.ahead[:1] == [child]
        walk.nodes.append(child)
        walk.ahead = walk.ahead[1:] if on_its_way else []
        self._move_goal(walk, goal)

    def claim(self, walk: Walk, steps: Iterable[Step]) -> None:
        """A running trial plans these decisions: where they lead to is taken from now on, before
        the trial gets there. A plan made earlier is forgotten."""
        goal, walk.ahead = walk.goal, []
        for step in steps:
            walk.ahead.append(self._child(walk.goal, step))
        self._move_goal(walk, goal)

    def _move_goal(self, walk: Walk, before: Node) -> None:
        if not walk.repeatable and walk.goal is not before:
            end(before, -1)
            end(walk.goal, +1)

    def set_repeatable(self, walk: Walk) -> None:
        """A running trial has a numeric parameter: nobody else will repeat it by accident."""
        if not walk.repeatable:
            walk.repeatable = True
            end(walk.goal, -1)

    def drop(self, walk: Walk) -> None:
        """A trial runs no longer: take its virtual loss back."""
        for node in walk.nodes:
            node.running -= 1
        if not walk.repeatable:
            end(walk.goal, -1)

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
        value = node.above(self._low, self._width)
        return Option(visits, value / visits if value else 0.0, node.closed)

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
            refresh(node)
        child = branch.children[step.taken]
        if child is None:
            child = branch.children[step.taken] = Node(branch)
        return child
