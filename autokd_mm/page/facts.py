"""What a page tells, as the studies have it."""
from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, NamedTuple, Optional

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from autokd_mm.search.extrapolation import Expected, expected_gain
from autokd_mm.search.prior import Prior
from autokd_mm.search.remembered import Believed, believed, prior_of
from autokd_mm.search.reward import DEFAULT, Outcome, Reward
from autokd_mm.space import level_of
from autokd_mm.study import study as studies
from autokd_mm.study.about import get_about, get_spent
from autokd_mm.study.ladder import Step, possible
from autokd_mm.study.ranking import Standing, best, in_order
from autokd_mm.study.rungs import BASELINE, Run, Rungs
from autokd_mm.study.status import FINAL, SEARCHING, STOPPED, Status, status_in


class Measured(NamedTuple):
    """Of a student, the mean over the seeds; the metric is NaN where there is none."""
    metric: float
    gap: float


class Entrant(NamedTuple):
    """Of the final round.

    Attributes:
        number: of the trial.
        length: of its longest runs.
        rewards: of these, by seed, ``mean`` their mean.
        spread: nine of ten means lie within ``mean`` +- ``spread`` if the seeds alone decided;
            None: not known from one seed.
        measured: of its longest runs.
        gains: what ``mean`` is the weighted mean of, by term of the reward.
        before: reward of its trial; None: pruned there.
        seconds: of one of its longest runs.
        handcrafted: made by hand; None: not known.
    """
    number: int
    length: int
    rewards: List[float]
    mean: float
    spread: Optional[float]
    measured: Measured
    gains: Mapping[str, float]
    before: Optional[float]
    seconds: float
    handcrafted: Optional[bool]


@dataclass
class Facts:
    """
    Attributes:
        work_dir: of the search.
        status: how far it is.
        done: finished trials, in order.
        top: the winner so far. expected: its gain in the full training.
        baseline: the undistilled student on the proxy.
        search: what identifies the search. about, spent: see :mod:`autokd_mm.study.about`.
        entrants: of the final round, best first.
        undistilled: the student alone in runs as long as the winner's longest.
        metric_spread: nine of ten leads of the winner over it in the metric lie within the lead
            +- this, if the seeds alone decided; None: not known.
        metrics: mean metric there by length, by number of the trial or :data:`BASELINE`.
        final_seconds: of all its runs.
        prior: what the sampler believed before the first trial. believed: how far the trials bear
            it out.
    """
    work_dir: str
    status: Status
    done: List[FrozenTrial] = field(default_factory=list)
    top: Optional[FrozenTrial] = None
    expected: Optional[Expected] = None
    baseline: Optional[Outcome] = None
    search: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    spent: Mapping[str, float] = field(default_factory=dict)
    teacher_metrics: Mapping[str, float] = field(default_factory=dict)
    entrants: List[Entrant] = field(default_factory=list)
    undistilled: Optional[Measured] = None
    metric_spread: Optional[float] = None
    metrics: Mapping[int, Mapping[int, float]] = field(default_factory=dict)
    final_seconds: float = 0.0
    prior: Optional[Prior] = None
    believed: Optional[Believed] = None

    @property
    def proxy(self) -> Mapping[str, Any]:
        return self.search.get('proxy') or {}

    @property
    def seconds_of_a_trial(self) -> float:
        """That ran to its end, in the mean."""
        known = [outcome.seconds for outcome in
                 (outcome_of(trial) for trial in self.done if trial.state == TrialState.COMPLETE)
                 if outcome]
        return _mean(known) if known else 0.0

    @property
    def held_out(self) -> int:
        """Images on which candidates were measured; 0: not known, as of a share of the images in
        studies that do not say."""
        given = self.proxy.get('held_out') or 0
        return int(self.about.get('held_out') or (given if given > 1 else 0))

    @property
    def epochs(self) -> int:
        """Of the proxy; 0: not known."""
        return int(self.proxy.get('epochs') or 0)


def facts_of(work_dir: str, study: Optional[Study], final: Optional[Study],
             at_work: bool = False) -> Facts:
    """Read both studies, of which either may not be there yet.

    Args:
        at_work: somebody is, also where no run is under way.

    Raises:
        StudyError: they cannot be read.
    """
    found = Facts(work_dir, status_in(work_dir, study, final))
    if at_work and found.status.phase == STOPPED:
        found.status.phase = FINAL if found.status.counted >= found.status.wanted else SEARCHING
    if study is None:
        return found
    attrs = study.user_attrs
    found.done = studies.finished(study)
    found.search, found.about, found.spent = attrs.get('search') or {}, get_about(study), \
        get_spent(study)
    found.teacher_metrics = attrs.get('teacher_metrics') or {}
    try:
        found.prior, found.believed = prior_of(study._storage, study._study_id), \
            believed(study, level_of)
    except ValueError:  # of another version
        pass
    found.baseline = outcome_in(studies.get_baseline(study))
    standings = _read_final(found, final) if final is not None else {}
    found.top = best(found.done, standings)
    found.expected = _expected(found)
    return found


def outcome_of(trial: FrozenTrial) -> Optional[Outcome]:
    """What a trial measured; None where it measured nothing."""
    return outcome_in(trial.user_attrs.get(studies.OUTCOME))


def outcome_in(values: Any) -> Optional[Outcome]:
    try:
        return Outcome.from_dict(values) if values else None
    except TypeError:  # of another version
        return None


