"""The shell tools, run with a fake ``python``, ``srun`` and ``nvidia-smi`` that record."""
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / 'tools'
SCRIPTS = ['dist_train.sh', 'dist_test.sh', 'dist_search.sh',
           'slurm_train.sh', 'slurm_test.sh', 'slurm_search.sh']

pytestmark = pytest.mark.skipif(shutil.which('bash') is None, reason='needs bash')

# Writes its arguments and environment to one file per call, then does what MODE says.
RECORDER = '''import json, os, signal, sys, time
name = os.environ.get('AUTOKD_WORKER', '0')
path = os.path.join(sys.argv[1], name + '.json')
state = dict(program=sys.argv[2], args=sys.argv[3:], env=dict(os.environ))

def write(**more):
    state.update(more)
    with open(path + '.part', 'w') as file:
        json.dump(state, file)
    os.replace(path + '.part', path)

def end(number, frame):
    write(signal=number)
    sys.exit(3)

mode = os.environ.get('MODE', '')
if mode == 'sleep':
    write(sigint_ignored=signal.getsignal(signal.SIGINT) == signal.SIG_IGN)
    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGUSR1, end)
    write(ready=True)
    time.sleep(60)
write()
if mode == 'run' and state['program'] == 'srun':  # as one task of it would
    start = sys.argv.index('bash')
    os.execvp('bash', sys.argv[start:])
sys.exit(int(name == os.environ.get('FAILS')))
'''
HIDDEN = ('AUTOKD_', 'CUDA_VISIBLE_DEVICES', 'OMP_NUM_THREADS', 'PYTHON', 'NNODES', 'NODE_RANK',
          'PORT', 'MASTER_ADDR', 'GPUS', 'CPUS_PER_TASK', 'WORKERS_PER_GPU', 'WARN_SECONDS',
          'SRUN_ARGS', 'PY_ARGS', 'SLURM_')


class Bench:
    """A folder of fake programs in front of PATH, and what they recorded."""

    def __init__(self, root):
        self.bin, self.records = root / 'bin', root / 'records'
        self.bin.mkdir()
        self.records.mkdir()
        recorder = root / 'recorder.py'
        recorder.write_text(RECORDER)
        for name in ('python', 'srun', 'mypython'):
            self.program(name, '#!/bin/sh\n'
                         f'exec "{sys.executable}" -SE "{recorder}" "{self.records}" {name} "$@"\n')
        self.gpus(None)

    def program(self, name, text):
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def gpus(self, number):
        """What nvidia-smi says; None: there is no driver (it says so on stdout)."""
        lines = ['echo NVIDIA-SMI has failed', 'exit 9'] if number is None else [
            f'echo {index}' for index in range(number)]
        self.program('nvidia-smi', '\n'.join(['#!/bin/sh', *lines, '']))

    def start(self, script, *args, **env):
        kept = {k: v for k, v in os.environ.items() if not k.startswith(HIDDEN)}
        kept.update(env, PATH=f'{self.bin}{os.pathsep}{os.environ["PATH"]}')
        return subprocess.Popen([str(TOOLS / script), *args], env=kept, cwd=str(self.bin),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                universal_newlines=True)

    def run(self, script, *args, **env):
        process = self.start(script, *args, **env)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def record(self, worker=0):
        return json.loads((self.records / f'{worker}.json').read_text())


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


@pytest.mark.parametrize('script', SCRIPTS)
def test_executable_and_valid(script):
    assert os.access(str(TOOLS / script), os.X_OK)
    subprocess.run(['bash', '-n', str(TOOLS / script)], check=True)


@pytest.mark.parametrize(('script', 'args'), [
    ('dist_train.sh', ['c.py']),
    ('dist_train.sh', ['c.py', '--resume']),
    ('dist_test.sh', ['c.py', 'e.pth']),
    ('dist_test.sh', ['c.py', '2', 'e.pth']),
    ('dist_search.sh', ['c.py']),
    ('dist_search.sh', ['c.py', '0']),
    ('slurm_train.sh', ['part', 'job', 'c.py']),
    ('slurm_test.sh', ['part', 'job', 'c.py']),
    ('slurm_search.sh', []),
])
def test_usage(bench, script, args):
    code, out, err = bench.run(script, *args)
    assert code == 2
    assert len(err.splitlines()) == 1 and 'Usage:' in err and script in err and not out
    assert not list(bench.records.iterdir())


@pytest.mark.parametrize('script', SCRIPTS[3:])
@pytest.mark.parametrize(('name', 'value'), [
    ('GPUS', 'two'), ('GPUS', '0'), ('GPUS_PER_NODE', 'x'), ('GPUS_PER_NODE', '-1'),
    ('CPUS_PER_TASK', '1.5'), ('CPUS_PER_TASK', '0'), ('WORKERS_PER_GPU', 'a[0]'),
    ('WARN_SECONDS', '5m')])
