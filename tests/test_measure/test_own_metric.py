"""Metrics of OpenMMLab's evaluators on held-out images, against our own and by hand."""
import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.logging import MMLogger
from mmengine.structures import InstanceData, PixelData
from mmpretrain.structures import DataSample
from mmseg.structures import SegDataSample

from autokd_mm.errors import ConfigError
from autokd_mm.measure.dense_metrics import BoxMAP, MeanIoU
from autokd_mm.measure.own_metric import OwnMetric

CLASSES = dict(classes=('square', 'disc', 'stripe'))
COCO = dict(type='mmdet.CocoMetric', ann_file='nowhere.json', metric=['bbox', 'segm'])


class Detector:
    """Finds what is there, but for the last instance of each image, and its boxes are shifted."""

    def predict(self, inputs, samples, rescale):
        for sample in samples:
            assert sample.ori_shape == sample.img_shape and sample.scale_factor == (1.0, 1.0)
            there = sample.gt_instances
            count = len(there) - 1
            sample.pred_instances = InstanceData(
                bboxes=there.bboxes[:count] + 0.4, labels=there.labels[:count],
                scores=torch.linspace(0.9, 0.5, count),
                masks=torch.from_numpy(there.masks.masks[:count, :20, :40] > 0))
        return samples


def detection(seed):
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 12, (4, 2))
    boxes = torch.from_numpy(np.concatenate([corners, corners + rng.integers(4, 8, (4, 2))], 1))
    masks = np.zeros((4, 24, 48), np.uint8)  # padded
    for mask, (left, top, right, bottom) in zip(masks, boxes.tolist()):
        mask[top:bottom, left:right] = 1
    sample = DetDataSample(metainfo=dict(img_shape=(20, 40), ori_shape=(40, 80),
                                         scale_factor=(0.5, 0.5)))
    labels = torch.from_numpy(rng.integers(0, 3, 4))
    sample.gt_instances = InstanceData(bboxes=boxes.float()[:3], labels=labels[:3],
                                       masks=BitmapMasks(masks[:3], 24, 48))
    sample.ignored_instances = InstanceData(bboxes=boxes.float()[3:], labels=labels[3:],
                                            masks=BitmapMasks(masks[3:], 24, 48))
    return sample


class Ours(Detector):
    """The same for our own metric, which does not say anything of sizes."""

    def predict(self, inputs, samples, rescale):
        for sample in samples:
            sample.set_metainfo(dict(ori_shape=sample.img_shape, scale_factor=(1.0, 1.0)))
        return super().predict(inputs, samples, rescale)


@pytest.mark.parametrize('key, masks', [('coco/bbox_mAP', False), ('coco/segm_mAP', True)])
def test_mean_average_precision_is_ours(key, masks):
    metric, ours, inputs = OwnMetric(COCO, key, CLASSES, 'boxes'), BoxMAP(masks), torch.zeros(
        2, 3, 24, 48)
    for seed in (0, 1):
        metric.add(Detector(), {}, inputs, [detection(seed), detection(seed + 2)])
        ours.add(Ours(), {}, inputs, [detection(seed), detection(seed + 2)])
    # MMDetection's is rounded to three digits.
    assert 0.1 < ours.value() < 0.9 and metric.value() == pytest.approx(ours.value(), abs=6e-4)


def test_images_are_not_changed():
    sample = detection(0)
    OwnMetric(COCO, 'coco/bbox_mAP', CLASSES, 'boxes').add(
        Detector(), {}, torch.zeros(1, 3, 24, 48), [sample])
    assert sample.ori_shape == (40, 80) and 'pred_instances' not in sample
    assert 'img_id' not in sample


class Segmentor:

    def predict(self, inputs, samples):
        for sample in samples:
            sample.pred_sem_seg = PixelData(data=torch.arange(6 * 8).view(1, 6, 8) % 3)
        return samples


