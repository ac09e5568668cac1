import time

import optuna
import pytest

from autokd_mm.errors import ConfigError
from autokd_mm.study.heartbeat import HEARTBEAT, MISSES, Heartbeat
from autokd_mm.study.journal import open_storage


@pytest.fixture
def open_(tmp_path):
    """The study as another process opens it."""
    return lambda: optuna.create_study(storage=open_storage(str(tmp_path / 'study.journal')),
                                       study_name='s', load_if_exists=True)


@pytest.fixture
def pair(open_):
    """A running trial with its worker's heartbeat, and an observer's."""
    study = open_()
    trial = study.ask()
    own, observer = Heartbeat(), Heartbeat()
    own.watch(study)
    own.sign(study, trial._trial_id)
    observer.watch(open_())
    return study, trial, own, observer


def test_alive_as_long_as_it_beats(pair):
    _, trial, own, observer = pair
    for _ in range(3 * MISSES):
        own.beat()
        observer.look()
    assert observer.silent() == set() and observer.living(trial._trial_id)
    for _ in range(MISSES - 1):
        observer.look()
    assert observer.silent() == set()
    observer.look()
    assert observer.silent() == {trial._trial_id}
    own.beat()  # it had only been stopped
    observer.look()
    assert observer.silent() == set()


def test_a_worker_that_never_signed(pair):
    _, trial, _, observer = pair
    for _ in range(MISSES):
        observer.look()
    assert observer.silent() == set() and not observer.living(trial._trial_id)
    observer.look()
    assert observer.silent() == {trial._trial_id}


def test_nobody_is_dead_to_himself_and_finished_ones_are_forgotten(pair):
    study, trial, own, observer = pair
    for heartbeat in (own, observer):
        for _ in range(2 * MISSES):
            heartbeat.look()
    assert own.silent() == set() and observer.silent() == {trial._trial_id}
    study.tell(trial, 1.0)
    observer.look()
    assert observer.silent() == set()


@pytest.mark.parametrize('jump', [-10**6, 10**6])
def test_no_clock_matters(pair, monkeypatch, jump):
    _, trial, own, observer = pair
    clock = [time.time()]
    monkeypatch.setattr(time, 'time', lambda: clock[0])
    for _ in range(2 * MISSES):
        clock[0] += jump
        own.beat()
        observer.look()
    assert observer.silent() == set()


def test_nobody_dies_while_the_storage_is_away(pair, tmp_path):
    """All have been silent, and the first look behind it is one look."""
    _, trial, own, observer = pair
    own.beat()
    observer.look()
    (tmp_path / 'study.journal').rename(tmp_path / 'away')
    for _ in range(2 * MISSES):
        with pytest.raises(OSError):
            observer.look()
    (tmp_path / 'away').rename(tmp_path / 'study.journal')
    observer.look()
    assert observer.silent() == set()


def test_a_trial_that_was_given_to_another(pair, open_):
    study, trial, own, _ = pair
    own.beat()
    open_().tell(trial.number, state=optuna.trial.TrialState.FAIL)
    own.beat()
    assert own.lost == trial._trial_id
    own.rest()
    own.beat()
    assert study.trials[0].user_attrs[HEARTBEAT] == 1
    own.sign(study, study.ask()._trial_id)
    assert own.lost is None


def test_thread(open_):
    study, observer = open_(), Heartbeat(0.01)
    trial = study.ask()
    observer.watch(study)
    with observer:
        observer.sign(study, trial._trial_id)
        deadline = time.monotonic() + 20
        while open_().trials[0].user_attrs.get(HEARTBEAT, 0) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        thread = observer._thread
    assert not thread.is_alive()


@pytest.mark.parametrize('interval', [0, -1, float('inf'), '20', True, None])
def test_nonsense(interval):
    with pytest.raises(ConfigError, match='heartbeat=.*seconds above 0'):
        Heartbeat(interval)
