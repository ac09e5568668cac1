import json
import os
import subprocess
import sys

import optuna
import pytest

from autokd_mm.errors import StudyError
from autokd_mm.study.heartbeat import HEARTBEAT
from autokd_mm.study.journal import Glance, JournalLock, drop_torn_line, open_storage


@pytest.mark.parametrize('content, kept', [
    (b'', b''), (b'{"a":1}\n', b'{"a":1}\n'), (b'{"a":1}\n{"b"', b'{"a":1}\n'), (b'{"a"', b''),
    (b'{"a":1}\n' + b'x' * 10000, b'{"a":1}\n'), (b'x' * 9000 + b'\n' + b'y' * 4095,
                                                   b'x' * 9000 + b'\n')])
def test_torn_line_is_cut_off(tmp_path, content, kept):
    path = tmp_path / 'journal'
    path.write_bytes(content)
    drop_torn_line(str(path))
    assert path.read_bytes() == kept


@pytest.mark.parametrize('line', [b'[]', b'5', b'null', b'{}', b'{"op_code":99,"worker_id":"x"}',
                                  b'{"op_code":2,"user_attr":{"a":1,"b":2},"study_id":0}'])
@pytest.mark.parametrize('backend', [lambda path: None, Glance], ids=['whole', 'glance'])
def test_what_is_json_and_no_journal_is_damaged(tmp_path, line, backend):
    path = tmp_path / 'study.journal'
    new_study(path)
    with open(str(path), 'ab') as file:
        file.write(line + b'\n' + line + b'\n')
    with pytest.raises(StudyError, match='is damaged') as caught:
        open_storage(str(path), backend(str(path)))
    assert len(str(caught.value).splitlines()) == 1


def new_study(path, name='s'):
    return optuna.create_study(storage=open_storage(str(path)), study_name=name,
                               load_if_exists=True)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_nothing_is_glued_to_the_torn_line_of_a_dead_writer(tmp_path):
    """Another worker goes on without opening the file anew."""
    path = tmp_path / 'study.journal'
    study = new_study(path)
    study.add_trial(optuna.trial.create_trial(value=1.0))
    before = len(lines(path))
    with open(str(path), 'ab') as file:
        file.write(b'{"op_code":4,"worker')
    study.add_trial(optuna.trial.create_trial(value=2.0))
    assert len(lines(path)) == before + 1
    assert [trial.value for trial in new_study(path).trials] == [1.0, 2.0]


def test_a_writer_that_is_killed_leaves_no_lock(tmp_path, monkeypatch):
    """Also by a relative path, where the link of Optuna's lock points nowhere for ever."""
    new_study(tmp_path / 'study.journal')
    code = ('import fcntl, sys, time; file = open(sys.argv[1], "ab"); '
            'fcntl.flock(file, fcntl.LOCK_EX); print("held", flush=True); time.sleep(60)')
    process = subprocess.Popen([sys.executable, '-SE', '-c', code,
                                str(tmp_path / 'study.journal')], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b'held\n'
    process.kill()
    process.wait()
    process.stdout.close()
    monkeypatch.chdir(tmp_path)
    new_study('study.journal').add_trial(optuna.trial.create_trial(value=1.0))
    assert sorted(os.listdir('.')) == ['study.journal']


def test_lock_is_released_after_an_error(tmp_path):
    (tmp_path / 'journal').write_bytes(b'')
    lock = JournalLock(str(tmp_path / 'journal'))
    for _ in range(2):
        assert lock.acquire()
        lock.release()
    lock.release()  # not held: nothing happens
    with pytest.raises(OSError):
        JournalLock(str(tmp_path / 'no' / 'journal')).acquire()


def test_a_journal_that_is_away_is_not_begun_anew(tmp_path):
    path = tmp_path / 'study.journal'
    study = new_study(path)
    path.rename(tmp_path / 'elsewhere')
    with pytest.raises(FileNotFoundError):
        study.add_trial(optuna.trial.create_trial(value=1.0))
    assert not path.exists()
    (tmp_path / 'elsewhere').rename(path)
    study.add_trial(optuna.trial.create_trial(value=1.0))
    assert len(new_study(path).trials) == 1


def test_damaged_journal_is_one_line(tmp_path):
    path = tmp_path / 'study.journal'
    new_study(path)
    path.write_text('not a journal\n' + path.read_text())
    with pytest.raises(StudyError, match='study.journal is damaged') as refused:
        open_storage(str(path))
    assert '\n' not in str(refused.value)


def test_a_glance_sees_what_counts(tmp_path):
    """The same trials as Optuna's own reading, but for what it passes over; once."""
    path = str(tmp_path / 'study.journal')
    study = optuna.create_study(storage=open_storage(path), study_name='s', direction='maximize')
    for number in range(3):
        trial = study.ask()
        trial.suggest_categorical('a', [1, 2])
        trial.set_user_attr(HEARTBEAT, 7)
        trial.set_user_attr('spec', dict(heartbeat='no sign of life'))
        trial.report(0.5, 1)
        if number < 2:
            study.tell(trial, 0.25)
    seen = open_storage(path, Glance(path))
    trials = seen.get_all_trials(0)
    study.tell(2, 0.5)
    assert seen.get_all_trials(0) == trials  # as it was
    for trial, whole in zip(trials, study.get_trials()):
        assert not trial.params and not trial.intermediate_values
        assert trial.user_attrs == dict(spec=dict(heartbeat='no sign of life'))
        if trial.number < 2:
            assert (trial.state, trial.values, trial.datetime_start, trial.datetime_complete) == (
                whole.state, whole.values, whole.datetime_start, whole.datetime_complete)
    assert [trial.state.name for trial in trials] == ['COMPLETE', 'COMPLETE', 'RUNNING']