def segmentation(seed):
    truth = torch.full((1, 8, 12), 255)
    truth[:, :6, :8] = torch.randint(0, 3, (1, 6, 8),
                                     generator=torch.Generator().manual_seed(seed))
    sample = SegDataSample(metainfo=dict(img_shape=(6, 8), ori_shape=(12, 16)))
    sample.gt_sem_seg = PixelData(data=truth)
    return sample


def test_mean_iou_is_ours():
    config = dict(type='mmseg.IoUMetric', iou_metrics=['mIoU', 'mFscore'])
    metric = OwnMetric([config], 'mIoU', CLASSES, 'segmentation')
    ours, samples = MeanIoU(), [segmentation(0), segmentation(1)]
    for one in (metric, ours):
        one.add(Segmentor(), {}, torch.zeros(2, 3, 8, 12), samples)
    assert metric.value() == pytest.approx(ours.value(), abs=6e-5)


class Classifier:

    def predict(self, inputs, samples):
        return [sample.set_pred_score(score) for sample, score in zip(samples, inputs)]


def test_accuracy_of_the_best_two():
    samples = [DataSample().set_gt_label(label) for label in (0, 1, 2, 1)]
    scores = torch.tensor([[.5, .3, .2], [.5, .3, .2], [.5, .3, .2], [.2, .3, .5]])
    metric = OwnMetric(dict(type='mmpretrain.Accuracy', topk=(1, 2)), 'accuracy/top2', CLASSES,
                       'label')
    metric.add(Classifier(), {}, scores, samples)
    assert metric.value() == 0.75 and 'pred_score' not in samples[0]
    with pytest.raises(ConfigError, match=r"^train_cfg.metric: 'accuracy/top5' is unknown, did you "
                                          r"mean 'accuracy/top\d'\? Valid: accuracy/top1"):
        other = OwnMetric(dict(type='mmpretrain.Accuracy', topk=(1, 2)), 'accuracy/top5', CLASSES,
                          'label')
        other.add(Classifier(), {}, scores, samples)
        other.value()


def test_a_detector_that_finds_nothing():
    class Nothing:
        def predict(self, inputs, samples, rescale):
            for sample in samples:
                sample.pred_instances = InstanceData(
                    bboxes=torch.zeros(0, 4), labels=torch.zeros(0).long(),
                    scores=torch.zeros(0), masks=torch.zeros(0, 20, 40).bool())
            return samples

    metric = OwnMetric(COCO, 'coco/segm_mAP', CLASSES, 'boxes')
    metric.add(Nothing(), {}, torch.zeros(1, 3, 24, 48), [detection(0)])
    assert metric.value() == 0


def test_a_metric_that_cannot_be_built():
    with pytest.raises(ConfigError, match='^train_cfg.metric: mmdet.CocoMetric of val_evaluator'):
        OwnMetric(dict(COCO, metric='nothing'), 'coco/bbox_mAP', CLASSES, 'boxes')
    assert MMLogger.get_current_instance().level < logging.CRITICAL


def test_it_is_tried_on_an_image():
    from autokd_mm.task.own_metric import own_metric
    student = torch.nn.Identity().train()
    student.data_preprocessor = lambda data, training: dict(
        inputs=torch.stack(data['inputs']).float(), data_samples=data['data_samples'])
    student.predict = Classifier().predict
    dataset = SimpleNamespace(metainfo=CLASSES)
    arguments = dict(type='mmpretrain.Accuracy'), 'accuracy/top1', dataset, 'label', student
    sample = DataSample().set_gt_label(2)
    make = own_metric(*arguments, torch.tensor([1, 2, 3]), sample)
    assert make() is not make() and np.isnan(make().value()) and student.training
    with pytest.raises(ConfigError, match="^train_cfg.metric='accuracy/top1': it cannot be "
                                          'measured on the held-out images'):
        own_metric(*arguments, torch.zeros(2, 2, 2), sample)
