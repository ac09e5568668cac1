"""Tiny classifiers on 16x16 images, distilled by MMRazor's algorithm or by ours."""
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from torch import nn

from autokd_mm.registry import MODELS

STUDENT_SIDE = dict(type='ClsDataPreprocessor', num_classes=10, mean=[125., 123., 114.],
                    std=[52., 51., 53.], to_rgb=True)


class Toy(BaseModel):
    """conv - bn - relu in place - dropout - fc, for 3 classes."""

    def __init__(self, drop=0.0):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.act = nn.ModuleList([nn.ReLU(inplace=True)])
        self.drop, self.fc = nn.Dropout(drop), nn.Linear(4, 3)
        self.calls = []

    def forward(self, inputs, data_samples=None, mode='tensor'):
        self.calls.append(mode)
        out = self.act[0](self.bn(self.conv(inputs)))
        out = self.fc(self.drop(out).mean((2, 3)))
        return dict(loss=out.square().mean()) if mode == 'loss' else out


@pytest.fixture
def toy():
    """(drop) -> a toy classifier."""
    return Toy


def classifier(preprocessor=STUDENT_SIDE, channels=4, depth=8):
    return dict(
        type='ImageClassifier', data_preprocessor=preprocessor and dict(preprocessor),
        backbone=dict(type='mmrazor.CifarResNet', depth=depth, base_channels=channels),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=10, in_channels=4 * channels,
                  loss=dict(type='CrossEntropyLoss')))


def distiller(feature='backbone.layer3', **options):
    recorders = dict(feature=dict(type='mmrazor.ModuleOutputs', source=feature),
                     logits=dict(type='mmrazor.ModuleOutputs', source='head.fc'))

    def mapping(name, **connector):
        return dict(student=dict(recorder=name, from_student=True, **connector),
                    teacher=dict(recorder=name, from_student=False))

    return dict(dict(
        type='mmrazor.ConfigurableDistiller', student_recorders=recorders,
        teacher_recorders=recorders,
        connectors=dict(feature=dict(type='mmrazor.ConvConnector', in_channels=16,
                                     out_channels=32)),
        distill_losses=dict(loss_feature=dict(type='mmrazor.FeatureLoss'),
                            loss_logits=dict(type='mmrazor.LogitsLoss')),
        loss_forward_mappings=dict(loss_feature=mapping('feature', connector='feature'),
                                   loss_logits=mapping('logits'))), **options)


@pytest.fixture
def configs():
    """The functions that make configs of a classifier and of a distiller."""
    return classifier, distiller


@pytest.fixture
def build():
    """(type, **kwargs) -> an algorithm between tiny classifiers."""

    def make(kind='FrozenTeacherDistill', **kwargs):
        torch.manual_seed(0)
        config = dict(type=f'mmrazor.{kind}', architecture=classifier(),
                      teacher=classifier(channels=8), distiller=distiller())
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            return MODELS.build(dict(config, **kwargs))

    return make


@pytest.fixture
def batch():
    """Raw images as a dataloader gives them."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (8, 3, 16, 16), generator=generator, dtype=torch.uint8)
    return dict(inputs=list(images),
                data_samples=[DataSample().set_gt_label(i) for i in range(8)])
