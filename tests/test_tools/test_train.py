"""tools/train.py: what a search found, alone and on two processes."""
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from autokd_mm.engine.config import load_config
from autokd_mm.safe_load import load_weights

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def best(search):
    """best_distiller.py of a search that had to find a connector and a logits loss, whose weights
    change: the connector's loss is switched off on the way."""
    folder = search('--trials', 1, '--cfg-options', 'train_cfg.space.transform=[random_mask]',
                    'train_cfg.space.logits=[kl]', 'train_cfg.space.feature_schedule=[off_third]',
                    'train_cfg.space.logits_schedule=[cosine]')
    return folder / 'best_distiller.py'


def test_trains_what_the_search_wrote(tool, best, tmp_path):
    out = tool('train', best, '--work-dir', tmp_path / 'train')
    assert 'distill.loss_feature' in out and 'distill.loss_logits' in out
    assert load_config(str(best)).custom_hooks == [dict(
        type='mmrazor.DistillScheduleHook',
        schedules=dict(loss_feature='off_third', loss_logits='cosine'))]
    assert 'for the first third + logits kl' in best.read_text()
    assert 'distill_factor.feature: 0.0000' in out and 'distill_factor.logits: 0.' in out
    assert 'accuracy/top1' in out
    hook = load_config(str(best)).default_hooks.checkpoint
    assert hook.save_best == 'accuracy/top1' and hook.rule == 'greater'
    assert (tmp_path / 'train' / 'best_accuracy_top1_epoch_1.pth').is_file()
    checkpoint = load_weights(str(tmp_path / 'train' / 'epoch_1.pth'))
    names = list(checkpoint['state_dict'])
    assert not [name for name in names if 'teacher' in name]
    assert all(name.startswith(('architecture.', 'distiller.')) for name in names)
    assert any(name.startswith('distiller.connectors.') for name in names)
    numbers = sum(value.numel() for value in checkpoint['state_dict'].values())
    teacher = load_config(str(best)).model.teacher
    from mmengine.registry import DefaultScope

    from autokd_mm.registry import MODELS
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        student = MODELS.build(load_config(str(best)).model.architecture)
        assert MODELS.build(teacher) is not None
    assert numbers < 1.2 * sum(v.numel() for v in student.state_dict().values()) + 30_000


def test_resume_goes_on(tool, best, tmp_path):
    tool('train', best, '--work-dir', tmp_path / 'train')
    out = tool('train', best, '--work-dir', tmp_path / 'train', '--resume', '--cfg-options',
               'train_cfg.max_epochs=2')
    assert 'Epoch(train) [2]' in out and 'Epoch(train) [1]' not in out
    assert (tmp_path / 'train' / 'epoch_2.pth').exists()


def test_mistakes_are_one_line(tool, best, tmp_path):
    for config, args, words in (
            (best, ['--cfg-options', 'teacher_ckpt=/nowhere/t.pth'],
             'teacher_ckpt: there is no file /nowhere/t.pth'),
            (ROOT / 'configs/search/digits.py', [], 'tools/search.py'),
            (best, ['--auto-scale-lr', '--cfg-options', 'auto_scale_lr=None'],
             'auto_scale_lr.base_batch_size')):
        with pytest.raises(tool.Ended) as ended:
            tool('train', config, '--work-dir', tmp_path / 'train', *args)
        assert words in ended.value.line
        assert ended.value.code == 2 and len(ended.value.lines) == 1


