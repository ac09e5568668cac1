"""The study on disk: opening it, refusing another search's, taking up what was interrupted."""
from __future__ import annotations

import os
import socket
from typing import Any, Collection, Dict, List, Mapping, Optional, Sequence, Tuple

import optuna
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from autokd_mm.differing import differing
from autokd_mm.errors import StudyError
from autokd_mm.search.reading import UNASKED
from autokd_mm.study.journal import JOURNAL, journal_path
from autokd_mm.study.storage import open_storage, study_name

_SEARCH, _BASELINE, _PLAN, _USED_UP = 'search', 'baseline', 'plan', 'used_up'
# User attributes of a trial. 'interrupted' is also what the tree search looks for.
INTERRUPTED, RETRY_OF, WORKER, REASON = 'interrupted', 'retry_of', 'worker', 'reason'
SPEC, OUTCOME = 'spec', 'outcome'  # what was tried, what came out
DEATHS = 'deaths'  # so many workers have died of this trial and those it is a retry of
REJECTED = 'rejected'  # before any training
# A trial whose worker died is run again so often; then it has failed: it may kill its workers.
RETRIES = 2


def check_study(work_dir: str, resume: bool, join: bool = False,
                description: Optional[Mapping[str, Any]] = None,
                storage: Optional[str] = None) -> None:
    """Refuse a work dir that this search cannot use; writes no trial.

    Args:
        work_dir: holds ``study.journal``, or does not yet.
        resume: a study must be there already.
        join: other workers may have opened it a moment ago, or may not.
        description: JSON values that identify the search (space, teacher, proxy ...). None where
            they are not known yet.
        storage: URL of a database that holds the study instead.

    Raises:
        StudyError: nothing to resume; or trials are there and ``resume`` was not asked for; or
            they are of another search, and what differs.
    """
    path, name = journal_path(work_dir), study_name(work_dir, storage)
    if storage is None and (not os.path.isfile(path) or not os.path.getsize(path)):
        if resume and not join:
            raise StudyError(f'--resume: there is no {JOURNAL} in {work_dir}; leave --resume out '
                             'to start a search')
        return
    opened = open_storage(work_dir, storage)
    if name not in [study.study_name for study in opened.get_all_studies()]:
        if resume and not join and storage is not None:
            raise StudyError(f'--resume: there is no study {name} in {storage}; leave --resume '
                             'out to start a search')
        return
    study = optuna.load_study(storage=opened, study_name=name)
    trials = study.get_trials(deepcopy=False)
    if not trials and get_baseline(study) is None:
        return  # nothing has been found out yet: whatever was planned may be changed
    if description is not None:
        differences = differing(study.user_attrs.get(_SEARCH) or {}, description)
        if differences:
            raise StudyError(f'work_dir: {work_dir} holds the study of another search '
                             f'({"; ".join(differences)}); name another --work-dir')
    if trials and not resume and not join:
        raise StudyError(f'work_dir: {work_dir} holds {len(trials)} trials of a search; add '
                         '--resume to go on with it or name another --work-dir')


def space_of(work_dir: str, storage: Optional[str] = None) -> Optional[Dict[str, Any]]:
    """The option lists, by level, of the search whose study is in ``work_dir``; ``None`` where
    there is no study that has found out anything.

    Args:
        storage: as for :func:`check_study`.
    """
    path, name = journal_path(work_dir), study_name(work_dir, storage)
    if storage is None and (not os.path.isfile(path) or not os.path.getsize(path)):
        return None
    opened = open_storage(work_dir, storage)
    if name not in [study.study_name for study in opened.get_all_studies()]:
        return None
    attrs = optuna.load_study(storage=opened, study_name=name).user_attrs
    found = (attrs.get(_SEARCH) or {}).get('space')
    return found if attrs.get(_BASELINE) is not None and isinstance(found, dict) else None


