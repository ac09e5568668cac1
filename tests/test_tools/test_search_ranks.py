"""Workers of two ranks each: a whole search, its end when it is asked to, and a rank that dies."""
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from optuna.trial import TrialState

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


@pytest.fixture
def workers(tmp_path, search_config):
    """Starts workers of two ranks by dist_search.sh."""
    started = []

    def start(number, *args):
        process = subprocess.Popen(
            [str(TOOLS / 'dist_search.sh'), str(search_config), str(number), '--work-dir',
             str(tmp_path / 'work'), *args], stdout=open(str(tmp_path / 'log'), 'ab'),
            stderr=subprocess.STDOUT, env=dict(
                os.environ, PYTHON=sys.executable, OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='-1',
                RANKS_PER_TRIAL='2'))
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.wait(60)


@pytest.fixture
def wait(tmp_path):

    def wait(process, outcomes):
        journal, deadline = tmp_path / 'work' / 'study.journal', time.monotonic() + 200
        while not journal.exists() or journal.read_bytes().count(b'"outcome"') < outcomes:
            assert process.poll() is None, (tmp_path / 'log').read_text()[-5000:]
            assert time.monotonic() < deadline
            time.sleep(0.05)

    return wait


def ranks(folder):
    """Process number of each rank of a search in ``folder``."""
    found = {}
    for path in Path('/proc').glob('[0-9]*'):
        try:
            words = (path / 'cmdline').read_bytes().split(b'\0')
            env = dict(item.partition(b'=')[::2]
                       for item in (path / 'environ').read_bytes().split(b'\0'))
        except OSError:
            continue
        if str(folder).encode() in words and b'RANK' in env:
            found[int(env[b'RANK'])] = int(path.name)
    return found


def one_log(folder):
    """What the only log in ``folder`` says."""
    log, = folder.glob('2*/*.log')
    return log.read_text()


pytestmark = pytest.mark.skipif(shutil.which('bash') is None or not Path('/proc/self').exists(),
                                reason='needs bash and /proc')


@pytest.mark.timeout(300)
def test_asked_to_end_and_a_rank_that_dies(workers, wait, study_of, tmp_path):
    folder = tmp_path / 'work'
    process = workers(1, '--trials', '10000', '--cfg-options', 'train_cfg.final_round=None')
    wait(process, 3)
    process.send_signal(signal.SIGUSR1)
    assert process.wait(100) == 0, (tmp_path / 'log').read_text()[-5000:]
    log = one_log(folder)
    assert log.count('this worker was asked to end; go on with --resume') == 1
    assert log.count('undistilled student on the proxy') == 1
    trials = study_of(folder).trials
    assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    assert len({trial.user_attrs['worker'] for trial in trials}) == 1
    assert (folder / 'best_distiller.py').exists() and not ranks(folder)

    process = workers(1, '--resume', '--trials', '10000', '--cfg-options',
                      'train_cfg.final_round=None')
    wait(process, len(trials) + 3)
    os.kill(ranks(folder)[1], signal.SIGKILL)
    assert process.wait(60) == 1
    assert not ranks(folder)
    trials = study_of(folder).trials
    # None has failed of the cut connection. One may be left, for whoever goes on.
    others = [trial for trial in trials if not trial.state.is_finished()
              or trial.state == TrialState.FAIL]
    assert len(others) <= 1 and not [trial.user_attrs for trial in others if trial.state
                                     == TrialState.FAIL and 'interrupted' not in trial.user_attrs]


@pytest.mark.timeout(300)
def test_two_workers_of_two_ranks_finish_a_search(workers, study_of, tmp_path):
    process = workers(2, '--trials', '4', '--cfg-options', 'train_cfg.final_round.best=1',
                      'train_cfg.final_round.length=1')
    assert process.wait(250) == 0, (tmp_path / 'log').read_text()[-5000:]
    study = study_of(tmp_path / 'work')
    assert study.user_attrs['search']['ranks_per_trial'] == 2
    assert len([trial for trial in study.trials if not trial.user_attrs.get('rejected')]) >= 3
    assert 'final round: reward' in (tmp_path / 'work' / 'best_distiller.py').read_text()


def test_processes_that_do_not_fit(search):
    for args in (('--ranks-per-trial', 2), ('--cfg-options', 'train_cfg.ranks_per_trial=2')):
        with pytest.raises(search.Ended) as ended:
            search(*args)
        assert ended.value.code == 2 and len(ended.value.lines) == 1
        assert 'ranks_per_trial=2' in ended.value.line and 'world size 1' in ended.value.line
