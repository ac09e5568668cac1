"""Answers to the questions of a running trial, and where it is going to."""
from random import Random
from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Tuple

from autokd_mm.search.node import Node, Option, Step
from autokd_mm.search.planning import Plan, by_chance, open_path
from autokd_mm.search.tree import Tree, Walk

PLAN = 'mcts:plan'  # system attribute: [parameter, index of the choice] of what will be chosen


class Running:
    """A running trial: its walk through the tree, and which parameters are part of it."""
    __slots__ = ('walk', 'asked', 'plan', 'ahead', 'again', 'given', 'route')

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self.asked: Set[str] = set()
        self.again = False  # sent to a leaf where others have been
        # Where questions have no order: what was answered, and what is planned, by question.
        self.given: Dict[str, int] = {}
        self.route: Dict[str, int] = {}
        self.plan: Optional[Plan] = None
        self.ahead: Optional[List[Any]] = None  # the last value of PLAN that was looked at


class Guide:
    """Leads one running trial through the tree.

    Args:
        tree: of the study.
        running: the trial.
        shuffled: trials ask their questions in orders of their own.
    """

    def __init__(self, tree: Tree, running: Running, shuffled: bool) -> None:
        self.tree, self.running, self.shuffled = tree, running, shuffled

    def route(self, seed: Optional[str], name: str, choices: Sequence[Any],
              rng: Random) -> Tuple[int, List[Any]]:
        """Answer a question of a trial that asks in an order of its own: plan all answers at once,
        such that they are new together with those given.

        Args:
            seed: of the draw of effects; None goes by chance alone.

        Returns:
            Index of the choice, and the value of :data:`PLAN` as in :meth:`choose`.
        """
        running = self.running
        if name in running.route:
            return running.route[name], []
        self.tree.claim(running.walk, ())
        if seed is not None and running.plan is None:
            running.plan = self.tree.plan(Random(seed))
        order = running.plan.order if running.plan is not None and seed is not None else by_chance
        root = self.tree.root
        steps = open_path(root, running.given, order, rng)
        if steps is None and root.closed:
            steps, running.again = self.tree.again(root, rng)[0], True
        plan = self._claim(steps or [])
        running.route = {step.name: step.taken for step in steps or ()}
        if name not in running.route:
            running.route[name] = order(root, name, choices, rng)[0]
        return running.route[name], plan

    def choose(self, seed: str, name: str, choices: Sequence[Any],
               rng: Random) -> Tuple[Optional[int], List[Any]]:
        """Ask the plan of a running trial, made at its first question, and claim what it says.

        Returns:
            Index of the choice, None where nothing new is left, and the value of the attribute
            :data:`PLAN` if other processes should see a new one, otherwise an empty list.
        """
        running = self.running
        walk = running.walk
        index = _on_its_way(walk, name, choices)
        if index is not None:
            return index, []
        self.tree.claim(walk, ())  # its own goal should not be in its way
        if running.plan is None:
            running.plan = self.tree.plan(Random(seed), walk.nodes[-1])
        node = walk.nodes[-1]
        index = running.plan.choose(node, name, choices, rng)
        return index, self._claim(running.plan.ahead(node) if index is not None else [])

    def descend(self, name: str, choices: Sequence[Any],
                choose: Callable[[str, List[Option]], int]) -> Tuple[int, List[Any]]:
        """Ask a rule that knows one question at a time, also for the questions that will follow as
        far as the tree knows them, and claim where that leads to.

        Args:
            choose: from a question's name and the statistics of its choices to an index; a pure
                function, so that a trial alone goes the way it would have gone step by step.

        Returns:
            Index of the choice, and the value of :data:`PLAN` as in :meth:`choose`.
        """
        running = self.running
        walk = running.walk
        index = _on_its_way(walk, name, choices)
        if index is not None:
            return index, []
        self.tree.claim(walk, ())
        node: Optional[Node] = walk.nodes[-1]
        steps: List[Step] = []
        while True:
            assert node is not None
            steps.append(Step(name, tuple(choices),
                              choose(name, self.tree.options(node, name, choices))))
            branch = node.find(name, len(choices))
            node = branch.children[steps[-1].taken] if branch is not None else None
            if node is None or len(node.branches) != 1:
                return steps[0].taken, self._claim(steps)
            name, choices = node.branches[0].name, node.branches[0].choices

    def again(self, name: str, choices: Sequence[Any],
              seed: str) -> Tuple[Optional[int], List[Any]]:
        """Send a running trial where everything is used up to the least certain leaf.

        Returns:
            Index of the choice, None where something new is left or may be, and the value of
            :data:`PLAN` as in :meth:`choose`.
        """
        running = self.running
        index = _on_its_way(running.walk, name, choices)
        if index is not None:
            return index, []
        node = running.walk.nodes[-1]
        branch = node.find(name, len(choices))
        if branch is None or branch.n_closed < len(choices):
            return None, []
        if not all(option.closed for option in self.tree.options(node, name, choices)):
            return None, []
        steps, _ = self.tree.again(node, Random(seed))
        if not steps or steps[0].name != name:
            return None, []
        running.again = True
        return steps[0].taken, self._claim(steps)

    def repeats(self) -> bool:
        """Whether a running trial, all of whose questions are asked, was sent where others had
        been because nothing new is left."""
        running = self.running
        if not running.again:
            return False
        leaf = running.walk.goal if self.shuffled else running.walk.nodes[-1]
        return leaf.is_end and leaf.visits > 0 and self.tree.root.closed

    def _claim(self, steps: List[Step]) -> List[Any]:
        if len(steps) < 2:  # the next step is all, and it is about to be taken
            return []
        self.tree.claim(self.running.walk, steps)
        self.running.ahead = [[step.name, step.taken] for step in steps]
        return self.running.ahead


def _on_its_way(walk: Walk, name: str, choices: Sequence[Any]) -> Optional[int]:
    """The choice that a running trial has claimed already."""
    branch = walk.nodes[-1].find(name, len(choices))
    if branch is None or not walk.ahead or walk.ahead[0] not in branch.children:
        return None
    return branch.children.index(walk.ahead[0])
