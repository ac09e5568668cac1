"""What to take when a search is over: not the highest value seen, which is often a lucky one.

The value of a configuration is the sum of the effects of its options (see
:mod:`~autokd_mm.search.option_model`) and something of its own. Both are known from noisy trials:
what it has shown itself counts the more, the more often it was measured (Robinson, "That BLUP is a
good thing", Statistical Science 1991).
"""
import math
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from autokd_mm.search.option_model import OptionModel
from autokd_mm.search.reading import INTERRUPTED, is_feasible
from autokd_mm.search.study_tree import StudyTree, only_direction

_NOISE = 0.3  # variance of the noise over that of what is a configuration's own


class Recommendation(NamedTuple):
    """A configuration of a study.

    Attributes:
        params: its parameters.
        mean: the value that is expected of it.
        deviation: standard deviation of that expectation.
        trials: numbers of the trials that measured it.
    """
    params: Dict[str, Any]
    mean: float
    deviation: float
    trials: Tuple[int, ...]


def leaders(study: Study, shared_name: Optional[Callable[[str], str]] = None
            ) -> List[Recommendation]:
    """All configurations that were measured to the end and break no constraint, the one with the
    highest posterior mean (the lowest in a minimisation) first.

    Args:
        study: with one objective, searched with any sampler.
        shared_name: as for :class:`~autokd_mm.search.MCTSSampler`; that of the study's sampler by
            default.

    Raises:
        ValueError: several objectives.
    """
    if shared_name is None:
        shared_name = getattr(study.sampler, 'shared_name', None)
    view = StudyTree(only_direction(study.directions), model=OptionModel(shared_name=shared_name))
    trials = study.get_trials(deepcopy=False)
    view.sync(trials)
    groups: Dict[Any, List[FrozenTrial]] = {}
    for trial in trials:
        if trial.state == TrialState.COMPLETE and not trial.user_attrs.get(INTERRUPTED) \
                and is_feasible(trial):
            # Options may be lists, which have no hash.
            key = frozenset((name, trial.distributions[name].to_internal_repr(value))
                            for name, value in trial.params.items())
            groups.setdefault(key, []).append(trial)
    if not groups:
        return []
    posterior = view.tree.posterior()
    model = view.tree.model
    assert model is not None
    effects, found = model.means(posterior), []
    # What the model leaves is the noise, and what is a configuration's own.
    noise = posterior.scale**2 * _NOISE / (1.0 + _NOISE)
    for group in groups.values():
        features, unseen = view.features_of(group[0]), _NOISE / (_NOISE + len(group))
        expected = math.fsum(effects[feature] for feature in features)
        own = math.fsum(map(view.seen, group)) / len(group)
        variance = noise / (_NOISE + len(group)) \
            + (unseen * model.deviation(posterior, features))**2
        found.append((unseen * expected + (1.0 - unseen) * own, math.sqrt(variance), group))
    found.sort(key=lambda one: (-one[0], one[2][0].number))
    zero = view.tree.value_of(0.0)
    return [Recommendation(dict(group[0].params), view.sign * view.tree.value_of(mean),
                           view.tree.value_of(deviation) - zero,
                           tuple(trial.number for trial in group))
            for mean, deviation, group in found]


def recommend_best(study: Study, objective: Optional[Callable[[Any], float]] = None,
                   n_again: int = 0,
                   shared_name: Optional[Callable[[str], str]] = None) -> Recommendation:
    """The configuration with the highest posterior mean.

    Args:
        study: as for :func:`leaders`.
        objective: what was optimised, for ``n_again``.
        n_again: so many trials measure again, one after the other, who may still be the best.
        shared_name: as for :func:`leaders`.

    Raises:
        ValueError: several objectives, no completed trial, or ``n_again`` without an objective.
    """
    if n_again and objective is None:
        raise ValueError(f'n_again={n_again}: measuring again needs the objective')
    sign = -1.0 if study.direction.name == 'MINIMIZE' else 1.0
    for _ in range(n_again):
        hopeful = max(leaders(study, shared_name), default=None,
                      key=lambda one: sign * one.mean + one.deviation)
        if hopeful is None:
            break
        study.enqueue_trial(hopeful.params)
        assert objective is not None
        study.optimize(objective, n_trials=1)
    found = leaders(study, shared_name)
    if not found:
        raise ValueError('the study has no completed trial to recommend')
    return found[0]
