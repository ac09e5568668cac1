"""tools/search.py: interrupted at any moment, and shared by several workers."""
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from autokd_mm.proxy.candidate import Candidate
from autokd_mm.report.progress import Display
from autokd_mm.study import study as studies

ROOT = Path(__file__).resolve().parents[2]
# Trials of half a second, long enough to be hit in the middle.
SLOW = ('--trials', '6', '--cfg-options', 'train_cfg.proxy.epochs=12')
REJECTING_AND_PRUNING = SLOW + ('train_cfg.rejection=True', 'train_cfg.pruner=True')


@pytest.fixture
def search_config(search_config):
    """Trials alone; what comes before, between and behind them has tests of its own."""
    search_config.write_text(search_config.read_text() + """
train_cfg.update(rejection=None, pruner=None, final_round=None)
""")
    return search_config


def finished(study):
    return [(trial.params, trial.value) for trial in studies.finished(study)]


def view_of(folder):
    """What viewers are shown."""
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(folder / 'view.journal')))
    return optuna.load_study(study_name='autokd_mm_view', storage=storage)


@pytest.fixture
def quiet(search, study_of):
    """What an uninterrupted search does."""
    return lambda args: finished(study_of(search(*args, work_dir='quiet')))


def start(folder, config, *args):
    log = open(str(folder.parent / 'log'), 'ab')
    return subprocess.Popen(
        [sys.executable, str(ROOT / 'tools' / 'search.py'), str(config), '--work-dir', folder.name,
         *args], cwd=str(folder.parent), stdout=log, stderr=log,
        env=dict(os.environ, OMP_NUM_THREADS='1'))


@pytest.mark.timeout(300)
def test_kill_9_and_resume(search, study_of, quiet, search_config, tmp_path):
    args = REJECTING_AND_PRUNING
    quiet = quiet(args)
    folder = tmp_path / 'killed'
    process = start(folder, search_config, *args)
    journal = folder / 'study.journal'
    deadline = time.monotonic() + 200
    # The third trial has its distiller: it trains.
    while not journal.exists() or journal.read_bytes().count(b'"spec"') < 3:
        assert process.poll() is None, (tmp_path / 'log').read_text()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(random.random() * 0.2)
    process.kill()
    assert process.wait() == -signal.SIGKILL

    killed = study_of(folder)
    before = finished(killed)
    assert before == quiet[:len(before)] and len(before) >= 2
    running = [trial for trial in killed.trials if trial.state == TrialState.RUNNING]
    assert len(running) <= 1

    search('--resume', *args, work_dir='killed')
    resumed = study_of(folder)
    assert finished(resumed) == quiet
    assert finished(resumed)[:len(before)] == before
    for trial in running:
        told = resumed.trials[trial.number]
        assert told.state == TrialState.FAIL and told.user_attrs['interrupted'] is True
        again = [other for other in resumed.trials
                 if other.user_attrs.get('retry_of') == trial.number]
        assert len(again) == 1 and again[0].state != TrialState.FAIL
        assert dict(again[0].params, **trial.params) == again[0].params
    assert len((folder / 'leaderboard.csv').read_text().splitlines()) == 1 + len(quiet)
    shown = view_of(folder).trials
    assert [(trial.number, trial.value) for trial in shown] == [
        (trial.number, trial.value) for trial in resumed.trials]


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signal_and_resume(search, study_of, quiet, tmp_path, monkeypatch, number):
    losses, calls, quiet = Candidate.losses, [], quiet(SLOW)

    def kill(self, *args):
        calls.append(1)
        if len(calls) == 24 * 3 + 9:  # the third trial, behind the baseline
            os.kill(os.getpid(), number)
        return losses(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Candidate, 'losses', kill)
        with pytest.raises(search.Ended) as ended:
            search(*SLOW)
    assert ended.value.code == 130 and len(ended.value.lines) == 1
    assert '--resume' in ended.value.line and 'Traceback' not in ended.value.err
    study = study_of(tmp_path / 'work')
    assert finished(study) == quiet[:2]
    assert study.trials[2].user_attrs['interrupted'] is True
    assert not (tmp_path / 'work' / 'best_distiller.py').exists()
    assert finished(study_of(search('--resume', *SLOW))) == quiet


