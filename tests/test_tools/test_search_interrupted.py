"""tools/search.py: interrupted at any moment, and shared by several workers."""
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from optuna.trial import TrialState

from autokd_mm.engine import study as studies
from autokd_mm.engine.progress import Display
from autokd_mm.engine.proxy_trainer import ProxyTrainer

ROOT = Path(__file__).resolve().parents[2]
# Trials of half a second, long enough to be hit in the middle.
SLOW = ('--trials', '6', '--cfg-options', 'train_cfg.proxy.epochs=12')


def finished(study):
    return [(trial.params, trial.value) for trial in studies.finished(study)]


@pytest.fixture
def quiet(search, study_of):
    """What an uninterrupted search does."""
    return finished(study_of(search(*SLOW, work_dir='quiet')))


def start(folder, config, *args):
    log = open(str(folder.parent / 'log'), 'ab')
    return subprocess.Popen(
        [sys.executable, str(ROOT / 'tools' / 'search.py'), str(config), '--work-dir', folder.name,
         *args], cwd=str(folder.parent), stdout=log, stderr=log,
        env=dict(os.environ, OMP_NUM_THREADS='1'))


@pytest.mark.timeout(300)
def test_kill_9_and_resume(search, study_of, quiet, search_config, tmp_path):
    folder = tmp_path / 'killed'
    process = start(folder, search_config, *SLOW)
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

    search('--resume', *SLOW, work_dir='killed')
    resumed = study_of(folder)
    assert finished(resumed) == quiet
    assert finished(resumed)[:len(before)] == before
    for trial in running:
        told = resumed.trials[trial.number]
        assert told.state == TrialState.FAIL and told.user_attrs['interrupted'] is True
        again = [other for other in resumed.trials
                 if other.user_attrs.get('retry_of') == trial.number]
        assert len(again) == 1 and again[0].state == TrialState.COMPLETE
        assert dict(again[0].params, **trial.params) == again[0].params
    assert len((folder / 'leaderboard.csv').read_text().splitlines()) == 7


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signal_and_resume(search, study_of, quiet, tmp_path, monkeypatch, number):
    train, calls = ProxyTrainer._loss, []

    def loss(self, *args):
        calls.append(1)
        if len(calls) == 24 * 3 + 9:  # the third trial, behind the baseline
            os.kill(os.getpid(), number)
        return train(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(ProxyTrainer, '_loss', loss)
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
    for name in ('bank/train.unfinished-1', 'bank/held_out.unfinished-2'):
        (folder / name).mkdir()
    for name in ('leaderboard.csv.unfinished-1', 'teacher.pth.unfinished-1'):
        (folder / name).write_text('half')
    (folder / 'bank' / 'train' / 'feature.npy').write_bytes(b'torn')
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


def test_worker_that_comes_when_all_is_under_way(search, study_of, monkeypatch, tmp_path):
    """It leaves in peace, and nothing is done twice."""
    folder = search('--trials', 1)
    study = study_of(folder)
    trial = study.ask()
    trial.set_user_attr(studies.WORKER, 'another-host:1:1')
    monkeypatch.setenv('AUTOKD_WORKERS', '2')
    search('--trials', 2)
    assert [item.state for item in study_of(folder).trials] == [
        TrialState.COMPLETE, TrialState.RUNNING]


@pytest.mark.timeout(300)
def test_two_workers_finish_exactly_as_many_trials(search_config, study_of, tmp_path):
    process = subprocess.run(
        [str(ROOT / 'tools' / 'dist_search.sh'), str(search_config), '2', '--work-dir', 'work',
         '--trials', '7', '--cfg-options', 'train_cfg.proxy.epochs=4'],
        cwd=str(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        universal_newlines=True, timeout=280,
        env=dict(os.environ, PYTHON=sys.executable, OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='-1'))
    assert process.returncode == 0, process.stdout
    trials = study_of(tmp_path / 'work').trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 7
    assert len({str(sorted(trial.params.items())) for trial in trials}) == 7
    lines = (tmp_path / 'work' / 'leaderboard.csv').read_text().splitlines()
    assert len(lines) == 8 and (tmp_path / 'work' / 'best_distiller.py').exists()
    assert {path.name for path in (tmp_path / 'work' / 'bank').iterdir()} == {'train', 'held_out'}
