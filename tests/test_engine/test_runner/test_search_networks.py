"""Searches between networks that are not one convolutional teacher and one such student."""
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from autokd_mm.models.distillers import spec_from_config

BASE = (Path(__file__).resolve().parents[3] / 'configs' / 'search'
        / 'resnet8-w32_deit-tiny_digits.py')
SHORT = '''
train_cfg.update(rejection=None, pruner=None, final_round=None)
'''
TWO_TEACHERS = SHORT + '''
def _teacher(channels, **images):
    return dict(type='ImageClassifier',
                backbone=dict(type='mmrazor.CifarResNet', depth=8, base_channels=channels,
                              in_channels=1, shortcut='pad'),
                neck=dict(type='GlobalAveragePooling'),
                head=dict(type='LinearClsHead', num_classes=10, in_channels=4 * channels,
                          loss=dict(type='CrossEntropyLoss')), **images)


model.update(
    teacher=dict(
        _delete_=True, type='mmrazor.Teachers', mean_logits='head.fc',
        teachers=[_teacher(8, data_preprocessor=dict(mean=[78.35], std=[95.95])), _teacher(6)]),
    teacher_ckpt=None)
train_cfg.update(train_teacher=True, layers=dict(
    student=['backbone.layer2', 'backbone.layer3'],
    teacher=['1.backbone.layer2', '0.backbone.layer3'],
    student_logits='head.fc', teacher_logits='mean_logits'))
teacher_ckpt = None
'''


@pytest.fixture
def two_teachers(search_config):
    search_config.write_text(search_config.read_text() + TWO_TEACHERS)
    return search_config


def test_two_teachers_from_their_training_to_the_found_distiller(tool, two_teachers, tmp_path):
    folder = tmp_path / 'work'
    tool('search', two_teachers, '--work-dir', folder, '--trials', '2', '--cfg-options',
         "train_cfg.warm_start=[KD,AT]", 'train_cfg.teacher_epochs=2')
    assert (folder / 'teacher_0' / 'epoch_2.pth').is_file()  # the student learns for one
    assert {'teacher_0.pth', 'teacher_1.pth', 'best_distiller.py'} <= {
        path.name for path in folder.iterdir()}
    config = Config.fromfile(str(folder / 'best_distiller.py'))
    assert [path.split('/')[-1] for path in config.model.teacher_ckpt] == [
        'teacher_0.pth', 'teacher_1.pth']
    spec = spec_from_config(config.model.distiller)
    recorded = {recorder.source for recorder in config.model.distiller.teacher_recorders.values()}
    assert recorded == (({'1.backbone.layer2', '0.backbone.layer3'} if spec.has_feature else set())
                        | ({'mean_logits'} if spec.has_logits else set()))
    # The exported config trains, with the teachers that were trained on the way.
    tool('train', folder / 'best_distiller.py', '--work-dir', tmp_path / 'trained')
    weights = torch.load(str(tmp_path / 'trained' / 'epoch_1.pth'), map_location='cpu',
                         weights_only=False)['state_dict']
    assert not any('teacher' in name for name in weights)


def test_a_teacher_that_is_left_out_is_neither_loaded_nor_run(tool, two_teachers, tmp_path,
                                                              study_of):
    """Its logits are in the bank beside the mean; a study from before goes on without."""
    folder, method = tmp_path / 'work', "dict(method='KD', logits_teacher=1)"
    two_teachers.write_text(f"""{two_teachers.read_text()}
train_cfg.update(warm_start=[{method}], teacher_epochs=1)
""")
    out = tool('search', two_teachers, '--work-dir', folder, '--trials', '1')
    assert 'logits kl (T=4) x1 of teacher 1' in out
    config = Config.fromfile(str(folder / 'best_distiller.py'))
    model = config.model
    assert model.teacher.type == 'ImageClassifier' and model.teacher.backbone.base_channels == 6
    assert model.teacher_ckpt.split('/')[-1] == 'teacher_1.pth'
    recorder, = model.distiller.teacher_recorders.values()
    assert recorder.source == 'head.fc'

    trained = ','.join(str(folder / f'teacher_{number}.pth') for number in (0, 1))
    old, plain = tmp_path / 'old', ['--cfg-options', 'train_cfg.warm_start=[KD]',
                                    f'teacher_ckpt=[{trained}]', 'train_cfg.train_teacher=False']
    both = ['train_cfg.space.feature_teacher=[all]', 'train_cfg.space.logits_teacher=[all]']
    tool('search', two_teachers, '--work-dir', old, '--trials', '1', *plain, *both)
    assert not any('teacher' in name for name in study_of(old).trials[0].params)
    before = sorted(path.name for path in (old / 'bank' / 'train').iterdir())
    assert not any('logits_' in name for name in before)
    tool('search', two_teachers, '--work-dir', old, '--trials', '2', '--resume', *plain)
    assert len(study_of(old).trials) == 2
    assert sorted(path.name for path in (old / 'bank' / 'train').iterdir()) == before

    (folder / 'teacher_0.pth').unlink()
    tool('train', folder / 'best_distiller.py', '--work-dir', tmp_path / 'trained')


def test_a_transformer_learns_from_a_convolutional_network(tool, tiny_teacher, tmp_path):
    path = tmp_path / 'deit.py'
    path.write_text(f"""_base_ = {str(BASE)!r}
teacher_ckpt = {str(tiny_teacher)!r}
model = dict(
    architecture=dict(
        backbone=dict(arch=dict(embed_dims=12, feedforward_channels=24)),
        head=dict(in_channels=12)),
    teacher=dict(backbone=dict(base_channels=8), head=dict(in_channels=32)),
    teacher_ckpt=teacher_ckpt)
train_cfg = dict(
    trials=3, warm_start=['KD', dict(transform='none', intra='none', inter='none', distance='l2',
                                     connector='conv1x1', feature_weight=1, logits='none')],
    proxy=dict(images=64, held_out=32, batch_size=32, epochs=1), train_teacher=False,
    rejection=None, pruner=None, final_round=None,
    full_training=dict(max_epochs=1, val_interval=1))
default_hooks = dict(checkpoint=dict(interval=1))
""")
    folder = tmp_path / 'work'
    tool('search', path, '--work-dir', folder)
    best = Config.fromfile(str(folder / 'best_distiller.py'))
    recorders = best.model.distiller.student_recorders
    assert all(recorder.source in ('backbone.layers.1', 'head.layers.head_dist')
               for recorder in recorders.values())
    tool('train', folder / 'best_distiller.py', '--work-dir', tmp_path / 'trained')
    assert (tmp_path / 'trained' / 'epoch_1.pth').is_file()


def test_the_proxy_leaves_mixing_out_and_says_so(tool, search_config, tmp_path):
    folder = tmp_path / 'work'
    tool('search', search_config, '--work-dir', folder, '--trials', '1', '--cfg-options',
         'model.architecture.train_cfg.augments.type=Mixup',
         'model.architecture.train_cfg.augments.alpha=0.2', 'train_cfg.final_round=None')
    log = next(folder.glob('*/*.log')).read_text()
    assert 'model.architecture.train_cfg: the proxy leaves the mixing of images out' in log
    best = Config.fromfile(str(folder / 'best_distiller.py'))
    assert best.model.architecture.train_cfg.augments.type == 'Mixup'