def open_study(work_dir: str, sampler: BaseSampler, description: Mapping[str, Any],
               pruner: Optional[BasePruner] = None, storage: Optional[str] = None) -> Study:
    """The search's study in ``work_dir``, which :func:`check_study` has found fit.

    Args:
        sampler: chooses the parameters of new trials.
        pruner: gives up running ones; None: none.
        storage: as for :func:`check_study`.
    """
    study = optuna.create_study(storage=open_storage(work_dir, storage), sampler=sampler,
                                pruner=pruner or NopPruner(), load_if_exists=True,
                                study_name=study_name(work_dir, storage), direction='maximize')
    if differing(study.user_attrs.get(_SEARCH) or {}, description):
        study.set_user_attr(_SEARCH, dict(description))
    return study


def enqueue_once(study: Study, params: Sequence[Mapping[str, Any]]) -> None:
    """Queue the distillers that are tried first, those that are there already left out: an earlier
    attempt may have got half way, and who goes on with a search may name more."""
    for item in params:
        study.enqueue_trial(dict(item), skip_if_exists=True)


def worker_name() -> str:
    """place:pid:birth, to find out later whether a running trial's worker still lives."""
    return f'{_place()}:{os.getpid()}:{_birth(os.getpid())}'


def _place() -> str:
    """Where process numbers mean the same: host, boot and the container's process space."""
    try:
        with open('/proc/sys/kernel/random/boot_id') as file:
            return f'{socket.gethostname()}/{file.read(8)}/{os.stat("/proc/self/ns/pid").st_ino}'
    except OSError:
        return socket.gethostname()


def _birth(pid: int) -> str:
    """When a process started, in the kernel's ticks; tells apart processes of one number."""
    try:
        with open(f'/proc/{pid}/stat') as file:
            return file.read().rpartition(')')[2].split()[19]
    except (OSError, IndexError):
        return ''


def take_up_interrupted(study: Study, silent: Collection[int] = ()) -> List[int]:
    """Queue the trials again whose worker died in the middle; returns their numbers.

    What :func:`end_dead` ends, and what was interrupted before and not yet queued, is queued with
    its parameters. For the holder of the study's lock.
    """
    end_dead(study, silent)
    trials = study.get_trials(deepcopy=False)
    first: Dict[Any, int] = {}  # a storage that was away may have taken the same retry twice
    for trial in trials:
        number = trial.user_attrs.get(RETRY_OF)
        if number is None:
            continue
        if number in first and trial.state == TrialState.WAITING:
            interrupt(study, trial._trial_id)
        first.setdefault(number, trial.number)
    copies = {trial.number for trial in trials
              if first.get(trial.user_attrs.get(RETRY_OF), trial.number) != trial.number}
    queued = []
    for trial in trials:
        if (trial.state == TrialState.FAIL and trial.user_attrs.get(INTERRUPTED)
                and not trial.user_attrs.get(UNASKED)
                and trial.number not in first and trial.number not in copies):
            # What was queued for a trial counts, also where it died before it asked for it.
            params = {**trial.system_attrs.get('fixed_params', {}), **trial.params}
            study.enqueue_trial(params, user_attrs={
                RETRY_OF: trial.number, DEATHS: trial.user_attrs.get(DEATHS, 0)})
            queued.append(trial.number)
    return queued


def end_dead(study: Study, silent: Collection[int] = ()) -> List[int]:
    """Interrupt the running trials whose worker no longer lives; returns their numbers.

    They are told as failed and marked ``interrupted``: the tree does not count them. A trial
    whose third worker dies has failed itself. For the holder of the study's lock.

    Args:
        silent: ids of trials whose worker has shown no sign of life for too long (see
            :class:`~autokd_mm.study.heartbeat.Heartbeat`). On this host the processes
            themselves are looked for, and one that is only stopped lives.
    """
    dead = [trial for trial in study.get_trials(deepcopy=False)
            if trial.state == TrialState.RUNNING
            and not alive(trial, silent)]
    for trial in dead:
        deaths = trial.user_attrs.get(DEATHS, 0) + (WORKER in trial.user_attrs)
        if deaths <= RETRIES:
            interrupt(study, trial._trial_id, deaths)
        else:
            _fail(study, trial._trial_id, {REASON: f'its worker died {deaths} times'})
    return [trial.number for trial in dead]


