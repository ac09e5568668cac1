"""Which option leads to the best path that nobody has taken, if the effects were these.

Best-first search (Hart, Nilsson and Raphael, A*, 1968) below a node: the value of a path is the
sum of its effects; what is below an option that nobody took here is guessed (see
:mod:`autokd_mm.search.prospects`). Options with nothing new below them are passed over.
"""
from heapq import heappop, heappush
from random import Random
from typing import Any, Callable, List, Mapping, Optional, Sequence, Tuple

from autokd_mm.search.grammar import Path
from autokd_mm.search.node import Node, Step
from autokd_mm.search.option_model import OptionModel
from autokd_mm.search.prospects import Prospects

_MOST = 64  # nodes looked at for one question

# -bound, serial number, choice at the start, value so far, options so far, the node there
_Entry = Tuple[float, int, int, float, Path, Optional[Node]]


class Plan:
    """One draw of the effects and what it says about paths.

    Args:
        model: which options there are, and what was asked after them.
        effects: one number for each feature of ``model``.
        prior: standard deviation of the effect of an option never seen anywhere.
        path: where to go to, as far as something new is left there; effects decide behind it.
    """

    def __init__(self, model: OptionModel, effects: List[float], prior: float,
                 path: Path = ()) -> None:
        self._model = model
        self._prospects = Prospects(model, effects)
        self._prior = prior
        self._path = path
        self._pushed = 0

    def choose(self, node: Node, name: str, choices: Sequence[Any], rng: Random) -> Optional[int]:
        """Index of the choice with the best new path below it; None if there is no new path.

        Args:
            node: where the trial stands.
            name, choices: the question it is asked.
            rng: for choices never seen anywhere.
        """
        self._prospects.grow()
        path = self._model.path(node)
        features = self._model.features(name, choices)
        branch = node.find(name, len(choices))
        children = branch.children if branch is not None else [None] * len(choices)
        if not self._path and node.branch is not None:
            self._begin(node)
        index = self._next(path, features)
        if index is not None:
            child = children[index]
            if child is None or not child.closed:
                return index
        return self._search(children, path, features, rng)

    def order(self, node: Node, name: str, choices: Sequence[Any], rng: Random) -> List[int]:
        """Indices of the choices, the one with the best path below it first."""
        self._prospects.grow()
        features = self._model.features(name, choices)
        worth = self._prospects.worth(self._model.path(node), features)
        value = [sum(one) + (self._prior * normal(rng) if feature is None else 0.0)
                 for one, feature in zip(worth, features)]
        return sorted(range(len(choices)), key=lambda index: -value[index])

    def ahead(self, node: Node) -> List[Step]:
        """What is planned below a node, as far as the tree knows the questions."""
        steps: List[Step] = []
        path = self._model.path(node)
        if self._path[:len(path)] != path:
            return steps
        below: Optional[Node] = node
        for feature in self._path[len(path):]:
            for branch in below.branches if below is not None else ():
                features = list(self._model.features(branch.name, branch.choices))
                if feature in features:
                    index = features.index(feature)
                    steps.append(Step(branch.name, branch.choices, index))
                    below = branch.children[index]
                    break
            else:
                break
        return steps

    def _begin(self, node: Node) -> None:
        """Search from the root, as a trial does that nobody has given its first answers."""
        while node.branch is not None:
            branch, node = node.branch, node.branch.parent
        features = self._model.features(branch.name, branch.choices)
        if None not in features:
            self._search(branch.children, self._model.path(node), features, None)

    def _next(self, path: Path, features: Sequence[Optional[int]]) -> Optional[int]:
        """What the path found by an earlier search says."""
        if len(path) < len(self._path) and self._path[:len(path)] == path \
                and self._path[len(path)] in features:
            return list(features).index(self._path[len(path)])
        return None

    def _search(self, children: Sequence[Optional[Node]], path: Path,
                features: Sequence[Optional[int]], rng: Optional[Random]) -> Optional[int]:
        queue: List[_Entry] = []
        self._fill(queue, children, path, features, 0.0, None, rng)
        for _ in range(_MOST if self._model.look_ahead else 0):
            if not queue:
                return None
            _, _, index, value, path, child = heappop(queue)
            if child is None or not self._expand(queue, child, index, value, path):
                self._path = path
                return index
        if not queue:
            return None
        _, _, index, _, self._path, _ = heappop(queue)
        return index

    def _expand(self, queue: List[_Entry], node: Node, index: int, value: float,
                path: Path) -> bool:
        """Put what is below a node into the queue; False if that is not known."""
        for branch in node.branches:
            features = self._model.features(branch.name, branch.choices)
            if None in features:
                return False
            self._fill(queue, branch.children, path, features, value, index, None)
        return bool(node.branches)

    def _fill(self, queue: List[_Entry], children: Sequence[Optional[Node]], path: Path,
              features: Sequence[Optional[int]], value: float, start: Optional[int],
              rng: Optional[Random]) -> None:
        """Put the options of one question into the queue, but those with nothing new below.

        ``start``: the choice that led here, None where the search begins.
        """
        worth = self._prospects.worth(path, features)
        for place, (child, (effect, tail)) in enumerate(zip(children, worth)):
            if child is not None and child.closed:
                continue
            index = place if start is None else start
            feature = features[place]
            self._pushed += 1
            if feature is not None:
                total = value + effect
                if child is not None and child.accidents and not child.works:
                    # It may be the leaf's own fault: others as good go first.
                    total -= 2 * self._prior * len(child.accidents)
                heappush(queue, (-total - tail, self._pushed, index, total, path + (feature, ),
                                 child))
            elif rng is not None:
                heappush(queue, (-tail - self._prior * normal(rng), self._pushed, index, 0.0,
                                 path, None))


def is_open(model: OptionModel, root: Node, path: Path, stands: Node) -> bool:
    """Whether something new is left where a path leads to, for a trial that stands at a node: its
    own end there, before anything more is asked, is none."""
    node: Optional[Node] = root
    for feature in path[1:]:
        if node is None or node is stands and not node.branches and node.ends <= node.room:
            return True
        for branch in node.branches:
            features = list(model.features(branch.name, branch.choices))
            if feature in features:
                node = branch.children[features.index(feature)]
                break
        else:
            return not node.branches and not node.closed
    return node is None or not node.closed


def by_chance(node: Node, name: str, choices: Sequence[Any], rng: Random) -> List[int]:
    """Indices of the choices in any order."""
    return sorted(range(len(choices)), key=lambda index: rng.random())


def open_path(node: Optional[Node], given: Mapping[str, int],
              order: Callable[[Node, str, Sequence[Any], Random], List[int]],
              rng: Random) -> Optional[List[Step]]:
    """The first path in a given order that leads to something new, and has the answers given, by
    question; None if there is none."""
    if node is None:
        return []
    if node.is_end:
        return None if node.closed else []
    branch = node.branches[-1]
    answer = given.get(branch.name)
    for index in order(node, branch.name, branch.choices, rng) if answer is None else [answer]:
        child = branch.children[index]
        if child is None or not child.closed:
            below = open_path(child, given, order, rng)
            if below is not None:
                return [Step(branch.name, branch.choices, index), *below]
    return None


def normal(rng: Random) -> float:
    """A standard normal number (Irwin and Hall's sum) of ``random()``, the only generator of
    Python that is promised to stay the same."""
    return sum(rng.random() for _ in range(12)) - 6.0
