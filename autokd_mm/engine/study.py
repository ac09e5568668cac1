"""The study on disk: opening it, refusing another search's, taking up what was interrupted."""
from __future__ import annotations

import os
import socket
from typing import Any, Dict, List, Mapping, Optional

import optuna
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from autokd_mm.engine.bank import differing
from autokd_mm.space.errors import ConfigError

JOURNAL = 'study.journal'
_NAME = 'autokd_mm'
_SEARCH, _BASELINE = 'search', 'baseline'
# User attributes of a trial. 'interrupted' is also what the tree search looks for.
INTERRUPTED, RETRY_OF, WORKER, REASON = 'interrupted', 'retry_of', 'worker', 'reason'


def journal_path(work_dir: str) -> str:
    return os.path.join(work_dir, JOURNAL)


def open_study(work_dir: str, sampler: BaseSampler, description: Mapping[str, Any],
               resume: bool, join: bool = False) -> Study:
    """The search's study in ``work_dir``.

    Args:
        work_dir: holds ``study.journal``.
        sampler: chooses the parameters of new trials.
        description: JSON values that identify the search (space, teacher, proxy ...).
        resume: a study must be there already.
        join: other workers may have opened it a moment ago, or may not.

    Raises:
        ConfigError: nothing to resume; or a study is there and ``resume`` was not asked for; or
            it is the study of another search, and what differs.
    """
    path = journal_path(work_dir)
    exists = os.path.isfile(path) and os.path.getsize(path) > 0
    if resume and not exists and not join:
        raise ConfigError(f'--resume: there is no {JOURNAL} in {work_dir}; leave --resume out to '
                          'start a search')
    if exists:
        drop_torn_line(path)
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(path))
    names = [study.study_name for study in storage.get_all_studies()]
    study = optuna.create_study(storage=storage, sampler=sampler, study_name=_NAME,
                                direction='maximize', load_if_exists=True)
    if _NAME in names:
        found = study.user_attrs.get(_SEARCH)
        if found is not None:
            differences = differing(found, description)
            if differences:
                raise ConfigError(f'work_dir: {work_dir} holds the study of another search '
                                  f'({"; ".join(differences)}); name another --work-dir')
            if not resume and not join and study.trials:
                raise ConfigError(f'work_dir: {work_dir} holds {len(study.trials)} trials of this '
                                  'search; add --resume to go on with them')
    if study.user_attrs.get(_SEARCH) is None:
        study.set_user_attr(_SEARCH, dict(description))
    return study


def drop_torn_line(path: str) -> None:
    """Cut an unfinished last line off a journal.

    A process that dies, or a disk that fills up, in the middle of a write leaves a line without
    its end; Optuna would glue the next entry to it and then refuse the whole file. Nothing that
    was told to the study is lost: an entry counts once its line is complete.
    """
    with open(path, 'rb+') as file:
        data_end = file.seek(0, os.SEEK_END)
        position = data_end
        while position > 0:
            step = min(4096, position)
            file.seek(position - step)
            block = file.read(step)
            newline = block.rfind(b'\n')
            if newline >= 0:
                position = position - step + newline + 1
                break
            position -= step
        if position < data_end:
            file.truncate(position)


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
    interrupted and not yet queued is queued as well.
    """
    trials = study.get_trials(deepcopy=False)
    retried = {trial.user_attrs.get(RETRY_OF) for trial in trials}
    queued = []
    for trial in trials:
        if trial.state == TrialState.RUNNING and not _alive(trial):
            interrupt(study, trial)
        elif not (trial.state == TrialState.FAIL and trial.user_attrs.get(INTERRUPTED)):
            continue
        if trial.number not in retried:
            study.enqueue_trial(trial.params, user_attrs={RETRY_OF: trial.number})
            queued.append(trial.number)
    return queued


def interrupt(study: Study, trial: FrozenTrial) -> None:
    """Tell a running trial as failed because its worker ended, not because it is bad."""
    storage, trial_id = study._storage, trial._trial_id
    try:
        storage.set_trial_user_attr(trial_id, INTERRUPTED, True)
        storage.set_trial_user_attr(trial_id, REASON, 'interrupted')
        storage.set_trial_state_values(trial_id, TrialState.FAIL)
    except (RuntimeError, KeyError):  # another worker was faster
        pass


def _alive(trial: FrozenTrial) -> bool:
    worker: Optional[str] = trial.user_attrs.get(WORKER)
    if not worker:  # died between asking and signing
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
    """Trials that count towards the number asked for, in order."""
    return [trial for trial in study.get_trials(deepcopy=False)
            if trial.state.is_finished() and not trial.user_attrs.get(INTERRUPTED)]


def get_baseline(study: Study) -> Optional[Dict[str, float]]:
    return study.user_attrs.get(_BASELINE)


def set_baseline(study: Study, outcome: Mapping[str, float]) -> None:
    study.set_user_attr(_BASELINE, dict(outcome))
