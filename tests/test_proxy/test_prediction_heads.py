"""Whole detectors and segmentors with other heads than RetinaNet's: what is found of them, and a
step of a candidate that learns all of it."""
import dense_tasks
import numpy as np
import pytest
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope

from autokd_mm.space import DistillerSpec
from autokd_mm.task.spaces import space_over

STRIDES = [8, 16, 32, 64, 128]
ANCHORS = dict(type='mmdet.AnchorGenerator', ratios=[1.0], octave_base_scale=4,
               scales_per_octave=1, strides=STRIDES)
ASSIGNED = dict(assigner=dict(type='mmdet.ATSSAssigner', topk=2), allowed_border=-1, pos_weight=-1)
HEADS = {
    'FCOS': dict(type='mmdet.FCOSHead', strides=STRIDES, norm_on_bbox=True, norm_cfg=None,
                 loss_cls=dict(type='mmdet.FocalLoss', use_sigmoid=True),
                 loss_bbox=dict(type='mmdet.GIoULoss'),
                 loss_centerness=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True)),
    'GFL': dict(type='mmdet.GFLHead', anchor_generator=ANCHORS, reg_max=4, norm_cfg=None,
                loss_cls=dict(type='mmdet.QualityFocalLoss', use_sigmoid=True, beta=2.0),
                loss_dfl=dict(type='mmdet.DistributionFocalLoss'),
                loss_bbox=dict(type='mmdet.GIoULoss')),
    'YOLOX': dict(type='mmdet.YOLOXHead', strides=STRIDES),
}
BRANCHES = dict(prediction='weighted_bce', prediction_weight=1, box='giou', box_by='difference',
                box_weight=1)
QUALITY = dict(quality='bce', quality_weight=1)
SAID = {
    'FCOS': (dict(BRANCHES, **QUALITY), '5 levels of 1 x 3 classes by sigmoid, boxes as distances '
             'behind relu, centerness'),
    'GFL': (dict(BRANCHES, box='kl', box_by='confidence'), '5 levels of 1 x 3 classes by sigmoid, '
            'boxes as distributions over 5 distances'),
    'YOLOX': (dict(BRANCHES, **QUALITY), '5 levels of 1 x 3 classes by sigmoid, boxes as deltas, '
              'objectness'),
    'segmentor': (dict(prediction='bce', prediction_weight=4), '1 x 3 classes by sigmoid'),
}


def detector(kind, channels):
    config = dense_tasks.retinanet(channels)
    config['type'] = f'mmdet.{kind}'
    config['bbox_head'] = dict(HEADS[kind], num_classes=3, in_channels=8, stacked_convs=1,
                               feat_channels=8)
    if kind == 'YOLOX':
        config['train_cfg'] = dict(assigner=dict(type='mmdet.SimOTAAssigner'))
    else:
        config['train_cfg'] = ASSIGNED
    return ConfigDict(config)


def segmentor(channels):
    config = dense_tasks.fcn(channels)
    config['decode_head']['loss_decode'] = dict(type='mmseg.CrossEntropyLoss', use_sigmoid=True)
    return ConfigDict(config)


@pytest.mark.parametrize('kind', SAID)
def test_what_is_found_is_learned(kind, tmp_path):
    if kind == 'segmentor':
        dense_tasks.write_maps(tmp_path / 'data')
        data, scope, head = dense_tasks.segmentation_datasets(tmp_path / 'data'), 'mmseg', \
            'decode_head'
        networks, layer = [segmentor(4), segmentor(6)], 'decode_head.convs'
    else:
        dense_tasks.write_coco(tmp_path / 'data')
        data, scope, head = dense_tasks.detection_datasets(tmp_path / 'data'), 'mmdet', 'bbox_head'
        networks, layer = [detector(kind, 4), detector(kind, 6)], 'neck'
    task = dense_tasks.task(dense_tasks.built(data), *networks, dict(
        student=layer, teacher=layer, student_predictions=head, teacher_predictions=head), scope)
    values, words = SAID[kind]
    assert task.layers.predictions.in_words() == words
    spec = DistillerSpec('logits_only', **values)
    few = dict(transform=('logits_only', ))
    space_over(task.layers, 'segmentation' if kind == 'segmentor' else 'boxes', 2, few,
               lambda line: None).validate(spec)
    with DefaultScope.overwrite_default_scope(scope):
        steps = dense_tasks.trainer(task, task.banks(tmp_path / 'bank')).first_step(spec)
    assert all(np.isfinite(step.distill_loss) and step.distill_gradient_norm > 0 for step in steps)
