"""tools/cache_teacher.py, and tools/train.py that reads what it wrote."""
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from autokd_mm.bank import FeatureBank
from autokd_mm.engine.config import load_config
from autokd_mm.safe_load import load_weights

ROOT = Path(__file__).resolve().parents[2]
Usage = namedtuple('Usage', 'total used free')
CONFIG = '''_base_ = {base!r}

teacher_ckpt = {teacher!r}
recorders = dict(pooled=dict(type='mmrazor.ModuleOutputs', source='backbone.layer3'),
                 scores=dict(type='mmrazor.ModuleOutputs', source='head.fc'))
model = dict(
    teacher=dict(backbone=dict(base_channels=8), head=dict(in_channels=32)),
    teacher_ckpt=teacher_ckpt,
    distiller=dict(
        student_recorders=recorders, teacher_recorders=recorders,
        connectors=dict(wider=dict(type='mmrazor.ConvConnector', in_channels=16, out_channels=32)),
        distill_losses=dict(loss_a=dict(type='mmrazor.FeatureLoss'),
                            loss_b=dict(type='mmrazor.LogitsLoss')),
        loss_forward_mappings=dict(
            loss_a=dict(student=dict(recorder='pooled', from_student=True, connector='wider'),
                        teacher=dict(recorder='pooled', from_student=False)),
            loss_b=dict(student=dict(recorder='scores', from_student=True),
                        teacher=dict(recorder='scores', from_student=False)))))
train_cfg = dict(max_epochs=3, val_interval=3)
default_hooks = dict(checkpoint=dict(interval=1))
train_dataloader = dict(dataset=dict(serialize_data=False, indices=100))
val_dataloader = dict(dataset=dict(serialize_data=False))
randomness = dict(seed=1)
'''


@pytest.fixture
def config(tmp_path, tiny_teacher):
    path = tmp_path / 'distill.py'
    path.write_text(CONFIG.format(
        base=str(ROOT / 'configs/_base_/pairs/resnet8-w32_resnet8-w4_digits.py'),
        teacher=str(tiny_teacher)))
    return path


@pytest.fixture
def cache(tool, config, tmp_path):
    """Write the bank; returns what was said."""
    return lambda *args: tool('cache_teacher', config, '--work-dir', tmp_path / 'work', *args)


def test_bank_is_written_once_and_trained_from(cache, tool, config, tmp_path):
    bank = tmp_path / 'work' / 'teacher_bank'
    out = cache('--views', 2, '--dtype', 'float32')
    assert (f'teacher bank {bank}: 2 views of 100 samples, backbone.layer3 32x2x2, head.fc 10 as '
            'float32: 0.1 MiB in 1 shard of 8,192 rows; ') in out
    assert 'MiB are free' in out and 'written in ' in out
    before = {file: os.stat(str(file)).st_mtime_ns for file in bank.iterdir()}
    assert 'checked in ' in cache()
    out = tool('train', config, '--teacher-bank', bank, '--work-dir', tmp_path / 'banked')
    assert {file: os.stat(str(file)).st_mtime_ns for file in bank.iterdir()} == before
    assert 'checked in ' in out and 'distill.loss_a' in out
    assert 'how often each sample was seen in each view: 0: 2, 1: 1' in out
    names = load_weights(str(tmp_path / 'banked' / 'epoch_3.pth'))['state_dict']
    assert all(name.startswith(('architecture.', 'distiller.')) for name in names)


def test_weights_are_those_of_training_with_the_teacher(cache, tool, config, tmp_path):
    """The same views with the teacher running: only ``model.bank`` is left out."""
    cache('--views', 2, '--dtype', 'float32', '--out', tmp_path / 'bank')
    tool('train', config, '--teacher-bank', tmp_path / 'bank', '--work-dir', tmp_path / 'banked')
    # The config that MMEngine keeps of a training stands alone.
    kept = next((tmp_path / 'banked').glob('*/vis_data/config.py'))
    assert load_config(str(kept)).model.bank.path == str(tmp_path / 'bank')
    tool('train', kept, '--work-dir', tmp_path / 'online', '--cfg-options', 'model.bank=None')
    banked, online = (load_weights(str(tmp_path / name / 'epoch_3.pth'))['state_dict']
                      for name in ('banked', 'online'))
    assert set(banked) == set(online)
    for name, value in online.items():
        scale = value.abs().max().item() if value.is_floating_point() else 0
        assert np.abs(banked[name].numpy() - value.numpy()).max() <= 1e-3 * scale + 1e-6, name


