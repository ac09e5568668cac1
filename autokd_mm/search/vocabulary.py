"""The names of options and the numbers under which models know them.

Options are the same wherever ``shared_name`` says the same of the questions they answer: by it
``distance(l2|kl)=l2`` and ``distance=l2`` may share their statistics.
"""
from __future__ import annotations

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from autokd_mm.search.grammar import Path
from autokd_mm.search.node import Node
from autokd_mm.search.numeric import parameter

Key = Tuple[str, ...]
BASE: Key = ()  # of what all trials have


class Question(NamedTuple):
    """A parameter with the features of its choices, in their order."""
    choices: Tuple[Any, ...]
    features: Tuple[int, ...]


class Vocabulary:
    """Features of options and of pairs of options that follow each other, as they come.

    Args:
        shared_name: from the name of a question to the one under which its options are known;
            without one it is its own.
    """

    def __init__(self, shared_name: Optional[Callable[[str], str]] = None) -> None:
        self.shared_name = shared_name
        self._questions: Dict[str, Question] = {}
        self._keys: List[Key] = []
        self._features: Dict[Key, int] = {}
        self._pairs: Dict[Tuple[int, int], int] = {}
        self._depths: List[int] = []  # how often the range of a number was halved before
        self._general: Dict[int, int] = {}  # from an option in a context to the same one anywhere
        self._sorted: np.ndarray = np.zeros(0, int)
        self._feature(BASE)

    def __len__(self) -> int:
        return len(self._keys)

    def features(self, name: str, choices: Sequence[Any]) -> Sequence[Optional[int]]:
        """The feature of each choice of a parameter; None where no trial has been offered it."""
        question = self._questions.get(name)
        if question is not None and question.choices == choices:
            return question.features
        return [self._features.get(key) for key in self._keys_of(name, choices)]

    def path(self, node: Node) -> Path:
        """The features of the options that lead to a node, behind the 0 of the root."""
        path: List[int] = []
        while node.branch is not None:
            branch = node.branch
            feature = self.features(branch.name, branch.choices)[branch.children.index(node)]
            if feature is None:
                break  # what was never seen says nothing of what comes
            path.append(feature)
            node = branch.parent
        return (0, *reversed(path))

    def key(self, feature: int) -> Key:
        """The name of a feature, which is the same in all processes."""
        return self._keys[feature]

    def is_part(self, feature: int) -> bool:
        """Whether it is a part of a range that has been halved before."""
        return self._depths[feature] > 0

    def pair(self, before: int, feature: int) -> Optional[int]:
        """The feature of two options that follow each other, if there is one."""
        return self._pairs.get((before, feature))

    def _question(self, name: str, choices: Tuple[Any, ...], level: int) -> Question:
        question = self._questions.get(name)
        if question is None or question.choices != choices:
            features: Path = ()
            for key in self._keys_of(name, choices):
                features += (self._feature(key, level + len(key) - 2), )
                if len(key) > 2:
                    self._general[features[-1]] = self._feature(key[:2], level)
            question = self._questions[name] = Question(choices, features)
        return question

    def _keys_of(self, name: str, choices: Sequence[Any]) -> List[Key]:
        """An option in a context has the key of the same option anywhere, and the context."""
        name, context = parameter(name)
        base = name if self.shared_name is None else self.shared_name(name)
        if not isinstance(base, str):
            raise ValueError(f'shared_name must return a string, of {name!r} it returns {base!r}')
        return [(base, repr(choice)) + ((context, ) if context else ()) for choice in choices]

    @property
    def _order(self) -> np.ndarray:
        """The features in the order of their names."""
        if len(self._sorted) != len(self._keys):
            self._sorted = np.array(sorted(range(len(self._keys)), key=self._keys.__getitem__))
        return self._sorted

    def _pair(self, before: int, feature: int) -> int:
        pair = self._pairs.get((before, feature))
        if pair is None:
            pair = self._feature(self._keys[before] + self._keys[feature])
            self._pairs[before, feature] = pair
        return pair

    def _feature(self, key: Key, depth: int = 0) -> int:
        if key not in self._features:
            self._features[key] = len(self._keys)
            self._keys.append(key)
            self._depths.append(depth)
        return self._features[key]