def test_torn_journal_and_unfinished_files(search, study_of, tmp_path):
    folder = search('--trials', 2)
    with open(str(folder / 'study.journal'), 'ab') as file:
        file.write(b'{"op_code":5,"trial_id":1,"va')
    for name in ('leaderboard.csv.unfinished-1', 'teacher.pth.unfinished-1'):
        (folder / name).write_text('half')
    next((folder / 'bank' / 'train').glob('**/*.npy')).write_bytes(b'torn')
    search('--resume', '--trials', 4)
    assert len(finished(study_of(folder))) == 4
    assert not list(folder.glob('**/*unfinished*'))


def test_resume_of_a_finished_search_writes_the_results_again(search, study_of):
    folder = search('--trials', 2)
    best = (folder / 'best_distiller.py').read_text()
    (folder / 'best_distiller.py').unlink()
    search('--trials', 2, '--resume')
    assert (folder / 'best_distiller.py').read_text() == best
    assert len(study_of(folder).trials) == 2


@pytest.fixture
def final_config(search_config):
    search_config.write_text(search_config.read_text() + """
train_cfg.update(final_round=dict(best=3, length=3))
train_cfg['proxy'].update(epochs=4)
""")
    return search_config


def finals(folder):
    """(trial number, seed) and the loss of every finished run of the final round."""
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(folder / 'study.journal')))
    runs = optuna.load_study(study_name='autokd_mm_final', storage=storage).trials
    return [((run.user_attrs['candidate'], run.user_attrs['seed']), run.value)
            for run in runs if run.state == TrialState.COMPLETE]


@pytest.mark.timeout(300)
def test_kill_9_in_the_final_round(search, final_config, tmp_path):
    quiet, folder = search(work_dir='quiet'), tmp_path / 'killed'
    process = start(folder, final_config)
    journal = folder / 'study.journal'
    deadline = time.monotonic() + 200
    # The fifth run has been taken: it trains.
    while not journal.exists() or journal.read_bytes().count(b'"candidate"') < 5:
        assert process.poll() is None, (tmp_path / 'log').read_text()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(random.random() * 0.1)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    before = finals(folder)
    assert before == finals(quiet)[:len(before)] and 4 <= len(before) < 8
    assert not (folder / 'best_distiller.py').exists()

    search('--resume', work_dir='killed')
    assert finals(folder) == finals(quiet) and len(finals(folder)) == 8
    found, expected = ((place / 'best_distiller.py').read_text() for place in (folder, quiet))
    assert found == expected and 'final round: reward' in found
    winner = (folder / 'leaderboard.csv').read_text().splitlines()[1].split(',')
    best = view_of(folder).best_trial
    assert (best.number, f'{best.value:.6g}') == (int(winner[0]), winner[3])


# -- workers and places ------------------------------------------------------------------------
def test_only_the_first_worker_draws(search, monkeypatch):
    drawn = []
    init = Display.__init__

    def note(self, enabled=True, console=None):
        drawn.append(enabled)
        init(self, enabled, console)

    monkeypatch.setattr(Display, '__init__', note)
    monkeypatch.setenv('AUTOKD_WORKERS', '2')
    for worker in '01':
        monkeypatch.setenv('AUTOKD_WORKER', worker)
        search('--trials', 1)
    assert drawn == [True, False]


