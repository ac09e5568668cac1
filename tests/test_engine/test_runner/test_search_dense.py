"""A search of detectors and of segmentors from the command line: two trials each."""
import csv

import dense_tasks
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from autokd_mm.models.distillers import spec_from_config
from autokd_mm.registry import MODELS

LOOP = dict(
    type='mmrazor.SearchLoop', trials=2, final_round=None, pruner=None,
    rejection=None,
    proxy=dict(images=6, held_out=3, epochs=1, batch_size=2, views=1, dtype='float16', threads=1),
    full_training=dict(type='EpochBasedTrainLoop', max_epochs=1))


def write(tmp_path, scope, model, data, evaluator, **loop):
    """The search config, with a teacher that knows nothing but is not dead."""
    student, teacher = model(4), model(6)
    with DefaultScope.overwrite_default_scope(scope):
        torch.manual_seed(3)
        network = MODELS.build(teacher)
        network.init_weights()
    checkpoint = str(tmp_path / 'teacher.pth')
    torch.save(dict(state_dict=network.state_dict()), checkpoint)
    train, val = data
    for dataset in data:  # mmcv's, which has no scope of its own
        for step in dataset['pipeline']:
            if step['type'].endswith('.LoadImageFromFile'):
                step['type'] = 'LoadImageFromFile'
    loader = dict(batch_size=2, num_workers=0)
    Config(dict(
        default_scope=scope, teacher_ckpt=checkpoint,
        model=dict(type='mmrazor.FrozenTeacherDistill', architecture=student, teacher=teacher,
                   teacher_ckpt=checkpoint,
                   distiller=dict(type='mmrazor.ConfigurableDistiller')),
        train_dataloader=dict(loader, dataset=train,
                              sampler=dict(type='DefaultSampler', shuffle=True)),
        val_dataloader=dict(loader, batch_size=1, dataset=val,
                            sampler=dict(type='DefaultSampler', shuffle=False)),
        val_evaluator=evaluator, val_cfg=dict(type='ValLoop'),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01),
                           clip_grad=dict(max_norm=10)),
        train_cfg=dict(LOOP, **loop))).dump(str(tmp_path / 'config.py'))
    return tmp_path / 'config.py'


def rows_of(folder):
    with open(folder / 'leaderboard.csv') as file:
        return list(csv.DictReader(file))


def trained(folder, tool):
    """One epoch with what the search has written."""
    tool('train', folder / 'best_distiller.py', '--work-dir', folder / 'training')
    return torch.load(str(folder / 'training' / 'epoch_1.pth'), map_location='cpu',
                      weights_only=False)['state_dict']


def detection(tmp_path, **loop):
    dense_tasks.write_coco(tmp_path / 'data')
    data = dense_tasks.detection_datasets(tmp_path / 'data')
    evaluator = dict(type='mmdet.CocoMetric', metric='bbox',
                     ann_file=str(tmp_path / 'data' / 'train.json'))
    return write(tmp_path, 'mmdet', dense_tasks.retinanet, data, evaluator, **loop)


def test_retinanet(tmp_path, tool):
    """All levels of the pyramid as one branch, images of several sizes, one without boxes."""
    work = tmp_path / 'work'
    config = detection(tmp_path, warm_start=['PKD', 'FGD-focal'],
                       layers=dict(student='neck', teacher='neck', factors='cka',
                                   factor_temperature=0.5))
    said = tool('search', config, '--work-dir', work)
    assert 'factors of the layers: neck[0] 0.' in said
    found = rows_of(work)
    assert [row['state'] for row in found] == ['complete'] * 2
    assert all(np.isfinite(float(row[name])) for row in found
               for name in ('reward', 'held_out_loss', 'gap', 'debiased_gap'))
    assert all(0 <= float(row['metric']) <= 1 for row in found)
    distiller = Config.fromfile(str(work / 'best_distiller.py')).model.distiller
    spec, losses = spec_from_config(distiller), distiller.distill_losses
    # The last two levels are 1 x 1: nothing to tell foreground from background there.
    levels = range(5 if spec.region is None else 3)
    assert list(losses) == [f'loss_feature_{level}' for level in levels]
    weights = [loss.loss_weight / spec.feature_weight for loss in losses.values()]
    assert sum(weights) == pytest.approx(1) and len(set(weights)) == len(losses)
    assert any(name.startswith('architecture.bbox_head') for name in trained(work, tool))


