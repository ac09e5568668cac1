"""Which loss a student has on held-out images, found out on one image."""
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import nn

from autokd_mm.errors import ConfigError
from autokd_mm.measure.losses import EVALUATION, NONE, TRAINING
from autokd_mm.registry import MODELS
from autokd_mm.task.held_out_loss import find_loss


class Student(nn.Module):
    """Its head computes what a test says."""

    def __init__(self, loss):
        super().__init__()
        self.bbox_head = nn.Module()
        self.norm = nn.BatchNorm2d(3)
        self.of_head = loss

    def data_preprocessor(self, data, training):
        assert training
        return dict(data, inputs=torch.stack(data['inputs']).float())

    def forward(self, inputs, samples, mode):
        assert mode == 'loss' and inputs.shape[1:] == (3, 4, 6)
        return dict(loss=self.of_head(self, self.norm(inputs), samples))


def looked(loss):
    said, student = [], Student(loss).train()
    sample = DetDataSample(gt_instances=InstanceData(labels=torch.arange(2)))
    before = {name: value.clone() for name, value in student.state_dict().items()}
    try:
        mode = find_loss(student, torch.ones(3, 4, 6, dtype=torch.uint8), sample, 'boxes',
                         said.append)
    finally:
        assert all(module.training for module in student.modules())
        assert all(torch.equal(value, before[name])
                   for name, value in student.state_dict().items())
    return mode, said


def test_evaluation_says_nothing():
    assert looked(lambda student, x, samples: x.mean()) == (EVALUATION, [])


def only_in_training(student, x, samples):
    if not student.training:
        raise TypeError('missing 3 required positional arguments')
    return x.mean()


@pytest.mark.parametrize('loss, words', [
    (only_in_training, 'Student has its loss in training only'),
    (lambda student, x, samples: x.mean() + student.training, 'Student has another loss in tra')])
def test_training_is_said_once(loss, words):
    mode, said = looked(loss)
    assert mode == TRAINING and len(said) == 1 and words in said[0]


def only_of_two(student, x, samples):
    if len(samples) < 2:
        raise ValueError('one image\nis not enough')
    return x.mean()


def test_no_loss_to_measure():
    mode, said = looked(only_of_two)
    assert mode == NONE and said == [
        'held-out loss: none, neither in evaluation nor in training (one image); metric and gap '
        'are measured alone']


@pytest.mark.parametrize('loss, words', [
    (lambda student, x, samples: samples[0].gt_instances.masks,
     r'needs gt_instances.masks, which .*\(with_mask=True in LoadAnnotations\)$'),
    (lambda student, x, samples: samples[0].gt_sem_seg,
     r'needs gt_sem_seg, .*\(with_seg=True in LoadAnnotations\)$'),
    (lambda student, x, samples: samples[0].gt_instances.texts,
     'needs gt_instances.texts, .*not as numbers$'),
])
def test_annotations_that_nobody_has_packed(loss, words):
    with pytest.raises(ConfigError, match='^train_dataloader.dataset.pipeline: the loss of Student '
                       + words):
        looked(loss)


def test_a_student_without_any_loss():
    def loss(student, x, samples):
        raise RuntimeError('mat1 and mat2 shapes cannot be multiplied')
    with pytest.raises(ConfigError, match=r'^model.architecture: the loss of Student cannot be '
                       r'computed on images of train_dataloader \(RuntimeError: mat1'):
        looked(loss)


def test_a_class_label_goes_to_where_the_images_are():
    """A search of a classifier would end here on a GPU: its samples see no preprocessor."""
    from mmpretrain.structures import DataSample
    from pretend_device import pretend_cuda
    config = dict(type='mmpretrain.ImageClassifier', _scope_='mmpretrain',
                  backbone=dict(type='mmrazor.CifarResNet', depth=8, base_channels=2),
                  neck=dict(type='GlobalAveragePooling'),
                  head=dict(type='LinearClsHead', num_classes=3, in_channels=8,
                            loss=dict(type='CrossEntropyLoss')))
    with pretend_cuda():
        student = MODELS.build(config).to('cuda')
        sample = DataSample().set_gt_label(1)
        pixels = torch.zeros(3, 8, 8, dtype=torch.uint8)
        assert find_loss(student, pixels, sample, 'label', print) == EVALUATION