def test_worker_that_comes_when_all_is_under_way(search, study_of, monkeypatch):
    """It leaves in peace where it sees the other one live, and takes up what it left otherwise."""
    folder = search('--trials', 1)
    study = study_of(folder)
    for name in (studies.worker_name(), 'another-host:1:1'):
        trial = study.ask()
        trial.set_user_attr(studies.WORKER, name)
    monkeypatch.setenv('AUTOKD_WORKERS', '2')
    search('--trials', 3, '--cfg-options', 'train_cfg.heartbeat=0.05')
    states = [item.state for item in study_of(folder).trials]
    assert states[:2] == [TrialState.COMPLETE, TrialState.RUNNING]
    assert states[2:] == [TrialState.FAIL, TrialState.COMPLETE]
    assert study_of(folder).trials[3].user_attrs[studies.RETRY_OF] == 2


def test_two_searches_in_one_work_dir(search, study_of, monkeypatch):
    """The second one is refused before it changes anything, also where workers may join."""
    folder = search('--trials', 1)
    journal = folder / 'study.journal'
    before = journal.read_bytes(), sorted((folder / 'bank').rglob('*'))
    for args, workers in ((('--trials', 1), '1'), (('--resume', ), '1'), ((), '2')):
        monkeypatch.setenv('AUTOKD_WORKERS', workers)
        with pytest.raises(search.Ended) as ended:
            search(*args, '--cfg-options', 'train_cfg.proxy.images=48')
        assert ended.value.code == 2 and 'name another --work-dir' in ended.value.line
        assert (journal.read_bytes(), sorted((folder / 'bank').rglob('*'))) == before
    assert len(study_of(folder).trials) == 1


def test_time_is_up(search, study_of, tmp_path, tool, search_config):
    """What is known by then is left in the work dir."""
    folder = search('--trials', 2)
    out = tool('search', search_config, '--work-dir', folder, '--trials', 9, '--resume',
               '--max-hours', '1e-9')
    assert 'max_hours=1e-09: another run would not end in time; go on with --resume' in out
    assert len(study_of(folder).trials) == 2 and (folder / 'best_distiller.py').exists()


def two_workers(config, *args):
    process = subprocess.run(
        [str(ROOT / 'tools' / 'dist_search.sh'), str(config), '2', '--work-dir', 'work', *args],
        cwd=str(config.parent), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        universal_newlines=True, timeout=280,
        env=dict(os.environ, PYTHON=sys.executable, OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='-1'))
    assert process.returncode == 0, process.stdout


@pytest.mark.timeout(300)
def test_two_workers_finish_exactly_as_many_trials(search, final_config, study_of, tmp_path):
    # Where none of the best three is hand-crafted, one would be a fourth. A heavy weight on an
    # unbounded distance lets one student in a thousand diverge, and which ones are tried depends on
    # who is first.
    options = ('--trials', '7', '--cfg-options', 'train_cfg.final_round.handcrafted=0',
               'train_cfg.space.distance=[cosine,pearson]', 'train_cfg.space.feature_weight=[1,5]')
    two_workers(final_config, *options)
    folder = tmp_path / 'work'
    trials = study_of(folder).trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 7, [
        trial.user_attrs for trial in trials if trial.state != TrialState.COMPLETE]
    # Two that ask at the same moment do not see each other's answers: they may be the same, but no
    # third one's.
    tried = Counter(str(sorted(trial.params.items())) for trial in trials)
    assert max(tried.values()) <= 2 and len(tried) >= 5, tried
    assert len((folder / 'leaderboard.csv').read_text().splitlines()) == 8
    assert not list((folder / 'bank').glob('*unfinished*'))
    # They share the final round: nothing is run twice.
    runs = [run for run, _ in finals(folder)]
    best = sorted(trials, key=lambda trial: -trial.value)[:3]
    assert sorted(runs) == sorted((number, seed) for seed in (1, 2)
                                  for number in [-1] + [trial.number for trial in best])
    # One worker that looks at the same trials finds the same winner, and nothing left to do.
    path = folder / 'best_distiller.py'
    found = path.read_text().split('\n#\n')[0]
    assert 'final round: reward' in found
    path.unlink()
    search('--resume', *options)
    assert path.read_text().split('\n#\n')[0] == found
    assert [run for run, _ in finals(folder)] == runs
