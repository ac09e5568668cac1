"""How far a search is, on a journal in all its phases."""
import os
import time

import optuna
import pytest
from optuna.trial import TrialState

from autokd_mm.errors import ConfigError, StudyError
from autokd_mm.search import MCTSSampler
from autokd_mm.space.handcrafted import HANDCRAFTED
from autokd_mm.study import study as studies
from autokd_mm.study.status import status_of, to_dict
from autokd_mm.study.study import open_study

NAMES = ('KD', 'AT', 'SP', 'ICKD', 'PKD')
PLAN = dict(trials=4, free=1, final=16)


@pytest.fixture
def search(tmp_path):
    """A study in a work dir; ``search.trial(value or state)`` adds one."""
    study = open_study(str(tmp_path), MCTSSampler(seed=0), dict(a=1))

    def begin(name='KD', worker=True):
        study.enqueue_trial(dict(name=name))
        trial = study.ask()
        trial.suggest_categorical('name', NAMES)
        trial.set_user_attr(studies.SPEC, HANDCRAFTED[name].to_dict())
        if worker:
            trial.set_user_attr(studies.WORKER, studies.worker_name())
        return trial

    def trial(value, name='KD', seconds=2.0, **attrs):
        one = begin(name)
        for key, item in attrs.items():
            one.set_user_attr(key, item)
        one.set_user_attr(studies.OUTCOME, dict(seconds=seconds))
        if isinstance(value, TrialState):
            study.tell(one, state=value)
        else:
            study.tell(one, value)
        return one

    study.begin, study.trial = begin, trial
    study.ready = lambda: (studies.set_baseline(study, dict(seconds=1)),
                           studies.set_plan(study, **PLAN))
    return study


def look(tmp_path):
    return status_of(str(tmp_path))


def test_before_the_first_trial(search, tmp_path):
    found = look(tmp_path)
    assert found.phase == 'preparing' and found.counted == found.wanted == 0 and not found.runs


def test_at_work(search, tmp_path):
    search.ready()
    search.trial(0.25, 'AT')
    search.trial(0.125)
    search.trial(TrialState.PRUNED, rejected=True)
    search.trial(TrialState.FAIL)
    search.begin('SP')
    found = look(tmp_path)
    assert found.phase == 'searching' and (found.counted, found.wanted) == (3, 4)
    assert found.states == dict(complete=2, pruned=0, rejected=1, failed=1, running=1)
    assert found.best == '+0.2500 (trial 0): spatial attention > l2 x5'
    run, = found.runs
    assert run.what == 'trial 4' and run.lives is True and run.seconds >= 0
    assert run.worker.endswith(f':{os.getpid()}')
    # Three trials and a rejected one took 8 s: 8 / 3 for the last, and 16 lengths of 2 s.
    assert found.left == pytest.approx(8 / 3 + 32)


def test_a_length_of_the_final_round_is_a_mean_trial(search, tmp_path):
    search.ready()
    for seconds in (1.0, 3.0):
        search.trial(0.25, seconds=seconds)
    search.trial(TrialState.PRUNED, seconds=0.5)
    search.begin()
    assert look(tmp_path).left == pytest.approx(4.5 / 3 + 16 * 2.0)


def test_a_worker_has_died_and_one_is_elsewhere(search, tmp_path):
    search.ready()
    search.trial(0.25)
    dead, away = search.begin(), search.begin('AT')
    host, pid, _ = studies.worker_name().rsplit(':', 2)
    dead.set_user_attr(studies.WORKER, f'{host}:{pid}:12345')
    found = look(tmp_path)
    assert [run.lives for run in found.runs] == [False, True] and found.phase == 'searching'
    away.set_user_attr(studies.WORKER, 'another/1/2:77:1')
    found = look(tmp_path)
    assert [run.lives for run in found.runs] == [False, None] and found.phase == 'searching'
    assert found.runs[1].worker == 'another:77'
    search.tell(away, 0.5)
    assert look(tmp_path).phase == 'stopped'


