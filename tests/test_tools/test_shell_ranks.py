"""The shell tools with several ranks per trial, run with fake programs that record."""
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

# Test files are no packages.
spec = importlib.util.spec_from_file_location('test_shell_bench',
                                              str(Path(__file__).with_name('test_shell.py')))
test_shell = importlib.util.module_from_spec(spec)
spec.loader.exec_module(test_shell)
bench, TOOLS = test_shell.bench, test_shell.TOOLS
pytestmark = pytest.mark.skipif(shutil.which('bash') is None, reason='needs bash')


def torchrun(number):
    return [str(TOOLS / '_torchrun.py'), '--standalone', '--local-addr=127.0.0.1',
            f'--nproc_per_node={number}', str(TOOLS / 'search.py'), 'c.py']


def test_dist_search(bench):
    bench.gpus(5)
    code, _, err = bench.run('dist_search.sh', 'c.py', '3', '--trials', '9', RANKS_PER_TRIAL='2')
    assert code == 0, err
    for worker, gpus in enumerate(['0,1', '2,3', '0,1']):
        record = bench.record(worker)
        assert record['args'] == torchrun(2) + ['--launcher', 'pytorch', '--ranks-per-trial', '2',
                                                '--trials', '9']
        assert record['env']['CUDA_VISIBLE_DEVICES'] == gpus
        assert record['env']['AUTOKD_WORKERS'] == '3'


def test_dist_search_without_gpus_shares_the_cores(bench):
    assert bench.run('dist_search.sh', 'c.py', '1', RANKS_PER_TRIAL='1000')[0] == 0
    assert bench.record()['env']['OMP_NUM_THREADS'] == '1'


@pytest.mark.parametrize(('script', 'args', 'env', 'words'), [
    ('dist_search.sh', ['c.py', '1'], dict(RANKS_PER_TRIAL='two'), 'RANKS_PER_TRIAL=two'),
    ('dist_search.sh', ['c.py', '1'], dict(RANKS_PER_TRIAL='0'), 'RANKS_PER_TRIAL=0'),
    ('dist_search.sh', ['c.py', '1'], dict(RANKS_PER_TRIAL='4', CUDA_VISIBLE_DEVICES='0,1,2'),
     'RANKS_PER_TRIAL=4: there are 3 GPUs'),
    ('slurm_search.sh', ['p', 'j', 'c.py', 'w'], dict(RANKS_PER_TRIAL='3'),
     'RANKS_PER_TRIAL=3: must divide GPUS=8 and GPUS_PER_NODE=8'),
    ('slurm_search.sh', ['p', 'j', 'c.py', 'w'], dict(RANKS_PER_TRIAL='x'), 'RANKS_PER_TRIAL=x'),
])
def test_mistakes(bench, script, args, env, words):
    code, _, err = bench.run(script, *args, **env)
    assert code == 2 and len(err.splitlines()) == 1 and words in err
    assert not list(bench.records.iterdir())


@pytest.mark.parametrize(('local', 'visible', 'expected'), [
    ('0', '4,5,6,7', '4,5'), ('1', '4,5,6,7', '6,7'), ('2', '4,5,6,7', '4,5'), ('1', '6,7', '6,7'),
    ('1', None, None)])
def test_slurm_search(bench, local, visible, expected):
    env = {} if visible is None else {'CUDA_VISIBLE_DEVICES': visible}
    code, _, err = bench.run('slurm_search.sh', 'p', 'j', 'c.py', 'a dir', '--trials', '9',
                             GPUS='8', GPUS_PER_NODE='4', RANKS_PER_TRIAL='2', MODE='run',
                             WORKERS_PER_GPU='2', SLURM_PROCID='6', SLURM_LOCALID=local,
                             SLURM_NTASKS='8', **env)
    assert code == 0, err
    srun, task = bench.record(0), bench.record(6)
    assert srun['args'][3:7] == ['--gres=gpu:4', '--ntasks=8',
                                 '--ntasks-per-node=4', '--cpus-per-task=10']
    assert task['args'] == ['-u'] + torchrun(2) + [
        '--work-dir=a dir', '--launcher', 'pytorch', '--ranks-per-trial', '2', '--trials', '9']
    assert task['env'].get('CUDA_VISIBLE_DEVICES') == expected
    assert task['env']['AUTOKD_WORKERS'] == '8'


def test_slurm_search_without_gpus(bench):
    assert bench.run('slurm_search.sh', 'p', 'j', 'c.py', 'w', GPUS='4', GPUS_PER_NODE='0',
                     RANKS_PER_TRIAL='2')[0] == 0
    assert '--ntasks=2' in bench.record()['args']


# A rank: writes that it is there, and which signal it gets.
RANK = '''import os, signal, sys, time
path = os.path.join(sys.argv[1], os.environ['RANK'])

def end(number, frame):
    with open(path, 'w') as file:
        file.write(str(int(number)))
    sys.exit(0)

signal.signal(signal.SIGUSR1, end)
open(path, 'w').close()
time.sleep(100)
'''


@pytest.mark.timeout(200)
def test_torchrun_passes_slurms_warning_on(tmp_path):
    program = tmp_path / 'rank.py'
    program.write_text(RANK)
    (tmp_path / 'out').mkdir()
    process = subprocess.Popen(
        [sys.executable, str(TOOLS / '_torchrun.py'), '--standalone', '--local-addr=127.0.0.1',
         '--nproc_per_node=2', str(program), str(tmp_path / 'out')],
        env=dict(os.environ, OMP_NUM_THREADS='1'))
    deadline = time.monotonic() + 100
    while len(list((tmp_path / 'out').iterdir())) < 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGUSR1)
    assert process.wait(60) == 0
    found = [json.loads((tmp_path / 'out' / str(rank)).read_text()) for rank in range(2)]
    assert found == [signal.SIGUSR1] * 2


@pytest.mark.timeout(300)
def test_a_mistake_of_all_ranks_is_said_once(tmp_path, free_port):
    config = TOOLS.parent / 'configs' / 'vanilla' / 'resnet8-w4_digits.py'
    done = subprocess.run(
        [str(TOOLS / 'dist_train.sh'), str(config), '2', '--work-dir', str(tmp_path),
         '--cfg-options', 'model.backbone.dept=8'], text=True, capture_output=True,
        env=dict(os.environ, PYTHON=sys.executable, OMP_NUM_THREADS='1', PORT=free_port))
    assert done.returncode == 2, done.stderr
    assert done.stderr.count('error: model.backbone.dept') == 1, done.stderr
    assert 'Traceback' not in done.stderr and 'rank 0 ended with exit code 2' in done.stderr