def test_work_dir_is_named_after_the_config(tool, best, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tool('train', best, '--auto-scale-lr')
    assert (tmp_path / 'work_dirs' / 'best_distiller' / 'epoch_1.pth').exists()


@pytest.mark.timeout(300)
def test_two_processes_on_the_cpu_from_another_directory(free_port, best, tmp_path):
    elsewhere = tmp_path / 'elsewhere'
    elsewhere.mkdir()
    # with a relative path to the config, and the weights of the teacher as the config names them
    environment = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    environment.update(PYTHON=sys.executable, OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='-1',
                       PORT=free_port)
    process = subprocess.run(
        [str(ROOT / 'tools' / 'dist_train.sh'), os.path.relpath(str(best), str(elsewhere)), '2',
         '--work-dir', 'out', '--twin'], cwd=str(elsewhere), env=environment, timeout=280,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    assert process.returncode == 0, process.stdout[-5000:]
    weights = load_weights(str(elsewhere / 'out' / 'epoch_1.pth'))['state_dict']
    assert all(torch.isfinite(value).all() for value in weights.values())
    assert all(name.startswith(('architecture.', 'distiller.')) for name in weights)
    twin = load_weights(str(elsewhere / 'out' / 'twin' / 'epoch_1.pth'))['state_dict']
    assert set(twin) == {name[len('architecture.'):] for name in weights
                         if name.startswith('architecture.')}
    assert process.stdout.count('undistilled twin') == 1
    # 1,000 images, two processes, batches of 32
    log = next((elsewhere / 'out').glob('2*/*.log')).read_text()
    assert '[1][16/16]' in log and 'GPU number: 2' in log or 'Distributed training: True' in log


@pytest.mark.parametrize('method, pair, metric', [
    ('fitnet', 'retinanet', 'coco/bbox_mAP'), ('fitnet', 'faster_rcnn', 'coco/bbox_mAP'),
    ('fitnet', 'deeplabv3', 'mIoU')])
def test_dense_pairs_train_and_resume(tool, dense_config, tmp_path, method, pair, metric):
    config = dense_config(method, pair)
    out = tool('train', config, '--work-dir', tmp_path / 'train', '--auto-scale-lr')
    assert metric in out and 'distill.loss_feature' in out
    assert 'batch size is 4. Scaling the original LR by 0.5' in out
    weights = load_weights(str(tmp_path / 'train' / 'epoch_1.pth'))['state_dict']
    assert all(name.startswith(('architecture.', 'distiller.connectors.')) for name in weights)
    assert any(name.startswith('distiller.connectors.') for name in weights)
    out = tool('train', config, '--work-dir', tmp_path / 'train', '--resume', '--cfg-options',
               'train_cfg.max_epochs=2')
    assert 'Epoch(train) [2]' in ' '.join(out.split()) and '[1][1/2]' not in out
    later = load_weights(str(tmp_path / 'train' / 'epoch_2.pth'))['state_dict']
    assert any(not torch.equal(later[name], value) for name, value in weights.items())


@pytest.mark.timeout(300)
@pytest.mark.parametrize('pair', ['retinanet', 'deeplabv3'])
def test_dense_pairs_on_two_processes(free_port, dense_config, tmp_path, pair):
    config = dense_config('fitnet', pair)
    environment = dict(os.environ, PYTHON=sys.executable, OMP_NUM_THREADS='1',
                       CUDA_VISIBLE_DEVICES='-1', PORT=free_port)
    process = subprocess.run(
        [str(ROOT / 'tools' / 'dist_train.sh'), str(config), '2', '--work-dir',
         str(tmp_path / 'out')], env=environment, timeout=280, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, universal_newlines=True)
    assert process.returncode == 0, process.stdout[-5000:]
    weights = load_weights(str(tmp_path / 'out' / 'epoch_1.pth'))['state_dict']
    assert all(torch.isfinite(value).all() for value in weights.values())
    assert all(name.startswith(('architecture.', 'distiller.connectors.')) for name in weights)
    assert '[1/1]' in process.stdout  # 8 scenes, two processes, batches of 4


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU here')
def test_mixed_precision_needs_a_gpu(tool, dense_config, tmp_path):
    config = dense_config('fitnet', 'retinanet')
    with pytest.raises(tool.Ended, match='--amp: mixed precision needs a GPU') as ended:
        tool('train', config, '--work-dir', tmp_path / 'train', '--amp')
    assert ended.value.code == 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason='there is no GPU here')
@pytest.mark.parametrize('pair', ['retinanet', 'faster_rcnn', 'deeplabv3'])
def test_mixed_precision(tool, dense_config, tmp_path, pair):
    config = dense_config('fitnet', pair)
    tool('train', config, '--work-dir', tmp_path / 'train', '--amp')
    checkpoint = load_weights(str(tmp_path / 'train' / 'epoch_1.pth'))
    assert 'loss_scaler' in checkpoint['optimizer']
    assert all(torch.isfinite(value).all() for value in checkpoint['state_dict'].values())
