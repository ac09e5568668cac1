"""Single trials: the decisions they stand for, and what they are worth."""
import math
from typing import Any, Collection, Iterator, List, Mapping, Optional, Sequence, Set, Tuple, Union

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from autokd_mm.search.node import Node, Step
from autokd_mm.search.numeric import context_of, halving
from autokd_mm.search.order import Order

INTERRUPTED, REASON = 'interrupted', 'reason'
ASKED = 'mcts:asked'  # system attribute: parameters in the order of asking
UNASKED = 'unasked'  # nothing was left to ask it for: it is not run again


def is_accident(trial: FrozenTrial) -> bool:
    """Nobody says why it failed: perhaps it was stopped, or had no memory."""
    return trial.state == TrialState.FAIL and REASON not in trial.user_attrs


def is_feasible(trial: FrozenTrial) -> bool:
    """Whether none of the constraints that Optuna keeps with a trial, of whatever sampler, is above
    0."""
    found = list(trial.system_attrs.get('constraints') or ())
    found += [value for name, value in trial.system_attrs.items()
              if name.startswith('constraints:')]  # of Optuna 5
    return all(value <= 0 for value in found)


def in_order(trial: FrozenTrial) -> FrozenTrial:
    """A trial with its parameters in the order of asking, where its storage does not keep it and it
    was noted (:data:`ASKED`)."""
    asked = trial.system_attrs.get(ASKED)
    if isinstance(asked, (list, tuple)):
        places = {name: place for place, name in enumerate(asked) if isinstance(name, str)}
        trial.params = dict(sorted(trial.params.items(),
                                   key=lambda item: places.get(item[0], len(places))))
    return trial


def value_of(trial: FrozenTrial, sign: int) -> Optional[float]:
    """What a trial is worth, higher is better; None: nothing that can be told.

    Args:
        sign: -1 in a minimisation.
    """
    value = trial.value if trial.state != TrialState.FAIL else None
    if value is None and trial.state == TrialState.PRUNED and trial.intermediate_values:
        value = trial.intermediate_values[max(trial.intermediate_values)]
    if value is None or not math.isfinite(value):
        return None
    return sign * value


def planned(steps: Mapping[str, int], ahead: Sequence[Any], node: Node) -> Iterator[Step]:
    """The part of a plan that a running trial, now at ``node``, has still ahead, as far as the tree
    knows the questions; nothing if the trial has gone elsewhere.

    Args:
        steps: what it has taken, by question.
    """
    below: Optional[Node] = node
    for one in ahead if isinstance(ahead, (list, tuple)) else ():
        if not isinstance(one, (list, tuple)) or len(one) != 2 or not isinstance(one[1], int):
            return  # somebody has edited it
        name, taken = one
        if name in steps:
            if steps[name] != taken:
                return
            continue
        branch = next((b for b in below.branches if b.name == name), None) if below else None
        if branch is None or not 0 <= taken < len(branch.choices):
            return
        yield Step(name, branch.choices, taken)
        below = branch.children[taken]


def different(distribution: CategoricalDistribution) -> Tuple[Any, ...]:
    """The choices without those that are equal to an earlier one: Optuna takes the earlier."""
    choices = distribution.choices
    first = [int(distribution.to_internal_repr(choice)) for choice in choices]
    return choices if first == list(range(len(first))) else tuple(
        choices[index] for index in sorted(set(first)))


def steps_of(trial: FrozenTrial, asked: Union[Set[str], Sequence[str]] = (),
           depth: Optional[int] = None, order: Optional[Order] = None,
           loose: Collection[str] = ()) -> Iterator[Optional[Step]]:
    """The decisions of a trial in order; None where they leave several values of a number.

    A parameter with one possible value is no decision.

    Args:
        asked: parameters to leave out.
        depth: how often ranges are halved; None: numbers are no part of the tree.
        order: in which the decisions come, if not in that of asking.
        loose: parameters whose ranges depend on something.
    """
    decided: List[Tuple[str, Any, BaseDistribution]] = []
    params = list(trial.params.items())
    if order is not None:
        params.sort(key=lambda item: order.place(item[0]))
    for name, value in params:
        distribution = trial.distributions[name]
        if order is None:
            decided.append((name, value, distribution))
        if name in asked or distribution.single():
            continue
        if isinstance(distribution, CategoricalDistribution):
            index = int(distribution.to_internal_repr(value))
            choices = different(distribution)
            yield Step(name, choices, index if len(choices) == len(distribution.choices)
                       else choices.index(distribution.choices[index]))
            continue
        number = halving(name, distribution, depth, context_of(decided[:-1], loose), loose) \
            if depth is not None else None
        if number is not None:
            yield from number.steps(value)
        if number is None or not number.exact:
            yield None
