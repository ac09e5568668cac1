"""How far a search is, from its study and its folder, for somebody who looks on."""
from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from autokd_mm.errors import StudyError
from autokd_mm.space import spec_from_dict
from autokd_mm.study import study as studies
from autokd_mm.study.journal import journal_path
from autokd_mm.study.storage import database_errors, final_name, open_to_look, study_name

PREPARING, SEARCHING, FINAL = 'preparing', 'searching', 'final round'
FINISHED, STOPPED = 'finished', 'stopped'
BEST = 'best_distiller.py'


@dataclass(frozen=True)
class Run:
    """What a worker is at.

    Attributes:
        what: such as ``'trial 12'``.
        worker: host and process, '' where it died before it signed.
        seconds: since it was begun.
        lives: ``None`` for a worker of another machine, which cannot be seen from here.
    """
    what: str
    worker: str
    seconds: float
    lives: Optional[bool]


@dataclass
class Status:
    """
    Attributes:
        phase: one of the five above; stopped: unfinished, and nobody is seen at work.
        counted, wanted: trials that count, and how many there shall be (0: not known), no more
            than the space has.
        used_up: the space has no more.
        states: number of trials by state.
        best: of the finished trials: number, reward and words.
        final_done, final_wanted: final round, in lengths of the proxy.
        runs: that are under way.
        left: seconds, of the workers that are seen; None: not known.
        disk: bytes of the study and the banks, and free ones.
    """
    phase: str = PREPARING
    counted: int = 0
    wanted: int = 0
    states: Dict[str, int] = field(default_factory=dict)
    best: Optional[str] = None
    final_done: float = 0
    final_wanted: float = 0
    runs: List[Run] = field(default_factory=list)
    left: Optional[float] = None
    disk: Dict[str, int] = field(default_factory=dict)
    used_up: bool = False


def status_of(work_dir: str, storage: Optional[str] = None) -> Status:
    """Look once; a journal of 10,000 trials takes three seconds.

    Args:
        storage: URL of the database that holds the study; None: the journal in ``work_dir``.

    Raises:
        StudyError: no study, another one's, or one that cannot be read.
    """
    return status_in(work_dir, *open_studies(work_dir, storage, briefly=True))


def status_in(work_dir: str, study: Optional[Study], final: Optional[Study]) -> Status:
    """As :func:`status_of`, of studies that are open."""
    found = Status(disk=_disk(work_dir))
    try:
        if study is not None:
            _read(found, work_dir, study, final)
    except database_errors() as error:
        raise StudyError(f'storage: the study cannot be read ({type(error).__name__})') from None
    return found


def open_studies(work_dir: str, storage: Optional[str] = None, briefly: bool = False
                 ) -> Tuple[Optional[Study], Optional[Study]]:
    """The study of a search and that of its final round, to look at; None where there is none yet.

    Args:
        briefly: without what only a sampler or a report needs of a journal.

    Raises:
        StudyError: as of :func:`status_of`.
    """
    backend = open_to_look(work_dir, storage, briefly=briefly)
    name = study_name(work_dir, storage)
    try:
        studies_there = backend.get_all_studies()
        names = [study.study_name for study in studies_there]
        if name not in names and names:
            raise StudyError(f'work_dir: the study in {work_dir} is not one of a search '
                             f'({", ".join(names)})')
        study, final = (optuna.load_study(storage=backend, study_name=one) if one in names else None
                        for one in (name, final_name(name, studies_there)))
        if study is not None and len(study.directions) != 1:
            raise StudyError(f'work_dir: the study in {work_dir} is not one of a search (it has '
                             f'{len(study.directions)} objectives)')
        return study, final
    except database_errors() as error:
        raise StudyError(f'storage: the study cannot be read ({type(error).__name__})') from None