def _read_final(found: Facts, final: Study) -> Dict[int, Standing]:
    done = {Run(*(trial.user_attrs.get(name, 0) for name in ('candidate', 'seed', 'length'))): trial
            for trial in studies.finished(final)}
    outcomes = {run: outcome for run, outcome in
                ((run, outcome_of(trial)) for run, trial in done.items()
                 if trial.state == TrialState.COMPLETE) if outcome is not None}
    found.final_seconds = math.fsum(outcome.seconds for outcome in outcomes.values())
    about = found.about.get('final') or {}
    seeds = sorted({run.seed for run in outcomes})
    if not outcomes or (len(seeds) < about.get('seeds', 1) and not about.get('budget')):
        return {}
    reward = Reward(about.get('reward') or found.about.get('reward')
                    or found.search.get('reward') or DEFAULT)
    lengths = sorted({run.length for run in outcomes})
    rungs = Rungs(possible(lengths, len(seeds)) if about.get('budget') else
                  [Step(length, len(seeds)) for length in lengths], seeds, reward)
    standings = rungs.standings(outcomes)
    found.metrics = {number: rungs.metrics(number, outcomes) for number in [BASELINE, *standings]}
    found.entrants = _entrants(found, standings, outcomes, seeds, reward)
    return standings


def _entrants(found: Facts, standings: Mapping[int, Standing], outcomes: Mapping[Run, Outcome],
              seeds: List[int], reward: Reward) -> List[Entrant]:
    order = in_order(standings)
    if not order:
        return []
    first = (found.about.get('final') or {}).get('handcrafted')
    trials = {trial.number: trial for trial in found.done}

    def runs(number: int, at: Standing) -> List[Outcome]:
        return [outcomes[Run(number, seed, at.length)] for seed in seeds[:at.seeds]]

    def rewards(number: int, of: Reward) -> List[float]:
        at = standings[number]
        return [of(*pair) for pair in zip(runs(number, at), runs(BASELINE, at))]

    top = standings[order[0]]
    level = [number for number in order
             if standings[number]._replace(reward=top.reward) == top]
    # The undistilled student, with which all are compared, has 0 with each seed.
    spread = _of_mean([[0.0] * top.seeds, *(rewards(number, reward) for number in level)])
    lead = _of_mean([[one.metric for one in runs(number, top)]
                     for number in (BASELINE, *level)])
    found.metric_spread = None if lead is None or math.isnan(lead) else math.sqrt(2) * lead
    found.undistilled = _measured(runs(BASELINE, top))
    terms = {term: Reward({term: 1.0}) for term, weight in reward.weights.items() if weight}
    result = []
    for number in order:
        trial, own = trials.get(number), runs(number, standings[number])
        whole = trial is not None and trial.state == TrialState.COMPLETE
        result.append(Entrant(
            number, standings[number].length, rewards(number, reward), standings[number].reward,
            None if spread is None else spread * math.sqrt(top.seeds / len(own)), _measured(own),
            {term: _mean(rewards(number, one)) for term, one in terms.items()},
            trial.value if trial is not None and whole else None,
            _mean([one.seconds for one in own]),
            None if first is None else trial is not None and trial.params in first))
    return result


def _measured(runs: List[Outcome]) -> Measured:
    return Measured(*(_mean([one.term(name) for one in runs]) for name in Measured._fields))


def _of_mean(values: List[List[float]]) -> Optional[float]:
    """How far the mean over the seeds lies from the truth, nine times of ten."""
    found = luck(values)
    return None if found is None else found / math.sqrt(len(values[0]))


# Student's t for 90 %, by degrees of freedom; between them the one below.
_T = {1: 6.31, 2: 2.92, 3: 2.35, 4: 2.13, 5: 2.02, 6: 1.94, 8: 1.86, 10: 1.81, 15: 1.75, 20: 1.72,
      30: 1.70, 60: 1.67, 120: 1.66}


def luck(rewards: List[List[float]]) -> Optional[float]:
    """How far one run of a distiller lies from its mean by the luck of its seed, nine times of ten.

    What a seed does to all alike is taken out (a two-way table without interaction), since all run
    with the same ones and are compared with each other.

    Args:
        rewards: of each distiller by seed.

    Returns:
        ``None`` where one distiller or one seed is all there is.
    """
    rows, columns = len(rewards), len(rewards[0]) if rewards else 0
    freedom = (rows - 1) * (columns - 1)
    if min(rows, columns) < 2:
        return None
    own = [_mean(row) for row in rewards]
    seed = [_mean([row[column] for row in rewards]) for column in range(columns)]
    total = _mean(own)
    squares = math.fsum((value - own[i] - seed[j] + total)**2
                        for i, row in enumerate(rewards) for j, value in enumerate(row))
    return _T[max(known for known in _T if known <= freedom)] * math.sqrt(squares / freedom)


def _expected(found: Facts) -> Optional[Expected]:
    """As :class:`~autokd_mm.engine.expectation.Expectation` has it."""
    full, samples = found.about.get('full'), found.about.get('samples')
    if not (full and samples and found.top and found.baseline):
        return None
    own = outcome_of(found.top) if found.top.state == TrialState.COMPLETE else None
    student = {1: own.metric if own else math.nan, **found.metrics.get(found.top.number, {})}
    undistilled = {1: found.baseline.metric, **found.metrics.get(BASELINE, {})}
    held_out = found.held_out
    if not held_out:
        return None
    return expected_gain({length * samples: value for length, value in student.items()},
                         {length * samples: value for length, value in undistilled.items()},
                         full['samples'], held_out)


def _mean(values: List[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan
