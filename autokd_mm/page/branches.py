"""The tree of the questions that trials were asked, as it is drawn."""
from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from optuna.trial import FrozenTrial, TrialState

from autokd_mm.search.node import Step
from autokd_mm.search.reading import steps_of, value_of
from autokd_mm.space import level_of
from autokd_mm.study.study import is_rejected

NODES = 1500  # that are drawn at most; a page has to stay small


@dataclass
class Branch:
    """A path of the tree.

    Attributes:
        label: the last option of it, such as ``'logits = kl'``.
        visits: finished trials below. pruned, rejected, failed: of these.
        mean, best: of the trials below that ran to their end, None without any: what was measured
            behind a shorter run is no value of the same kind.
        winner: the winner is below.
        trials: of these, where they are drawn one by one.
        below: the most visited first. hidden: trials on paths below that are not drawn.
    """
    label: str
    visits: int = 0
    pruned: int = 0
    rejected: int = 0
    failed: int = 0
    total: float = 0.0
    valued: int = 0
    best: Optional[float] = None
    winner: bool = False
    trials: List[FrozenTrial] = field(default_factory=list)
    below: List['Branch'] = field(default_factory=list)
    hidden: int = 0

    @property
    def mean(self) -> Optional[float]:
        return self.total / self.valued if self.valued else None

    def count(self, trial: FrozenTrial, winner: Optional[int]) -> None:
        """Take in a finished trial."""
        self.visits += 1
        rejected = is_rejected(trial)
        self.rejected += rejected
        self.pruned += trial.state == TrialState.PRUNED and not rejected
        self.failed += trial.state == TrialState.FAIL
        self.winner |= trial.number == winner
        value = value_of(trial, 1)
        if value is not None and trial.state == TrialState.COMPLETE:
            self.total += value
            self.valued += 1
            self.best = value if self.best is None else max(self.best, value)


class Drawn(NamedTuple):
    """A tree and what of it was left out.

    Attributes:
        root: all trials.
        least: paths with fewer visits are not drawn. hidden: trials on them.
    """
    root: Branch
    least: int
    hidden: int


def grow(trials: Sequence[FrozenTrial], winner: Optional[int] = None, nodes: int = NODES) -> Drawn:
    """The tree of finished trials.

    Where one trial alone went on, its remaining options are one branch.

    Args:
        winner: number of the trial.
        nodes: that are drawn at most.
    """
    paths = [(trial, [step for step in steps_of(trial) if step is not None]) for trial in trials]
    least = 1 + len(trials) // nodes
    while True:
        root = _node('all trials', paths, 0, winner, least)
        size, hidden = _size(root)
        if size <= nodes or least > len(trials):
            return Drawn(root, least, hidden)
        least += max(1, least // 2)


def label_of(step: Step) -> str:
    return f'{level_of(step.name)} = {step.choices[step.taken]}'.replace('_', ' ')


_Paths = List[Tuple[FrozenTrial, List[Step]]]


def _node(label: str, paths: _Paths, depth: int, winner: Optional[int], least: int) -> Branch:
    node = Branch(label)
    for trial, _ in paths:
        node.count(trial, winner)
    ended = [trial for trial, steps in paths if len(steps) <= depth]
    groups: Dict[Any, _Paths] = {}
    for trial, steps in paths:
        if len(steps) > depth:
            groups.setdefault((steps[depth].name, steps[depth].taken), []).append((trial, steps))
    node.trials = ended
    for group in groups.values():
        if len(group) < least and not any(trial.number == winner for trial, _ in group):
            node.hidden += len(group)
            continue
        first = group[0][1]
        if len(group) == 1:
            leaf = Branch(', '.join(label_of(step) for step in first[depth:]))
            leaf.count(group[0][0], winner)
            leaf.trials = [group[0][0]]
            node.below.append(leaf)
        else:
            node.below.append(_node(label_of(first[depth]), group, depth + 1, winner, least))
    node.below.sort(key=lambda one: (-one.visits, -(-math.inf if one.best is None else one.best)))
    return node


def _size(node: Branch) -> Tuple[int, int]:
    """Nodes and trials that are not drawn."""
    below: Iterable[Tuple[int, int]] = [_size(one) for one in node.below]
    return 1 + sum(size for size, _ in below), node.hidden + sum(hidden for _, hidden in below)
