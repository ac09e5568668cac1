"""What is read of the machine."""
import os
from types import SimpleNamespace

import pytest

from autokd_mm.cli import machine


@pytest.mark.parametrize('files, cores', [
    ({'cpu.max': 'max 100000\n'}, None), ({'cpu.max': '150000 100000\n'}, 1.5), ({}, None),
    ({'cpu/cpu.cfs_quota_us': '400000\n', 'cpu/cpu.cfs_period_us': '100000\n'}, 4),
    ({'cpu/cpu.cfs_quota_us': '-1\n', 'cpu/cpu.cfs_period_us': '100000\n'}, None),
    ({'cpu.max': ''}, None), ({'cpu/cpu.cfs_quota_us': '400000\n'}, None)])
def test_cgroup(tmp_path, files, cores):
    for name, text in files.items():
        path = tmp_path / 'sys' / 'fs' / 'cgroup' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert machine.cgroup_cores(str(tmp_path)) == cores


def test_threads(monkeypatch):
    monkeypatch.setattr(machine, 'cgroup_cores', lambda: 1.5)
    monkeypatch.setenv('OMP_NUM_THREADS', '3')
    assert machine.threads(SimpleNamespace(get_num_threads=lambda: 1)) == (
        f'{machine.cores()} of {os.cpu_count()} cores, cgroup limit 1.5, torch uses 1 thread, '
        'OMP_NUM_THREADS=3')
    monkeypatch.delenv('OMP_NUM_THREADS')
    assert machine.threads(None).endswith('cgroup limit 1.5, OMP_NUM_THREADS=(not set)')


def test_gpus():
    about = SimpleNamespace(name='X', total_memory=80 * 2**30, major=9, minor=0)
    cuda = SimpleNamespace(is_available=lambda: True, device_count=lambda: 2,
                           get_device_properties=lambda index: about)
    torch = SimpleNamespace(cuda=cuda, version=SimpleNamespace(cuda='13.0'))
    assert machine.gpus(torch) == ['2 x X (80 GiB, 9.0), CUDA 13.0']
    cuda.is_available = lambda: False
    assert machine.gpus(torch) == ['no GPU (torch is built for CUDA 13.0)']
    torch.version.cuda = None
    assert machine.gpus(torch) == machine.gpus(None) == ['no GPU']


def test_a_gpu_that_is_lost():
    def lost(index):
        raise RuntimeError('CUDA error: device lost\nmore lines')
    cuda = SimpleNamespace(is_available=lambda: True, device_count=lambda: 1,
                           get_device_properties=lost)
    torch = SimpleNamespace(cuda=cuda, version=SimpleNamespace(cuda='13.0'))
    assert machine.gpus(torch) == ['GPU that cannot be used: CUDA error: device lost']


def test_disk(tmp_path):
    assert 0 < machine.free_disk(str(tmp_path)) < 1e6
    assert machine.free_disk(str(tmp_path / 'gone')) == 0
