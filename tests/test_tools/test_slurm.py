"""The shell tools for Slurm with a fake ``srun`` that starts local processes: a whole search, and a
training and a test of two tasks without GPU."""
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
DIGITS = TOOLS.parent / 'configs' / 'vanilla' / 'resnet8-w4_digits.py'
pytestmark = pytest.mark.skipif(shutil.which('bash') is None, reason='needs bash')

# Starts --ntasks tasks as srun does, passes on the warning, ends with the largest exit code.
SRUN = '''#!{python} -SE
import os, signal, subprocess, sys
args = sys.argv[1:]
tasks = int([arg for arg in args if arg.startswith('--ntasks=')][0][9:])
command = args[args.index('bash' if 'bash' in args else {python!r}):]
children = [subprocess.Popen(command, env=dict(
    os.environ, SLURM_PROCID=str(i), SLURM_LOCALID=str(i), SLURM_NTASKS=str(tasks),
    SLURM_NODELIST='node[1-2]'))
    for i in range(tasks)]
signal.signal(signal.SIGUSR1, lambda *_: [child.send_signal(signal.SIGUSR1) for child in children])
sys.exit(max(child.wait() for child in children))
'''


# Names the nodes of a list, this machine first.
SCONTROL = '''#!/bin/sh
[ "$*" = "show hostname node[1-2]" ] && printf '127.0.0.1\\nnode2\\n'
'''


@pytest.fixture
def slurm(tmp_path):
    (tmp_path / 'bin').mkdir()
    for name, text in (('srun', SRUN.format(python=sys.executable)), ('scontrol', SCONTROL)):
        (tmp_path / 'bin' / name).write_text(text)
        (tmp_path / 'bin' / name).chmod(0o755)
    return dict(PATH=f'{tmp_path / "bin"}{os.pathsep}{os.environ["PATH"]}', PYTHON=sys.executable,
                OMP_NUM_THREADS='1', GPUS='2', GPUS_PER_NODE='0')


@pytest.fixture
def start(tmp_path, search_config, slurm):

    def start(*args, **env):
        return subprocess.Popen(
            [str(TOOLS / 'slurm_search.sh'), 'part', 'job', str(search_config),
             str(tmp_path / 'work'), '--cfg-options', 'train_cfg.final_round=None', *args],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True,
            env=dict(os.environ, **slurm, **env))

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


def ended(script, *args, **env):
    return subprocess.run([str(TOOLS / script), 'part', 'job', *map(str, args)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env={**os.environ, **env})


@pytest.mark.timeout(300)
def test_tasks_without_gpu_train_and_test_together(slurm, tmp_path, free_port):
    slurm['MASTER_PORT'] = free_port
    done = ended('slurm_train.sh', DIGITS, tmp_path / 'train', '--cfg-options',
                 'train_cfg.max_epochs=1', 'train_cfg.val_interval=1',
                 'default_hooks.checkpoint.interval=1', **slurm)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count('GPU number: 2') == 1 and 'Epoch(val) [1]' in done.stdout
    checkpoint = tmp_path / 'train' / 'epoch_1.pth'
    done = ended('slurm_test.sh', DIGITS, checkpoint, '--work-dir', tmp_path / 'test', **slurm)
    assert done.returncode == 0 and done.stdout.count('accuracy/top1') == 1, done.stdout


@pytest.mark.timeout(300)
def test_a_node_that_nobody_names(slurm, tmp_path):
    (tmp_path / 'bin' / 'scontrol').write_text('#!/bin/sh\nexit 1\n')
    done = ended('slurm_train.sh', DIGITS, tmp_path / 'train', **dict(slurm, GPUS='1'))
    assert done.returncode == 2 and 'Traceback' not in done.stdout, done.stdout
    assert 'scontrol show hostname node[1-2]' in done.stdout and 'MASTER_ADDR' in done.stdout
