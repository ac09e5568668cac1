"""Which option leads to the best path that nobody has taken, if the effects were these.

Best-first search (Hart, Nilsson and Raphael, A*, 1968) below a node: the value of a path is the
sum of its effects; what is below an option that nobody took here is guessed from what was asked
after it elsewhere. Options with nothing new below them are passed over.
"""
from heapq import heappop, heappush
from random import Random
from typing import Any, Dict, List, Optional, Sequence, Tuple

from autokd_mm.search.grammar import Path
from autokd_mm.search.node import Node
from autokd_mm.search.option_model import OptionModel

_MOST = 64  # nodes looked at for one question

# -bound, serial number, choice at the start, value so far, options so far, the node there
_Entry = Tuple[float, int, int, float, Path, Optional[Node]]


class Plan:
    """One draw of the effects and what it says about paths.

    Args:
        model: which options there are, and what was asked after them.
        effects: one number for each feature of ``model``.
        prior: standard deviation of the effect of an option never seen anywhere.
    """

    def __init__(self, model: OptionModel, effects: List[float], prior: float) -> None:
        self._model = model
        self._effects = effects
        self._prior = prior
        self._tails: Dict[Path, Optional[float]] = {}
        self._path: Path = ()
        self._pushed = 0

    def choose(self, node: Node, name: str, choices: Sequence[Any], rng: Random) -> Optional[int]:
        """Index of the choice with the best new path below it; None if there is no new path.

        Args:
            node: where the trial stands.
            name, choices: the question it is asked.
            rng: for choices never seen anywhere.
        """
        # What another worker has found since the draw counts as the mean of the prior.
        self._effects += [0.0] * (len(self._model) - len(self._effects))
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
        tails = [None if feature is None else self._after(path + (feature, ))
                 for feature in features]
        # What may follow an option that nobody took: the best that follows one beside it.
        guess = max([tail for tail in tails if tail is not None], default=0.0)
        for place, (child, feature, tail) in enumerate(zip(children, features, tails)):
            if child is not None and child.closed:
                continue
            index = place if start is None else start
            reward = guess if tail is None else tail
            if feature is not None:
                total = value + self._effect(path[-1], feature)
                self._push(queue, total + reward, index, total, path + (feature, ), child)
            elif rng is not None:
                self._push(queue, reward + self._prior * normal(rng), index, 0.0, path, None)

    def _push(self, queue: List[_Entry], bound: float, index: int, value: float, path: Path,
              child: Optional[Node]) -> None:
        self._pushed += 1
        heappush(queue, (-bound, self._pushed, index, value, path, child))

    def _effect(self, before: int, feature: int) -> float:
        if not self._model.pairs:
            return self._effects[feature]
        pair = self._model.pair(before, feature)
        return self._effects[feature] + (0.0 if pair is None else self._effects[pair])

    def _after(self, path: Path) -> Optional[float]:
        if not self._model.look_ahead:
            return 0.0
        return self._tail(self._model.grammar.state(path))

    def _tail(self, state: Path) -> Optional[float]:
        """The best that can follow, by what was offered after such paths elsewhere."""
        if state not in self._tails:
            self._tails[state] = 0.0  # where questions go round in circles
            self._tails[state] = self._best(state)
        return self._tails[state]

    def _best(self, state: Path) -> Optional[float]:
        offered = self._model.grammar.offered(state)
        if not offered:
            return None if offered is None else 0.0
        tails = [self._tails[after] if after in self._tails else self._tail(after)
                 for _, after in offered]
        known = [tail for tail in tails if tail is not None]
        guess = max(known) if known else 0.0
        if self._model.pairs:
            effects = [self._effect(state[-1], feature) for feature, _ in offered]
        else:
            effects = [self._effects[feature] for feature, _ in offered]
        return max([effect + (guess if tail is None else tail)
                    for effect, tail in zip(effects, tails)])


def normal(rng: Random) -> float:
    """A standard normal number (Irwin and Hall's sum) of ``random()``, the only generator of
    Python that is promised to stay the same."""
    return sum(rng.random() for _ in range(12)) - 6.0