def test_training_writes_the_bank_where_there_is_none_and_resumes(tool, config, tmp_path):
    args = ['--teacher-bank', tmp_path / 'bank', '--work-dir', tmp_path / 'train']
    out = tool('train', config, *args, '--cfg-options', 'train_cfg.max_epochs=1')
    assert '8 views of 100 samples' in out and 'as float16' in out and 'written in ' in out
    out = tool('train', config, *args, '--resume')
    assert 'Epoch(train) [2]' in out and 'Epoch(train) [1]' not in out
    # 100 images, of which the loader's last, smaller batch is kept
    assert 'in each view: 0: 1, 1: 1, 2: 1, 3: 0, 4: 0' in out


def test_mistakes_are_one_line(cache, tool, config, tmp_path, monkeypatch):
    cache('--views', 2, '--out', tmp_path / 'bank')
    vanilla = ROOT / 'configs/vanilla/resnet8-w4_digits.py'
    for name, args, words in (
            ('cache_teacher', [config, '--out', tmp_path / 'bank', '--views', 3],
             'data.views: 2 there, 3 here'),
            ('cache_teacher', [config, '--layers', 'head.fk'], "has no layer 'head.fk'"),
            ('cache_teacher', [config, '--dtype', 'half'], '--dtype'),
            ('cache_teacher', [ROOT / 'configs/search/digits.py'], 'it records nothing'),
            ('cache_teacher', [config, '--cfg-options', 'teacher_ckpt=None'],
             'teacher_ckpt is not set'),
            ('train', [vanilla, '--teacher-bank', tmp_path / 'bank'], 'model.type'),
            ('train', [config, '--teacher-bank', tmp_path / 'bank', '--cfg-options',
                       'train_dataloader.dataset.indices=50'],
             'data.samples: 100 there, 50 here'),
            ('train', [config, '--teacher-bank', tmp_path / 'bank', '--cfg-options',
                       'model.architecture.train_cfg.augments.type=Mixup',
                       'model.architecture.train_cfg.augments.alpha=1.'], 'batch-level mixing')):
        with pytest.raises(tool.Ended) as ended:
            tool(name, *args, '--work-dir', tmp_path / 'work')
        assert words in ended.value.line
        assert ended.value.code == 2 and len(ended.value.lines) == 1
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: Usage(0, 0, 1 << 20))
    with pytest.raises(tool.Ended) as ended:
        cache('--out', tmp_path / 'new')
    assert '--out: the feature bank needs ' in ended.value.line
    assert 'fewer --views' in ended.value.line and not (tmp_path / 'new').exists()


@pytest.mark.timeout(300)
def test_two_processes_write_and_train(free_port, config, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    environment.update(PYTHON=sys.executable, OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='-1',
                       PORT=free_port)
    process = subprocess.run(
        [str(ROOT / 'tools' / 'dist_train.sh'), str(config), '2', '--work-dir', 'out',
         '--teacher-bank', 'bank'], cwd=str(tmp_path), env=environment, timeout=280,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    assert process.returncode == 0, process.stdout[-5000:]
    assert process.stdout.count('8 views of 100 samples') == 1  # one of them speaks
    assert 'in each view: 0: 1, 1: 1, 2: 1, 3: 0' in process.stdout
    bank = FeatureBank(str(tmp_path / 'bank'))
    assert bank.arrays['head.fc'].shape == (800, 10)
    assert {path.name for path in tmp_path.iterdir() if 'unfinished' in path.name} == set()
    weights = load_weights(str(tmp_path / 'out' / 'epoch_3.pth'))['state_dict']
    assert all(np.isfinite(value.numpy()).all() for value in weights.values())
