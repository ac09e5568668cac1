"""One trial of a search as a viewer wants to see it."""
from __future__ import annotations

import math
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence

from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from autokd_mm.space import level_of, spec_from_dict
from autokd_mm.study import study as studies
from autokd_mm.study.ranking import Standing, in_order

NOT_ASKED = '-'
Levels = Dict[str, CategoricalDistribution]
Standings = Mapping[int, Standing]  # behind the final round, by the number of the trial
# Of an outcome, the name in the view, which says the unit, and the factor to it.
_MEASURED = (('held_out_loss', 'held_out_loss', 1), ('calibrated_loss', 'calibrated_loss', 1),
             ('gap', 'gap_share', 1), ('metric', 'metric_percent', 100),
             ('seconds', 'duration_seconds', 1))
_STATES = {TrialState.COMPLETE: 'complete', TrialState.PRUNED: 'pruned',
           TrialState.FAIL: 'failed'}
# So much below the winner stands what would be higher: from a shorter part of the final round.
_LESS = 1e-6


def levels_of(space: Mapping[str, Iterable[Any]], trials: Iterable[FrozenTrial]) -> Levels:
    """One parameter for each level, with all its options.

    A study of a search has a parameter for each list of options that was offered, such as
    ``distance(l2|kl)``, and none where a level was not asked; nothing can be compared between them.

    Args:
        space: options by level; the options that trials have beside these are added.
    """
    choices: Dict[str, List[Any]] = {level: list(options) for level, options in space.items()}
    for trial in trials:
        for level, value in _options(trial).items():
            known = choices.setdefault(level, [])
            if value not in known:
                known.append(value)
    return {level: CategoricalDistribution([*options, NOT_ASKED])
            for level, options in choices.items()}


def show(trial: FrozenTrial, levels: Levels, standings: Standings,
         lowered: float = 0.0) -> FrozenTrial:
    """A trial that is over, as one of the view.

    Its value is the reward by which it is judged: of the final round where it has run there, of
    the proxy otherwise. Both are not of one kind. So the others are lowered by what those who ran
    there lost on the way, and none stands above the winner.

    Args:
        lowered: of :func:`lost`.
    """
    standing = standings.get(trial.number)
    state, value = trial.state, trial.value
    if standing:
        state, value = TrialState.COMPLETE, standing.reward
    if not state.is_finished():  # its worker has died
        state = TrialState.FAIL
    winner = next(iter(in_order(standings)), None)
    if value is not None and winner is not None and trial.number != winner:
        value = min(value if standing else value - lowered, standings[winner].reward - _LESS)
    options = _options(trial)
    params = {level: options.get(level, NOT_ASKED) for level in levels} if options else {}
    shown = create_trial(state=state, value=value, params=params,
                         distributions={level: levels[level] for level in params},
                         user_attrs=_attributes(trial, standing),
                         intermediate_values=trial.intermediate_values)
    shown.datetime_start = trial.datetime_start or trial.datetime_complete
    shown.datetime_complete = trial.datetime_complete or trial.datetime_start
    return shown


def lost(standings: Standings, trials: Sequence[FrozenTrial]) -> float:
    """How much lower the rewards of the final round are than those of the same trials on the
    proxy, a mean.

    The best of the proxy run there, so whoever did not is then no higher than the mean of those.
    """
    rewards = ((trials[number].value, standing.reward) for number, standing in standings.items()
               if number < len(trials))
    found = [before - reward for before, reward in rewards if before is not None]
    return sum(found) / len(found) if found else 0.0


def _options(trial: FrozenTrial) -> Dict[str, Any]:
    """By level; what was asked, and what a level with a single option left was set to."""
    options = dict(trial.user_attrs.get(studies.SPEC) or {})
    options.update((level_of(name), value) for name, value in trial.params.items())
    return options


def _attributes(trial: FrozenTrial, standing: Optional[Standing]) -> Dict[str, Any]:
    """Flat, because viewers make a column of each."""
    spec, outcome = (trial.user_attrs.get(key) for key in (studies.SPEC, studies.OUTCOME))
    found: Dict[str, Any] = {}
    if spec:
        found['distiller'] = spec_from_dict(spec).in_words()
    if trial.user_attrs.get(studies.INTERRUPTED) or not trial.state.is_finished():
        found['state'] = 'interrupted'
    else:
        found['state'] = 'rejected' if studies.is_rejected(trial) else _STATES[trial.state]
    if trial.value is not None:
        found['proxy_reward'] = trial.value
    if standing:
        found['final_length_proxies'], found['final_reward'] = standing.length, standing.reward
    for name, shown, factor in _MEASURED:
        number = (outcome or {}).get(name)
        if number is not None and math.isfinite(number):
            found[shown] = number * factor
    for name in (studies.REASON, studies.RETRY_OF):
        if name in trial.user_attrs:
            found[name] = trial.user_attrs[name]
    worker = str(trial.user_attrs.get(studies.WORKER, ''))
    if worker:
        place, _, rest = worker.partition(':')
        found['worker'] = f'{place.split("/")[0]}:{rest.split(":")[0]}'
    return found