def test_numbers(bench, script, name, value):
    code, out, err = bench.run(script, 'part', 'job', 'c.py', 'w', **{name: value})
    if name in ('WORKERS_PER_GPU', 'WARN_SECONDS') and script != 'slurm_search.sh':
        assert code == 0, err  # of a search alone
        return
    assert code == 2 and not out and not list(bench.records.iterdir())
    assert len(err.splitlines()) == 1 and f'{script}: {name}={value}: must be a whole' in err


def test_dist_train(bench):
    code, _, err = bench.run('dist_train.sh', 'a config.py', '2', '--cfg-options', 'x=1 2')
    assert code == 0, err
    record = bench.record()
    assert record['args'] == [
        str(TOOLS / '_torchrun.py'), '--nnodes=1', '--node_rank=0', '--master_addr=127.0.0.1',
        '--master_port=29500', '--nproc_per_node=2', str(TOOLS / 'train.py'), 'a config.py',
        '--launcher', 'pytorch', '--cfg-options', 'x=1 2']
    assert record['env']['PYTHONPATH'] == f'{TOOLS}/..'


def test_dist_train_environment(bench):
    code, _, err = bench.run('dist_train.sh', 'c.py', '8', NNODES='4', NODE_RANK='3', PORT='1234',
                             MASTER_ADDR='head', PYTHON='mypython', PYTHONPATH='/else')
    assert code == 0, err
    record = bench.record()
    assert record['program'] == 'mypython'
    assert record['args'][1:6] == ['--nnodes=4', '--node_rank=3', '--master_addr=head',
                                   '--master_port=1234', '--nproc_per_node=8']
    assert record['env']['PYTHONPATH'] == f'{TOOLS}/..:/else'


def test_dist_test(bench):
    code, _, err = bench.run('dist_test.sh', 'c.py', 'my epoch.pth', '2', '--out', 'o.pkl')
    assert code == 0, err
    assert bench.record()['args'][5:] == [
        '--nproc_per_node=2', str(TOOLS / 'test.py'), 'c.py', 'my epoch.pth',
        '--launcher', 'pytorch', '--out', 'o.pkl']


def test_exit_code_is_passed_on(bench):
    assert bench.run('dist_train.sh', 'c.py', '1', FAILS='0')[0] == 1
    assert bench.run('slurm_train.sh', 'p', 'j', 'c.py', 'w', FAILS='0')[0] == 1


