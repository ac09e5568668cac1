"""slurm_search.sh with a fake ``srun`` that starts local processes: a whole search."""
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
pytestmark = pytest.mark.skipif(shutil.which('bash') is None, reason='needs bash')

# Starts --ntasks tasks as srun does, passes on the warning, ends with the largest exit code.
SRUN = '''#!{python} -SE
import os, signal, subprocess, sys
args = sys.argv[1:]
tasks = int([arg for arg in args if arg.startswith('--ntasks=')][0][9:])
command = args[args.index('bash'):]
children = [subprocess.Popen(command, env=dict(
    os.environ, SLURM_PROCID=str(i), SLURM_LOCALID=str(i), SLURM_NTASKS=str(tasks)))
    for i in range(tasks)]
signal.signal(signal.SIGUSR1, lambda *_: [child.send_signal(signal.SIGUSR1) for child in children])
sys.exit(max(child.wait() for child in children))
'''


@pytest.fixture
def start(tmp_path, search_config):
    (tmp_path / 'bin').mkdir()
    srun = tmp_path / 'bin' / 'srun'
    srun.write_text(SRUN.format(python=sys.executable))
    srun.chmod(0o755)

    def start(*args, **env):
        return subprocess.Popen(
            [str(TOOLS / 'slurm_search.sh'), 'part', 'job', str(search_config),
             str(tmp_path / 'work'), '--cfg-options', 'train_cfg.final_round=None', *args],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True,
            env=dict(os.environ, PATH=f'{tmp_path / "bin"}{os.pathsep}{os.environ["PATH"]}',
                     PYTHON=sys.executable, OMP_NUM_THREADS='1', GPUS='2', GPUS_PER_NODE='0',
                     **env))

    return start


@pytest.mark.timeout(300)
def test_two_tasks_and_slurms_warning(start, study_of, tmp_path):
    process, deadline = start('train_cfg.trials=10000'), time.monotonic() + 200
    journal, workers = tmp_path / 'work' / 'study.journal', set()
    while len(workers) < 2:  # on a loaded machine the second may come many trials later
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.1)
        if journal.exists() and b'"outcome"' in journal.read_bytes():
            workers = {trial.user_attrs['worker'] for trial in study_of(journal.parent).trials
                       if trial.state.is_finished()}
    process.send_signal(signal.SIGUSR1)
    out = process.communicate(timeout=200)[0]
    assert process.returncode == 0, out
    assert out.count('this worker was asked to end; go on with --resume') == 2
    trials = study_of(tmp_path / 'work').trials
    assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    assert len({trial.user_attrs['worker'] for trial in trials}) == 2
    assert (tmp_path / 'work' / 'best_distiller.py').exists()