def test_steps_of_a_loader_with_a_batch_sampler_of_its_own(tmp_path, tool):
    """Detectors have one; torch's loader knows no batch size then."""
    config = detection(tmp_path, layers=dict(student='neck', teacher='neck'),
                       full_training=dict(by_epoch=False, max_iters=100))
    config.write_text(config.read_text() + """
train_dataloader['batch_sampler'] = dict(type='mmdet.AspectRatioBatchSampler')
""")
    said = tool('search', config, '--work-dir', tmp_path / 'work', '--dry-run')
    assert '(100 steps of 2, 200)' in said


@pytest.mark.parametrize('logits', [True, False])
def test_segmentor(tmp_path, tool, logits):
    dense_tasks.write_maps(tmp_path / 'data')
    data = dense_tasks.segmentation_datasets(tmp_path / 'data')
    layers = dict(student='decode_head.convs', teacher='decode_head.convs')
    if logits:
        layers.update(student_logits='decode_head.conv_seg', teacher_logits='decode_head.conv_seg')
    work = tmp_path / 'work'

    def config(**loop):
        return write(tmp_path, 'mmseg', dense_tasks.fcn, data, dict(type='mmseg.IoUMetric'),
                     warm_start=['CWD', 'DIST' if logits else 'MGD'], layers=layers, **loop)

    # The mean IoU is that of what the segmentor predicts: it needs no logits.
    tool('search', config(reward=dict(metric=0.5, gap=0.5)), '--work-dir', work)
    found = rows_of(work)
    assert [row['state'] for row in found] == ['complete'] * 2
    for row in found:
        assert np.isfinite(float(row['reward'])) and 0 <= float(row['gap']) <= 1
        assert 0 <= float(row['metric']) <= 1


def test_a_bare_network_of_timm_teaches_a_detector(tmp_path, tool):
    """No head and no download; one level is averaged, and levels without a counterpart are left
    out."""
    timm = pytest.importorskip('timm')
    work, checkpoint = tmp_path / 'work', tmp_path / 'timm.pth'
    torch.manual_seed(0)
    torch.save(timm.create_model('test_resnet').state_dict(), str(checkpoint))
    path = detection(tmp_path, warm_start=['FitNet'], layers=dict(
        student=['neck', 'neck[0]'], teacher=['backbone', 'backbone[1]']), trials=1)
    config = Config.fromfile(str(path))
    config.model.teacher = dict(type='mmpretrain.TIMMBackbone', model_name='test_resnet',
                                features_only=True,
                                data_preprocessor=dict(mean=[120.0] * 3, std=[60.0] * 3))
    config.teacher_ckpt = config.model.teacher_ckpt = str(checkpoint)
    config.update(test_dataloader=config.val_dataloader, test_evaluator=config.val_evaluator,
                  test_cfg=dict(type='TestLoop'))
    config.dump(str(path))
    said = tool('search', path, '--work-dir', work)
    assert 'layers.student: neck[3], neck[4] left out' in said
    assert 'layers.teacher: backbone[0], backbone[1] left out' in said
    assert 'teacher: features alone' in said
    assert [row['state'] for row in rows_of(work)] == ['complete']
    distiller = Config.fromfile(str(work / 'best_distiller.py')).model.distiller
    assert [record.source for record in distiller.teacher_recorders.values()] == ['backbone'] * 4
    assert {name: connector.get('strides') for name, connector in distiller.connectors.items()} == {
        **{f'feature_{level}': None for level in range(4)}, 'feature_3_teacher': (4, 8)}
    assert any(name.startswith('architecture.bbox_head') for name in trained(work, tool))
    tool('visualize_distill', work / 'best_distiller.py', work / 'training' / 'epoch_1.pth',
         tmp_path / 'data' / 'images' / '000.png', '--out', tmp_path / 'maps.png')
    assert (tmp_path / 'maps.png').stat().st_size
    with pytest.raises(tool.Ended, match='train_teacher: the teacher gives features alone'):
        tool('search', path, '--work-dir', tmp_path / 'other', '--cfg-options',
             'teacher_ckpt=None', 'model.teacher_ckpt=None', 'train_cfg.train_teacher=True')
