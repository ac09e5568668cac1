"""The order of the trials of a search, and its winner."""
from __future__ import annotations

from typing import Any, Iterable, List, Mapping, NamedTuple, Optional

from optuna.trial import FrozenTrial, TrialState

from autokd_mm.space import Spec, spec_from_dict
from autokd_mm.study.study import SPEC


class Standing(NamedTuple):
    """Where a distiller stands behind the final round; more is better.

    Attributes:
        length: of its longest runs there, in lengths of the proxy. Who came further is better:
            the others were left behind at a shorter one, which all had run, or with fewer seeds.
        reward: mean over the seeds at that length.
        seeds: so many; 0: not known, as many as all others.
    """
    length: int
    reward: float
    seeds: int = 0


def ranked(trials: Iterable[FrozenTrial],
           final: Optional[Mapping[int, Standing]] = None) -> List[FrozenTrial]:
    """Best first: by where they stand behind the final round, then finished ones by their reward,
    then pruned ones by their last, then those without any in the order in which they ran.

    Args:
        final: of the final round by trial number; only it compares what ran equally long with
            equal seeds.
    """
    final = final or {}

    def key(trial: FrozenTrial) -> Any:
        length, reward, seeds = final.get(trial.number, Standing(0, 0.0))
        return (-length, -seeds, -reward, trial.value is None, trial.state != TrialState.COMPLETE,
                -(trial.value or 0.0), trial.number)

    return sorted(trials, key=key)


def in_order(standings: Mapping[int, Standing]) -> List[int]:
    """Numbers of the trials of a final round, best first."""
    return sorted(standings, key=lambda number: (
        -standings[number].length, -standings[number].seeds, -standings[number].reward, number))


def best(trials: Iterable[FrozenTrial],
         final: Optional[Mapping[int, Standing]] = None) -> Optional[FrozenTrial]:
    """The winner; a pruned one only from the final round."""
    complete = [trial for trial in trials
                if trial.state == TrialState.COMPLETE or trial.number in (final or {})]
    return ranked(complete, final)[0] if complete else None


def spec_of(trial: FrozenTrial) -> Optional[Spec]:
    """The distiller of a trial; ``None`` where it was interrupted before it had one."""
    values = trial.user_attrs.get(SPEC)
    return spec_from_dict(values) if values else None
