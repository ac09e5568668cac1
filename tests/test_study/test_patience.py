import errno

import optuna
import pytest
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState
from sqlalchemy.exc import IntegrityError, OperationalError

from autokd_mm.study import patience
from autokd_mm.study.patience import PatientStorage, StorageAway, is_away, patiently


def database(kind=OperationalError):
    """As Optuna hands on what a database says."""
    error = StorageInternalError('An exception is raised during the commit.')
    error.__cause__ = kind('select', {}, Exception('server closed the connection'))
    return error


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(patience.time, 'monotonic', lambda: now[0])
    monkeypatch.setattr(patience.time, 'sleep', lambda s: now.__setitem__(0, now[0] + s))
    return now


class Shaky(InMemoryStorage):
    """Fails as told, before or behind the work."""

    def __init__(self):
        super().__init__()
        self.before, self.behind = [], []

    def set_trial_state_values(self, *args, **kwargs):
        if self.before:
            raise self.before.pop()
        result = super().set_trial_state_values(*args, **kwargs)
        if self.behind:
            raise self.behind.pop()
        return result


@pytest.mark.parametrize('error', [FileNotFoundError(errno.ENOENT, 'gone'),
                                   OSError(errno.ESTALE, 'stale'), OSError(errno.EIO, 'io'),
                                   database()])
@pytest.mark.parametrize('when', ['before', 'behind'])
def test_a_trial_is_told_once(clock, error, when):
    backend = Shaky()
    study = optuna.create_study(storage=PatientStorage(backend))
    trial = study.ask()
    getattr(backend, when).extend([error] * (3 if when == 'before' else 1))
    study.tell(trial, 0.5)
    assert study.trials[0].value == 0.5 and clock[0] in (1.0, 3.0)
    with pytest.raises(UpdateFinishedTrialError):  # again on purpose
        study._storage.set_trial_state_values(trial._trial_id, TrialState.COMPLETE, [0.5])


def test_another_ones_result_is_not_taken_for_ones_own(clock):
    backend = Shaky()
    study = optuna.create_study(storage=PatientStorage(backend))
    trial = study.ask()
    backend.set_trial_state_values(trial._trial_id, TrialState.FAIL)
    backend.before = [database()]
    with pytest.raises(UpdateFinishedTrialError):
        study._storage.set_trial_state_values(trial._trial_id, TrialState.COMPLETE, [0.5])


def test_patience_ends(clock):
    backend = Shaky()
    storage = PatientStorage(backend)
    study = optuna.create_study(storage=storage)
    trial = study.ask()
    backend.before = [database()] * 10000
    with pytest.raises(StorageAway, match='600 s .*--resume') as away:
        study.tell(trial, 0.5)
    assert 599 <= clock[0] <= 601 and 'select' not in str(away.value)
    with pytest.raises(StorageAway):  # the way out is quick
        study.tell(trial, 0.5)
    assert clock[0] <= 602


@pytest.mark.parametrize('error', [OSError(errno.ENOSPC, 'full'), PermissionError(errno.EACCES, ''),
                                   OSError('no number'), database(IntegrityError),
                                   StorageInternalError('x')])
def test_what_will_not_pass_is_not_waited_for(clock, error):
    assert not is_away(error)

    def call():
        raise error

    with pytest.raises(type(error)):
        patiently(call)
    assert clock[0] == 0


def test_it_is_a_storage_as_any(clock):
    study = optuna.create_study(storage=PatientStorage(InMemoryStorage()), study_name='s')
    study.optimize(lambda trial: trial.suggest_float('x', 0, 1), n_trials=3)
    study.set_user_attr('a', 1)
    study.enqueue_trial(dict(x=0.5))
    assert study.best_trial.value <= 0.999 and len(study.trials) == 4
    assert optuna.load_study(storage=study._storage, study_name='s').user_attrs == dict(a=1)
    optuna.delete_study(storage=study._storage, study_name='s')


class Counted(InMemoryStorage):
    """Counts what it is asked."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def get_trial(self, trial_id):
        self.calls.append('trial')
        return super().get_trial(trial_id)

    def get_all_trials(self, *args, **kwargs):
        self.calls.append('all')
        return super().get_all_trials(*args, **kwargs)


def counted():
    backend = Counted()
    study = optuna.create_study(storage=PatientStorage(backend),
                                sampler=optuna.samplers.RandomSampler(seed=0))
    return study, backend.calls


def asked(study, trial):
    return study._storage.get_trial_system_attrs(trial._trial_id)


def test_questions_do_not_read_the_trial_again():
    study, calls = counted()
    trial = study.ask()
    calls.clear()
    for number in range(5):
        trial.suggest_float(f'x{number}', 0, 1)
        assert asked(study, trial) == ({} if not number else {'plan': [1, [2]]})
        study._storage.set_trial_system_attr(trial._trial_id, 'plan', (1, (2, )))
    assert calls == []
    study.tell(trial, 0.5)
    assert study.trials[0].system_attrs['plan'] == (1, (2, ))  # InMemoryStorage keeps tuples
    assert study._storage._own == {}


def test_a_queued_trial_is_read_once():
    study, calls = counted()
    study.enqueue_trial(dict(x=0.25))
    trial = study.ask()
    assert asked(study, trial) == dict(fixed_params=dict(x=0.25))
    calls.clear()
    assert trial.suggest_float('x', 0, 1) == 0.25
    assert asked(study, trial) == dict(fixed_params=dict(x=0.25)) and calls == []


def test_others_trials_are_read_anew():
    study, calls = counted()
    other = optuna.load_study(storage=study._storage.backend, study_name=study.study_name).ask()
    for value in range(2):
        study._storage.backend.set_trial_system_attr(other._trial_id, 'a', value)
        assert study._storage.get_trial_system_attrs(other._trial_id) == dict(a=value)


def test_one_look():
    study, calls = counted()
    old = study.ask()
    calls.clear()
    with patience.one_look(study):
        assert len(study.get_trials()) == len(study.get_trials(deepcopy=False)) == 1
        assert study.get_trials(states=[TrialState.COMPLETE]) == []
        assert study.get_trials()[0] is not study.get_trials(deepcopy=False)[0]
        study.ask()  # is not seen
        assert len(study.get_trials()) == 1 and calls.count('all') == 1
        study.tell(old, 0.5)
        assert [trial.state for trial in study.get_trials()] == [TrialState.COMPLETE,
                                                                 TrialState.RUNNING]
        study.enqueue_trial(dict(x=1))
        assert len(study.get_trials()) == 3 and calls.count('all') == 3
    study.get_trials()
    study.get_trials()
    assert calls.count('all') == 5


def test_one_look_at_a_storage_of_another_kind():
    study = optuna.create_study()
    with patience.one_look(study):
        study.ask()
        assert len(study.get_trials()) == 1