def interrupt(study: Study, trial_id: int, deaths: Optional[int] = None) -> None:
    """Tell a running trial as failed because its worker ended, not because it is bad.

    Args:
        deaths: so many workers have died of it; None: none has, the worker was asked to end.
    """
    attrs: Dict[str, Any] = {INTERRUPTED: True, REASON: 'interrupted'}
    if deaths is not None:
        attrs[DEATHS] = deaths
    _fail(study, trial_id, attrs)


def _fail(study: Study, trial_id: int, attrs: Mapping[str, Any]) -> None:
    storage = study._storage
    try:
        for name, value in attrs.items():
            storage.set_trial_user_attr(trial_id, name, value)
        storage.set_trial_state_values(trial_id, TrialState.FAIL)
    except (RuntimeError, KeyError):  # another worker was faster
        pass


def is_here(trial: FrozenTrial) -> bool:
    """Whether a running trial's worker is, or was, a process of this host."""
    return str(trial.user_attrs.get(WORKER, '')).rsplit(':', 2)[0] == _place()


def alive(trial: FrozenTrial, silent: Collection[int] = ()) -> bool:
    worker: Optional[str] = trial.user_attrs.get(WORKER)
    if not worker:  # died between asking and signing, which happen under one lock
        return False
    if not is_here(trial):
        return trial._trial_id not in silent
    _, pid, birth = worker.rsplit(':', 2)
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _birth(int(pid)) == birth


def finished(study: Study) -> List[FrozenTrial]:
    """Trials that say something about their distiller, in order."""
    return finished_and_running(study)[0]


def is_rejected(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.PRUNED and bool(trial.user_attrs.get(REJECTED))


def counted(trials: Sequence[FrozenTrial], free: int) -> int:
    """How many of the finished trials count towards the number asked for.

    Args:
        free: so many rejected ones do not, because they have cost next to nothing.
    """
    return len(trials) - min(free, sum(is_rejected(trial) for trial in trials))


def finished_and_running(study: Study) -> Tuple[List[FrozenTrial], List[FrozenTrial]]:
    """Finished trials, interrupted ones left out, and those that some worker has taken.

    From one look at the study: a trial that another worker finishes between two looks would be
    in neither list, and one trial too many would be started.
    """
    trials = study.get_trials(deepcopy=False)
    done = [trial for trial in trials
            if trial.state.is_finished() and not trial.user_attrs.get(INTERRUPTED)]
    return done, [trial for trial in trials if trial.state == TrialState.RUNNING]


def get_baseline(study: Study) -> Optional[Dict[str, Any]]:
    return study.user_attrs.get(_BASELINE)


def set_baseline(study: Study, outcome: Mapping[str, Any]) -> None:
    study.set_user_attr(_BASELINE, dict(outcome))


def set_plan(study: Study, trials: int, free: int, final: float) -> None:
    """What the search wants to do, for those who look on: ``trials`` that count, ``free``
    rejected ones that do not, and the final round in lengths of the proxy."""
    values = dict(trials=trials, free=free, final=final)
    if study.user_attrs.get(_PLAN) != values:
        study.set_user_attr(_PLAN, values)


def get_plan(study: Study) -> Dict[str, Any]:
    """Of :func:`set_plan`; empty for a study from before there was any."""
    return study.user_attrs.get(_PLAN) or {}


def set_used_up(study: Study, trials: int) -> None:
    """With so many trials, finished and running ones, the space has nothing more to try."""
    if study.user_attrs.get(_USED_UP) != trials:
        study.set_user_attr(_USED_UP, trials)


def is_used_up(study: Study, trials: int) -> bool:
    """Whether :func:`set_used_up` was told of so many; a sampler that goes on makes more."""
    return bool(study.user_attrs.get(_USED_UP) == trials)