def _read(found: Status, work_dir: str, study: Study, final: Optional[Study]) -> None:
    plan = studies.get_plan(study)
    done, running = studies.finished_and_running(study)
    found.counted = studies.counted(done, plan.get('free', 0))
    found.wanted, found.final_wanted = plan.get('trials', 0), plan.get('final', 0)
    found.used_up = studies.is_used_up(study, len(done) + len(running))
    if found.used_up:  # the sampler was to stop then
        found.wanted = found.counted + len(running)
    found.states = _states(done, len(running))
    found.best = _best(done)
    found.runs = [_run(trial, f'trial {trial.number}') for trial in running]
    if final is not None:
        last, now = studies.finished_and_running(final)
        found.final_done = sum(trial.user_attrs.get('length', 0) for trial in last)
        found.runs += [_run(trial, _in_final(trial)) for trial in now]
    at_work = [run for run in found.runs if run.lives is not False]
    if not studies.get_baseline(study):
        found.phase = PREPARING
    elif _is_finished(found, work_dir, [*done, *(last if final is not None else [])]):
        found.phase = FINISHED
    elif not at_work:
        found.phase = STOPPED
    else:
        found.phase = FINAL if found.wanted and found.counted >= found.wanted else SEARCHING
        found.left = _left(found, done, len(at_work))


def _is_finished(found: Status, work_dir: str, done: Sequence[FrozenTrial]) -> bool:
    """The winner is written when all is done; by a clock that may be another machine's."""
    path = os.path.join(work_dir, BEST)
    if found.runs or found.counted < max(found.wanted, 1) or not os.path.isfile(path):
        return False
    ended = max(trial.datetime_complete for trial in done if trial.datetime_complete)
    return os.stat(path).st_mtime >= ended.timestamp() - 1


def _states(done: Sequence[FrozenTrial], running: int) -> Dict[str, int]:
    rejected = sum(map(studies.is_rejected, done))
    count = {state: sum(trial.state == state for trial in done) for state in
             (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)}
    return dict(complete=count[TrialState.COMPLETE], pruned=count[TrialState.PRUNED] - rejected,
                rejected=rejected, failed=count[TrialState.FAIL], running=running)


def _best(done: Sequence[FrozenTrial]) -> Optional[str]:
    complete = [trial for trial in done if trial.state == TrialState.COMPLETE]
    if not complete:
        return None
    top = max(complete, key=lambda trial: (trial.value, -trial.number))
    values = top.user_attrs.get(studies.SPEC)
    words = spec_from_dict(values).in_words() if values else 'not known'
    return f'{top.value:+.4f} (trial {top.number}): {words}'


def _in_final(trial: FrozenTrial) -> str:
    number = trial.user_attrs.get('candidate', -1)
    return f'final round, trial {number}' if number >= 0 else 'final round, undistilled'


def _run(trial: FrozenTrial, what: str) -> Run:
    worker = str(trial.user_attrs.get(studies.WORKER, ''))
    place, _, rest = worker.partition(':')
    known = not worker or studies.is_here(trial)
    begun = trial.datetime_start or datetime.now()
    return Run(what, f'{place.split("/")[0]}:{rest.split(":")[0]}' if worker else '',
               (datetime.now() - begun).total_seconds(),
               studies.alive(trial) if known else None)


def _left(found: Status, done: Sequence[FrozenTrial], workers: int) -> Optional[float]:
    """At the mean pace so far; a run of the final round takes as often a whole trial's time as it
    is long."""
    spent = _seconds(done)
    if not (spent and found.wanted and found.counted):
        return None
    each = sum(spent) / found.counted
    whole = _seconds(trial for trial in done if trial.state == TrialState.COMPLETE) or [max(spent)]
    trials = max(0, found.wanted - found.counted) * each
    final = max(0.0, found.final_wanted - found.final_done) * sum(whole) / len(whole)
    return (trials + final) / workers


def _seconds(trials: Iterable[FrozenTrial]) -> List[float]:
    spent = (trial.user_attrs.get(studies.OUTCOME, {}).get('seconds') for trial in trials)
    return [value for value in spent if value]


def _disk(work_dir: str) -> Dict[str, int]:
    banks = sum(os.path.getsize(os.path.join(folder, name))
                for folder, _, names in os.walk(os.path.join(work_dir, 'bank')) for name in names)
    journal = journal_path(work_dir)
    return dict(study=os.path.getsize(journal) if os.path.isfile(journal) else 0, banks=banks,
                free=shutil.disk_usage(work_dir).free if os.path.isdir(work_dir) else 0)


def to_dict(found: Status) -> Dict[str, Any]:
    """JSON values."""
    return dict(vars(found), runs=[vars(run) for run in found.runs])
