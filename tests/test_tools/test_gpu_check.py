"""The check of a machine with a GPU, gone through on a CPU; without one it says so."""
import importlib
import json
import sys
from pathlib import Path

import pytest
import torch

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


@pytest.fixture
def gpu_check(monkeypatch):
    path, threads = list(sys.path), torch.get_num_threads()
    monkeypatch.syspath_prepend(str(TOOLS))
    monkeypatch.syspath_prepend(str(TOOLS / 'benchmarks'))
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    with torch.random.fork_rng():
        yield importlib.import_module('gpu_check')
    sys.path[:] = path
    torch.set_num_threads(threads)


def test_without_a_gpu_it_says_so(gpu_check, tool):
    with pytest.raises(tool.Ended) as ended:
        tool('benchmarks/gpu_check')
    assert ended.value.code == 2 and ended.value.lines == [ended.value.line]
    assert ended.value.line.startswith('error: --device cuda: torch sees no GPU here')


def test_all_of_it_on_a_cpu(gpu_check, tool, tmp_path):
    out = tmp_path / 'out.json'
    # RetinaNet's parts are the same, and take a minute.
    said = tool('benchmarks/gpu_check', '--device', 'cpu', '--quick', '--only', 'digits',
                '--work-dir', tmp_path / 'work', '--out', out)
    found = {row['name']: row for row in json.loads(out.read_text())}
    assert 'FAILED' not in said and len(found) == 15
    assert all(row['value'] > 0 for row in found.values())
    assert '| digits: step with the bank / plain step |' in said
    assert abs(found['loss after 4 steps, bfloat16 / float32']['value'] - 1) < 0.1


def test_a_part_that_fails_is_told_and_the_others_go_on(gpu_check, monkeypatch, capsys):
    from parts.figures import Figures
    check = gpu_check.Check(gpu_check.argparse.Namespace(device='cpu', quick=True,
                                                          only=None), Figures())

    def broken(*args):
        raise RuntimeError('no kernel image is available\nmore of it')

    for name in ('search', 'steps', 'mixed'):
        monkeypatch.setattr(check, name, broken)
    monkeypatch.setattr(check, 'bank', lambda: check.found.add('rate', 1.0, 'GB/s', '>= 0.5'))
    monkeypatch.setattr(check, 'losses', lambda: None)
    check.run()
    assert len(check.failed) == 5
    assert check.failed[-1] == 'mixed precision: RuntimeError: no kernel image is available'
    assert gpu_check.table(check.found.rows).endswith('| rate | 1 | GB/s | >= 0.5: met |')