def test_final_round_and_end(search, tmp_path):
    search.ready()
    for number, name in enumerate(NAMES[:4]):
        search.trial(0.1 * number, name)
    assert look(tmp_path).phase == 'stopped'
    final = optuna.create_study(storage=search._storage, study_name='autokd_mm_final')
    for candidate, done in ((-1, True), (3, False)):
        run = final.ask()
        for key, value in dict(candidate=candidate, seed=1, length=4,
                               worker=studies.worker_name()).items():
            run.set_user_attr(key, value)
        if done:
            final.tell(run, 1.0)
    found = look(tmp_path)
    assert found.phase == 'final round' and found.final_done == 4 and found.final_wanted == 16
    assert found.runs[0].what == 'final round, trial 3' and found.left == pytest.approx(24)
    final.tell(run, 1.0)
    assert look(tmp_path).phase == 'stopped'
    (tmp_path / 'best_distiller.py').write_text('# one\n')
    assert look(tmp_path).phase == 'finished'
    old = time.time() - 3600
    os.utime(str(tmp_path / 'best_distiller.py'), (old, old))  # of fewer trials, before
    assert look(tmp_path).phase == 'stopped'


def test_a_study_without_a_plan(search, tmp_path):
    """From before there was any."""
    studies.set_baseline(search, dict(seconds=1))
    search.trial(0.1)
    assert look(tmp_path).phase == 'stopped' and look(tmp_path).left is None
    (tmp_path / 'best_distiller.py').write_text('')
    assert look(tmp_path).phase == 'finished'


def test_it_changes_nothing(search, tmp_path):
    search.ready()
    search.begin(worker=False)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    found = look(tmp_path)
    assert found.runs[0].lives is False and found.runs[0].worker == ''
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files
    assert to_dict(found)['runs'][0]['what'] == 'trial 0'


def test_failed_trials_only(search, tmp_path):
    search.ready()
    search.trial(TrialState.FAIL)
    assert look(tmp_path).best is None and look(tmp_path).states['failed'] == 1


def test_half_a_line_is_being_written(search, tmp_path):
    search.ready()
    search.trial(0.5)
    with open(str(tmp_path / 'study.journal'), 'ab') as file:
        file.write(b'{"op_code": 4, "wor')
    assert look(tmp_path).counted == 1


def test_no_study(tmp_path):
    with pytest.raises(StudyError, match='there is no study.journal in .*nowhere'):
        status_of(str(tmp_path / 'nowhere'))
    (tmp_path / 'study.journal').write_bytes(b'not a journal\nat all\n')
    with pytest.raises(StudyError, match='study.journal is damaged'):
        look(tmp_path)
    with pytest.raises(ConfigError, match='postgresql'):
        status_of(str(tmp_path), 'mysql://u@h/d')


def test_a_study_of_somebody_else(tmp_path):
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(tmp_path / 'study.journal')))
    optuna.create_study(storage=storage, study_name='hyperparameters')
    with pytest.raises(StudyError, match='not one of a search .hyperparameters.'):
        look(tmp_path)


def test_a_database_is_read_briefly(tmp_path):
    """The same trials as Optuna's own reading, but for what nobody needs here."""
    from autokd_mm.study.database_glance import DatabaseGlance
    url = f'sqlite:///{tmp_path / "study.db"}'
    for name in ('another', 'autokd_mm'):
        study = optuna.create_study(storage=url, study_name=name, direction='maximize')
        for value in (0.5, 0.25, None, TrialState.PRUNED):
            trial = study.ask()
            trial.suggest_categorical('name', NAMES)
            trial.set_user_attr('heartbeat', 3)
            trial.set_user_attr(studies.SPEC, HANDCRAFTED['KD'].to_dict())
            trial.set_user_attr(studies.OUTCOME, dict(seconds=2.0, metric=float('nan'), curve=[1]))
            trial.report(0.5, 1)
            if value is not None:
                study.tell(trial, *((None, value) if value is TrialState.PRUNED else (value, )))
    glance = optuna.load_study(storage=DatabaseGlance(url), study_name='autokd_mm')
    assert len(glance.trials) == 4
    for seen, whole in zip(glance.get_trials(), study.get_trials()):
        for name in ('number', 'state', 'values', 'datetime_start', 'datetime_complete',
                     '_trial_id'):
            assert getattr(seen, name) == getattr(whole, name), name
        assert set(seen.user_attrs) == {studies.SPEC, studies.OUTCOME} and not seen.params
        assert set(seen.user_attrs[studies.OUTCOME]) == {'seconds', 'metric'}
