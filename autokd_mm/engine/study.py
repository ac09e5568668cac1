"""The study on disk: opening it, refusing another search's, taking up what was interrupted."""
from __future__ import annotations

import os
import socket
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import optuna
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from autokd_mm.bank import differing
from autokd_mm.engine.journal import JOURNAL, journal_path, open_storage
from autokd_mm.space.errors import ConfigError

_NAME = 'autokd_mm'
_SEARCH, _BASELINE, _QUEUED = 'search', 'baseline', 'warm_start'
# User attributes of a trial. 'interrupted' is also what the tree search looks for.
INTERRUPTED, RETRY_OF, WORKER, REASON = 'interrupted', 'retry_of', 'worker', 'reason'
REJECTED = 'rejected'  # before any training


def check_study(work_dir: str, resume: bool, join: bool = False,
                description: Optional[Mapping[str, Any]] = None) -> None:
    """Refuse a work dir that this search cannot use; writes nothing.

    Args:
        work_dir: holds ``study.journal``, or does not yet.
        resume: a study must be there already.
        join: other workers may have opened it a moment ago, or may not.
        description: JSON values that identify the search (space, teacher, proxy ...). None where
            they are not known yet.

    Raises:
        ConfigError: nothing to resume; or trials are there and ``resume`` was not asked for; or
            they are of another search, and what differs.
    """
    path = journal_path(work_dir)
    if not os.path.isfile(path) or not os.path.getsize(path):
        if resume and not join:
            raise ConfigError(f'--resume: there is no {JOURNAL} in {work_dir}; leave --resume out '
                              'to start a search')
        return
    storage = open_storage(path)
    if _NAME not in [study.study_name for study in storage.get_all_studies()]:
        return
    study = optuna.load_study(storage=storage, study_name=_NAME)
    trials = study.get_trials(deepcopy=False)
    if not trials and get_baseline(study) is None:
        return  # nothing has been found out yet: whatever was planned may be changed
    if description is not None:
        differences = differing(study.user_attrs.get(_SEARCH) or {}, description)
        if differences:
            raise ConfigError(f'work_dir: {work_dir} holds the study of another search '
                              f'({"; ".join(differences)}); name another --work-dir')
    if trials and not resume and not join:
        raise ConfigError(f'work_dir: {work_dir} holds {len(trials)} trials of a search; add '
                          '--resume to go on with it or name another --work-dir')


def open_study(work_dir: str, sampler: BaseSampler, description: Mapping[str, Any],
               pruner: Optional[BasePruner] = None) -> Study:
    """The search's study in ``work_dir``, which :func:`check_study` has found fit.

    Args:
        sampler: chooses the parameters of new trials.
        pruner: gives up running ones; None: none.
    """
    study = optuna.create_study(storage=open_storage(journal_path(work_dir)), sampler=sampler,
                                pruner=pruner or NopPruner(), study_name=_NAME,
                                direction='maximize', load_if_exists=True)
    if differing(study.user_attrs.get(_SEARCH) or {}, description):
        study.set_user_attr(_SEARCH, dict(description))
    return study


def enqueue_once(study: Study, params: Sequence[Mapping[str, Any]]) -> None:
    """Queue the distillers that are tried first, also if an earlier attempt got half way."""
    if study.user_attrs.get(_QUEUED) is None:
        for item in params:
            study.enqueue_trial(dict(item), skip_if_exists=True)
        study.set_user_attr(_QUEUED, len(params))


def worker_name() -> str:
    """host:pid:birth, to find out later whether a running trial's worker still lives."""
    return f'{socket.gethostname()}:{os.getpid()}:{_birth(os.getpid())}'


def _birth(pid: int) -> str:
    """When a process started, in the kernel's ticks; tells apart processes of one number."""
    try:
        with open(f'/proc/{pid}/stat') as file:
            return file.read().rpartition(')')[2].split()[19]
    except (OSError, IndexError):
        return ''


def take_up_interrupted(study: Study) -> List[int]:
    """Queue the trials again whose worker died in the middle; returns their numbers.

    A RUNNING trial of a process that no longer lives on this host is told as failed and marked
    ``interrupted`` (the tree does not count it); its parameters are queued again. What was
    interrupted and not yet queued is queued as well. For the holder of the study's lock.
    """
    dead = end_dead(study)
    trials = study.get_trials(deepcopy=False)
    retried = {trial.user_attrs.get(RETRY_OF) for trial in trials}
    queued = []
    for trial in trials:
        interrupted = trial.state == TrialState.FAIL and trial.user_attrs.get(INTERRUPTED)
        if (interrupted or trial.number in dead) and trial.number not in retried:
            # What was queued for a trial counts, also where it died before it asked for it.
            params = {**trial.system_attrs.get('fixed_params', {}), **trial.params}
            study.enqueue_trial(params, user_attrs={RETRY_OF: trial.number})
            queued.append(trial.number)
    return queued


def end_dead(study: Study) -> List[int]:
    """Interrupt the running trials whose worker no longer lives; returns their numbers."""
    dead = [trial for trial in study.get_trials(deepcopy=False)
            if trial.state == TrialState.RUNNING and not _alive(trial)]
    for trial in dead:
        interrupt(study, trial._trial_id)
    return [trial.number for trial in dead]


def interrupt(study: Study, trial_id: int) -> None:
    """Tell a running trial as failed because its worker ended, not because it is bad."""
    storage = study._storage
    try:
        storage.set_trial_user_attr(trial_id, INTERRUPTED, True)
        storage.set_trial_user_attr(trial_id, REASON, 'interrupted')
        storage.set_trial_state_values(trial_id, TrialState.FAIL)
    except (RuntimeError, KeyError):  # another worker was faster
        pass


def _alive(trial: FrozenTrial) -> bool:
    worker: Optional[str] = trial.user_attrs.get(WORKER)
    if not worker:  # died between asking and signing, which happen under one lock
        return False
    host, pid, birth = worker.rsplit(':', 2)
    if host != socket.gethostname():
        return True  # cannot be seen from here
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
