"""What transforms remember from image to image, so that it can be forgotten."""
from __future__ import annotations

import copy
import random
from collections import deque
from types import ModuleType
from typing import Any, Dict, Hashable, Iterable, List, Set, Tuple

import numpy as np
import torch

from autokd_mm.seeding import derive

_CONTAINERS = (list, dict, set, deque)
# Kept without a word: a count, or where something was cut last.
_SMALL = (bool, int, float, str, tuple)
_KEEPS = (*_CONTAINERS, *_SMALL, np.ndarray)
_GENERATORS = (np.random.RandomState, np.random.Generator, random.Random, torch.Generator)
_CLOSED = (type, ModuleType, np.ndarray, torch.Tensor, bytes, bool, int, float, str)
# Deep enough for Compose > RandomApply > Albu > Compose > a transform.
_DEPTH = 10


class Memory:
    """Makes transforms begin each image as if it were the first one.

    Some keep earlier images and mix them in (CachedMosaic, CachedMixUp), some count, some have a
    random generator of their own. What they give would depend on what was read before.

    Args:
        transforms: as they are before the first image.

    Attributes:
        kept: classes of the transforms that had kept something when it was forgotten; those that
            have counted only are not among them.
    """

    def __init__(self, transforms: Iterable[Any]) -> None:
        self.kept: List[str] = []
        self._generators: List[Any] = []
        # Of each object its attributes as they are at first, and how they look.
        self._first: List[Tuple[Any, Dict[str, Tuple[Any, Hashable]], Set[str]]] = []
        seen: Set[int] = set()
        for transform in transforms:
            self._look(transform, seen, _DEPTH)

    def seed(self, seed: int) -> None:
        """Bring random generators of their own to where ``seed`` says."""
        for number, generator in enumerate(self._generators):
            _seed(generator, derive(seed, number))

    def forget(self) -> None:
        """Bring everything else to where it was."""
        for owner, first, names in self._first:
            for name, (value, looks) in first.items():
                now = getattr(owner, name, None)
                if _looks(now) != looks and (value is not None or isinstance(now, _KEEPS)):
                    setattr(owner, name, _twin(value))
                    self._tell(owner, now)
            if len(vars(owner)) > len(names):
                for name in [name for name, value in vars(owner).items()
                             if name not in names and isinstance(value, _KEEPS)]:
                    self._tell(owner, vars(owner).pop(name))

    def _tell(self, owner: Any, value: Any) -> None:
        kind = type(owner).__name__
        if not isinstance(value, _SMALL) and kind not in self.kept:
            self.kept.append(kind)

    def _look(self, value: Any, seen: Set[int], depth: int) -> None:
        if depth == 0 or isinstance(value, _CLOSED) or callable(getattr(value, '__get__', None)):
            return
        if id(value) in seen:
            return
        seen.add(id(value))
        inner: Iterable[Any] = ()
        if isinstance(value, _GENERATORS):
            self._generators.append(value)
        elif isinstance(value, dict):
            inner = value.values()
        elif isinstance(value, (tuple, *_CONTAINERS)):
            inner = value
        elif isinstance(getattr(value, '__dict__', None), dict):
            own = vars(value)
            self._first.append((value, {
                name: (_twin(item), _looks(item)) for name, item in own.items()
                if item is None or isinstance(item, _KEEPS)}, set(own)))
            inner = list(own.values())
        for item in inner:
            self._look(item, seen, depth - 1)


def _looks(value: Any) -> Hashable:
    """Equal as long as nobody has put something in, taken it out, or replaced it."""
    if isinstance(value, dict):
        return tuple((key, _looks(item)) for key, item in value.items())
    if isinstance(value, (list, tuple, deque)):
        return tuple(map(_looks, value))
    if isinstance(value, set):
        return frozenset(value)
    if isinstance(value, np.ndarray) and value.dtype != object:
        return value.shape, value.tobytes()
    return value if value is None or isinstance(value, (bool, int, float, str)) else id(value)


def _twin(value: Any) -> Any:
    """A copy of the containers with the same things in them."""
    if type(value) is dict:
        return {key: _twin(item) for key, item in value.items()}
    if isinstance(value, dict):  # a ConfigDict is built in a way of its own
        return copy.copy(value)
    if isinstance(value, list):
        return [_twin(item) for item in value]
    if isinstance(value, deque):
        return deque(map(_twin, value), value.maxlen)
    return value.copy() if isinstance(value, (set, np.ndarray)) else value


def _seed(generator: Any, seed: int) -> None:
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = type(generator.bit_generator)(seed).state
    elif isinstance(generator, torch.Generator):
        generator.manual_seed(seed)
    else:
        generator.seed(seed)
