"""Which of a config's metrics is the main one, under the name that the metric itself gives it."""
import numpy as np
import pytest
import torch
from mmengine.registry import METRICS, init_default_scope

from autokd_mm.report.main_metric import main_metric


@pytest.mark.parametrize('evaluator, wanted', [
    (dict(type='Accuracy'), 'accuracy/top1'),
    (dict(type='Accuracy', topk=(1, 5)), 'accuracy/top1'),
    (dict(type='Accuracy', topk=5), 'accuracy/top5'),
    (dict(type='mmpretrain.Accuracy', prefix='digits'), 'digits/top1'),
    (dict(type='Accuracy', thrs=(0.1, 0.5)), None),
    (dict(type='CocoMetric'), 'coco/bbox_mAP'),
    (dict(type='mmdet.CocoMetric', metric=['segm', 'bbox']), 'coco/segm_mAP'),
    (dict(type='CocoMetric', metric='proposal'), None),
    (dict(type='CocoMetric', format_only=True), None),
    ([dict(type='CocoMetric'), dict(type='Other')], None),
    ([dict(type='IoUMetric', iou_metrics=['mDice', 'mIoU']), dict(type='Other')], 'mDice'),
    (dict(type='IoUMetric'), 'mIoU'),
    (dict(type='VOCMetric', metric='mAP', eval_mode='11points'), 'pascal_voc/mAP'),
    (dict(type='Other'), None), (None, None), ([], None)])
def test_name(evaluator, wanted):
    assert main_metric(evaluator) == wanted


def test_what_a_search_was_asked_for_comes_first():
    assert main_metric(dict(type='Accuracy', topk=(1, 5)), 'accuracy/top5') == 'accuracy/top5'
    assert main_metric([dict(type='CocoMetric'), dict(type='Other')], 'coco/bbox_mAP') is None


def test_the_metrics_use_these_names():
    from mmpretrain.structures import DataSample
    init_default_scope('mmpretrain')
    config = dict(type='Accuracy', topk=(2, 1))
    metric = METRICS.build(config)
    sample = DataSample().set_gt_label(1).set_pred_score(torch.tensor([0.1, 0.9])).to_dict()
    metric.process(None, [sample])
    assert metric.evaluate(1)[main_metric(config)] == 100

    init_default_scope('mmseg')
    config = dict(type='mmseg.IoUMetric', iou_metrics=['mIoU'])
    metric = METRICS.build(config)
    metric.dataset_meta = dict(classes=('a', 'b'))
    label = torch.tensor(np.eye(4), dtype=torch.int64)
    metric.process(None, [dict(pred_sem_seg=dict(data=label), gt_sem_seg=dict(data=label))])
    assert metric.evaluate(1)[main_metric(config)] == 100
