"""Layers that are compared in the same way, beside others with options of their own."""
from __future__ import annotations

from dataclasses import replace
from typing import Dict, Iterable, List, Mapping, Sequence, Tuple

from autokd_mm.errors import ConfigError
from autokd_mm.space import rules
from autokd_mm.space.shapes import Shapes
from autokd_mm.space.spec import LEFT_OUT, DistillerSpec

Branches = Iterable[Tuple[str, DistillerSpec]]


class Groups:
    """Which layer answers for which.

    Args:
        shapes: the tensors of each layer, by its name.
        groups: names of layers; whoever is in none is alone.

    Attributes:
        shapes: as given.
        asked: of the layers that answer for others and of those that are alone, in their order.
            What answers for others has their shape only where all have.
    """

    def __init__(self, shapes: Mapping[str, Shapes], groups: Sequence[Sequence[str]] = ()) -> None:
        self.shapes = dict(shapes)
        self._asked_for: Dict[str, str] = {}
        same = {}
        for names in [*groups, *([name] for name in shapes)]:
            members = [name for name in names if name not in self._asked_for]
            if members:
                largest = max(members, key=lambda name: shapes[name].positions)
                self._asked_for.update(dict.fromkeys(members, largest))
                same[largest] = all(shapes[name].same for name in members)
        self.asked = {name: replace(one, same=same[name]) for name, one in shapes.items()
                      if name in same}

    def apart(self, asked: Branches) -> Tuple[Tuple[str, DistillerSpec], ...]:
        """The branches of all layers; one that is too small for its answer is left out."""
        branches = dict(asked)
        return tuple((name, self._able(name, branches[self._asked_for[name]]))
                     for name in self.shapes)

    def together(self, layers: Branches) -> List[Tuple[str, DistillerSpec]]:
        """The inverse of :meth:`apart`.

        Raises:
            ConfigError: two layers that are compared in the same way have other options.
        """
        branches = dict(layers)
        for name, branch in branches.items():
            other = self._asked_for[name]
            if branch != self._able(name, branches[other]):
                raise ConfigError(f'{name}: it is compared as {other} is, and its options differ')
        return [(name, branches[name]) for name in self.asked]

    def _able(self, name: str, branch: DistillerSpec) -> DistillerSpec:
        if self._asked_for[name] == name or not branch.has_feature:
            return branch
        fault = rules.spec_fault(branch, self.shapes[name])
        return branch if fault is None else DistillerSpec(LEFT_OUT)