def test_dist_search_cpu(bench):
    code, _, err = bench.run('dist_search.sh', 'c.py', '2', '--trials', '9', '--work-dir', 'a b')
    assert code == 0, err
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    for worker in range(2):
        record = bench.record(worker)
        assert record['args'] == [str(TOOLS / 'search.py'), 'c.py', '--trials', '9',
                                  '--work-dir', 'a b']
        assert record['env']['AUTOKD_WORKER'] == str(worker)
        assert record['env']['AUTOKD_WORKERS'] == '2'
        assert record['env']['OMP_NUM_THREADS'] == str(max(1, cores // 2))
        assert 'CUDA_VISIBLE_DEVICES' not in record['env']


def test_dist_search_keeps_thread_number(bench):
    assert bench.run('dist_search.sh', 'c.py', '1', OMP_NUM_THREADS='7')[0] == 0
    assert bench.record()['env']['OMP_NUM_THREADS'] == '7'


@pytest.mark.parametrize(('number', 'visible', 'expected'), [
    (2, None, ['0', '1', '0']),
    (4, '3,1', ['3', '1', '3']),
    (4, 'GPU-1a, MIG-2b', ['GPU-1a', 'MIG-2b', 'GPU-1a']),
    (4, '', ['', '', '']),
    (4, '-1', ['-1', '-1', '-1']),
])
def test_dist_search_gpus(bench, number, visible, expected):
    bench.gpus(number)
    env = {} if visible is None else {'CUDA_VISIBLE_DEVICES': visible}
    code, _, err = bench.run('dist_search.sh', 'c.py', '3', **env)
    assert code == 0, err
    environments = [bench.record(worker)['env'] for worker in range(3)]
    assert [env['CUDA_VISIBLE_DEVICES'] for env in environments] == expected
    on_cpu = expected[0] in ('', '-1')
    assert all(('OMP_NUM_THREADS' in env) == on_cpu for env in environments)


def test_dist_search_waits_for_all_and_reports_a_failure(bench):
    code, _, err = bench.run('dist_search.sh', 'c.py', '3', FAILS='1')
    assert code == 1
    assert 'worker 1 ended with exit code 1' in err
    assert len(list(bench.records.iterdir())) == 3


@pytest.mark.parametrize(('sent', 'code'), [(signal.SIGINT, 130), (signal.SIGTERM, 143),
                                            (signal.SIGUSR1, 1)])  # the recorder ends with 3
def test_dist_search_forwards_signals(bench, sent, code):
    process = bench.start('dist_search.sh', 'c.py', '2', MODE='sleep')
    deadline = time.time() + 30

    def ready(worker):
        path = bench.records / f'{worker}.json'
        return path.exists() and 'ready' in json.loads(path.read_text())

    while not all(ready(worker) for worker in range(2)):
        assert time.time() < deadline
        time.sleep(0.05)
    process.send_signal(sent)
    process.communicate(timeout=30)
    assert process.returncode == code
    for worker in range(2):
        assert bench.record(worker)['signal'] == sent
        assert not bench.record(worker)['sigint_ignored']


def test_slurm_train(bench):
    code, _, err = bench.run('slurm_train.sh', 'part', 'job', 'c.py', 'a dir', '--amp', GPUS='16',
                             CPUS_PER_TASK='3', SRUN_ARGS='-t 10 --qos=x', PY_ARGS='--resume')
    assert code == 0, err
    record = bench.record()
    assert record['program'] == 'srun'
    assert record['args'] == [
        '-p', 'part', '--job-name=job', '--gres=gpu:8', '--ntasks=16', '--ntasks-per-node=8',
        '--cpus-per-task=3', '--kill-on-bad-exit=1', '-t', '10', '--qos=x', 'python', '-u',
        str(TOOLS / 'train.py'), 'c.py', '--work-dir=a dir', '--launcher=slurm', '--amp',
        '--resume']
    assert record['env']['PYTHONPATH'] == f'{TOOLS}/..'


def test_slurm_test(bench):
    code, _, err = bench.run('slurm_test.sh', 'part', 'job', 'c.py', 'e.pth', GPUS='2',
                             PYTHON='mypython')
    assert code == 0, err
    record = bench.record()
    assert record['program'] == 'srun'
    assert record['args'] == [
        '-p', 'part', '--job-name=job', '--gres=gpu:2', '--ntasks=2', '--ntasks-per-node=2',
        '--cpus-per-task=5', '--kill-on-bad-exit=1', 'mypython', '-u', str(TOOLS / 'test.py'),
        'c.py', 'e.pth', '--launcher=slurm']


def test_slurm_without_gpus(bench):
    assert bench.run('slurm_train.sh', 'p', 'j', 'c.py', 'w', GPUS='4', GPUS_PER_NODE='0')[0] == 0
    args = bench.record()['args']
    assert '--ntasks=4' in args
    assert not [arg for arg in args if 'gres' in arg or 'per-node' in arg]


@pytest.mark.parametrize(('visible', 'expected'), [('4,5,6,7', '6'), ('7', '7'), (None, None)])
def test_slurm_search_task(bench, visible, expected):
    """The command that srun gets makes a worker of every task."""
    env = {} if visible is None else {'CUDA_VISIBLE_DEVICES': visible}
    code, _, err = bench.run('slurm_search.sh', 'part', 'job', 'c.py', 'a dir', '--trials', '9',
                             GPUS='8', GPUS_PER_NODE='4', PY_ARGS='--resume', MODE='run',
                             SLURM_PROCID='6', SLURM_LOCALID='2', SLURM_NTASKS='8', **env)
    assert code == 0, err
    srun, task = bench.record(0), bench.record(6)
    assert srun['args'][:7] == ['-p', 'part', '--job-name=job', '--gres=gpu:4', '--ntasks=8',
                                '--ntasks-per-node=4', '--cpus-per-task=5']
    assert '--kill-on-bad-exit=0' in srun['args'] and '--signal=USR1@300' in srun['args']
    assert task['program'] == 'python'
    assert task['args'] == ['-u', str(TOOLS / 'search.py'), 'c.py', '--work-dir=a dir',
                            '--trials', '9', '--resume']
    assert task['env']['AUTOKD_WORKERS'] == '8'
    assert task['env'].get('CUDA_VISIBLE_DEVICES') == expected


def test_slurm_search_workers_share_gpus(bench):
    assert bench.run('slurm_search.sh', 'p', 'j', 'c.py', 'w', GPUS='4', WORKERS_PER_GPU='3',
                     WARN_SECONDS='60')[0] == 0
    args = bench.record()['args']
    assert '--gres=gpu:4' in args and '--ntasks=12' in args and '--ntasks-per-node=12' in args
    assert '--signal=USR1@60' in args
