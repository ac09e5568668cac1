"""The statistics of a Monte Carlo tree: visits, values, what is running and what is used up.

A node is the path of (parameter, choice) from the root, in the order in which the objective asks.
The tree knows neither Optuna nor how a choice is made (see :mod:`autokd_mm.search.selection`).
Values are always "higher is better": whoever fills the tree turns the sign. Choices see them on one
scale (see :mod:`autokd_mm.search.scale`).
"""
import math
import sys
from fractions import Fraction
from itertools import chain
from random import Random
from typing import Any, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from autokd_mm.search.changes import Changes
from autokd_mm.search.grammar import Path
from autokd_mm.search.node import OUTLIER, Branch, Node, Option, Step, refresh, unsure
from autokd_mm.search.option_model import OptionModel
from autokd_mm.search.planning import Plan, is_open
from autokd_mm.search.posterior import Hypothesis, Posterior, drawn
from autokd_mm.search.proposer import Proposer
from autokd_mm.search.scale import Scale


_LARGEST = Fraction(sys.float_info.max)
_ATTEMPTS = 3  # at a leaf, when they end without a reason


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


class Walk:
    """The way of one running trial; made by :meth:`Tree.start`.

    Attributes:
        nodes: where it has been, from the root on.
        ahead: where it is going to, behind the last of ``nodes``: the last of them is taken.
        repeatable: it has a number that its choices do not settle.
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
        room: so many trials may end in one leaf where numbers tell them apart.
    """

    def __init__(self, virtual_loss: float = 1.0, model: Optional[OptionModel] = None,
                 room: float = math.inf) -> None:
        self.virtual_loss, self.room = virtual_loss, room
        self.model = model
        self.root = Node()
        self._scale = Scale()
        self._changes = Changes()
        self._proposer = Proposer(model) if model is not None else None

    def add(self, steps: Iterable[Step], value: Optional[float], repeatable: bool = False,
            complete: bool = True, accident: bool = False, number: Optional[int] = None) -> None:
        """Back a finished trial up to the root.

        Args:
            steps: its decisions from the root downwards.
            value: a finite number, higher is better; None stands for the worst value seen, also
                when later trials move that.
            repeatable: a numeric parameter is not settled by the steps, so that the leaf has room
                for more trials.
            complete: nobody pruned it.
            accident: it has no value for a reason that may not be the leaf's fault. The leaf can be
                tried again, twice at most; where it works the accidents are forgotten.
            number: of the trial.
        """
        nodes = [self.root]
        steps = list(steps)
        for step in steps:
            nodes.append(self._child(nodes[-1], step))
        leaf = nodes[-1]
        forgotten: Sequence[int] = ()
        if accident and number is not None:
            leaf.accidents = (*leaf.accidents, number)  # a list for each leaf takes memory
        if not repeatable:  # there another value may fail again
            leaf.works |= complete and value is not None
            if leaf.works:
                forgotten, leaf.forgotten = leaf.accidents[leaf.forgotten:], len(leaf.accidents)
        shared = self.model.add(steps, number, forgotten) if self.model is not None else []
        if self._proposer is not None and self.model is not None and not accident:
            self._proposer.add(self.model.path(leaf), value, number)
        for sums in chain(nodes, shared):
            sums.worst += 1 - len(forgotten)
        if value is not None:
            for node in nodes:
                node.best = value if node.best is None else max(node.best, value)
            self._scale.add(float(value), [*nodes, *shared])
        self._changes.note(nodes, number, complete and not (repeatable or accident))
        if not accident or len(leaf.accidents) == _ATTEMPTS or repeatable:
            self._end(leaf, +1, repeatable)

    def plan(self, rng: Random, stands: Optional[Node] = None) -> Plan:
        """A draw of the effects of options from what the model knows of them; for some trials the
        path that :class:`~autokd_mm.search.proposer.Proposer` says, and the draw for what may come
        behind it.

        Args:
            stands: where the trial stands; None: its questions come in an order of their own, so
                that it follows no path.
        """
        assert self.model is not None and self._proposer is not None
        path: Path = ()
        if stands is not None and self._proposer.is_asked(self.model.gp_share, rng):
            path = next((one for one in self._proposer.propose(Random(rng.getrandbits(32)))
                         if is_open(self.model, self.root, one, stands)), ())
        posterior = self.posterior() if self.model.prior is None else \
            drawn(self.hypotheses(), rng.random())
        effects = self.model.sample(posterior, np.random.RandomState(rng.getrandbits(32)))
        return Plan(self.model, effects, posterior.scale / math.sqrt(posterior.shrinkage), path)

    def posterior(self) -> Posterior:
        """What the model knows of the effects of options."""
        assert self.model is not None
        scale = self._scale
        return self.model.posterior(scale.low, scale.width, scale.squares(self.root))

    def hypotheses(self) -> List[Hypothesis]:
        """What the model's prior is worth by now, and what is known if so."""
        assert self.model is not None
        scale = self._scale
        return self.model.hypotheses(scale.low, scale.width, scale.squares(self.root))

    def on_scale(self, value: Optional[float]) -> float:
        """A value as choices see it: 0 is poor or none, 1 the best."""
        width = self._scale.width
        if value is None or not width:
            return 0.0
        place = float((Fraction(value) - self._scale.low) / width)  # a float may be too small
        return min(max(place, 0.0), 1.0) if place <= 1 else float(OUTLIER)

    def value_of(self, place: float) -> float:
        """The value at a place on the scale."""
        value = self._scale.low + Fraction(place) * self._scale.width
        return float(max(-_LARGEST, min(value, _LARGEST)))

    def start(self) -> Walk:
        """A trial starts to run: virtual loss at the root."""
        walk = Walk(self.root)
        self.root.running += 1
        self._end(self.root, +1)
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
        if walk.goal is not before:
            self._end(before, -1, walk.repeatable)
            self._end(walk.goal, +1, walk.repeatable)

    def set_repeatable(self, walk: Walk) -> None:
        """A running trial has a number that its choices do not settle: nobody else will repeat it
        by accident."""
        if not walk.repeatable:
            self._end(walk.goal, -1)
            walk.repeatable = True
            self._end(walk.goal, +1, True)

    def drop(self, walk: Walk) -> None:
        """A trial runs no longer: take its virtual loss back."""
        for node in walk.nodes:
            node.running -= 1
        self._end(walk.goal, -1, walk.repeatable)

    def options(self, node: Node, name: str, choices: Sequence[Any]) -> List[Option]:
        """The statistics of every choice of ``name`` below ``node``, in the order of choices."""
        branch = node.find(name, len(choices))
        if branch is None:
            return [Option(0, 0.0, False)] * len(choices)
        options = [self._option(child) for child in branch.children]
        if all(option.closed for option in options):
            # Better behind another worker, who may find more than one path, than an old path.
            options = [option._replace(closed=not unsure(child))
                       for option, child in zip(options, branch.children)]
        return options

    def _option(self, node: Optional[Node]) -> Option:
        if node is None:
            return Option(0, 0.0, False)
        visits = node.visits + self.virtual_loss * node.running
        value = node.above(self._scale.low, self._scale.width)
        return Option(visits, value / visits if value else 0.0, node.closed)

    def again(self, node: Node, rng: Random) -> Tuple[List[Step], bool]:
        """The way to the least certain leaf below a node under which everything is closed, and
        whether it is new after all, see :class:`~autokd_mm.search.changes.Changes`."""
        found, new = self._changes.least_certain(node, rng)
        steps: List[Step] = []
        while found is not node and found.branch is not None:
            branch = found.branch
            steps.append(Step(branch.name, branch.choices, branch.children.index(found)))
            found = branch.parent
        return steps[::-1], new

    def rows(self, max_depth: Optional[int] = None, sign: int = 1) -> Iterator[Row]:
        """Walk over all visited nodes, depth first, most visited choice first.

        ``mean`` counts failed trials and values below the range as the lower end of the range.
        ``sign=-1`` shows the values of a minimisation.
        """
        todo = [(self.root, 0, '', None)]
        while todo:
            node, depth, name, choice = todo.pop()
            mean = self._scale.mean(node)
            mean = None if mean is None else sign * mean
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

    def _end(self, node: Node, change: int, repeatable: bool = False) -> None:
        if repeatable and self.room == math.inf:
            return  # any number may end there, nobody counts
        node.ends += change
        if repeatable:
            node.room = self.room
        refresh(node)
