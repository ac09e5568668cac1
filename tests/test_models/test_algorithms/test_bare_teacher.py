"""Teachers without a head, and of another task."""
import copy

import pytest
import torch
from mmengine.registry import DefaultScope
from torch import nn

from autokd_mm.errors import CheckpointError
from autokd_mm.models.algorithms import BareTeacher, predicts_as
from autokd_mm.models.algorithms.bare_teacher import with_body
from autokd_mm.models.algorithms.teacher import load_network
from autokd_mm.registry import MODELS

timm = pytest.importorskip('timm')

BARE = dict(type='mmpretrain.TIMMBackbone', model_name='test_resnet', features_only=True)
MEAN = dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0])


@pytest.mark.parametrize('default', ['mmdet', 'mmseg', 'mmpretrain'])
def test_a_network_without_a_head_becomes_a_teacher(default):
    with DefaultScope.overwrite_default_scope(default):
        teacher = MODELS.build(with_body(dict(BARE, data_preprocessor=dict(MEAN))))
    assert isinstance(teacher, BareTeacher)
    assert teacher.data_preprocessor.mean.flatten().tolist() == MEAN['mean']
    images = torch.rand(2, 3, 64, 96)
    found = teacher.eval()(images, None, mode='tensor')
    for one, other in zip(found, teacher.backbone.timm_model(images)):
        assert torch.equal(one, other)
    config = dict(type='mmrazor.FrozenTeacherDistill')
    assert with_body(config) is config and with_body(teacher) is teacher
    assert not hasattr(MODELS.build(with_body(copy.deepcopy(BARE))).data_preprocessor, 'mean')


def test_who_makes_the_students_predictions():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        backbone = dict(type='ResNet', depth=18, base_channels=4, stem_channels=4)
        classifier = MODELS.build(dict(
            type='ImageClassifier', backbone=backbone, neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LinearClsHead', num_classes=3, in_channels=32)))
        headless = MODELS.build(dict(type='ImageClassifier', backbone=backbone))
    import dense_tasks
    with DefaultScope.overwrite_default_scope('mmdet'):
        detector = MODELS.build(dense_tasks.retinanet())
    bare = BareTeacher(nn.Conv2d(3, 3, 1))
    assert predicts_as(classifier, classifier) and predicts_as(detector, detector)
    assert not predicts_as(classifier, detector) and not predicts_as(detector, classifier)
    assert not predicts_as(headless, classifier) and not predicts_as(bare, detector)
    assert predicts_as(nn.Linear(1, 1), detector)  # the user's own


@pytest.mark.parametrize('name, arguments', [
    ('test_resnet', {}), ('test_vit2', dict(dynamic_img_size=True)),
    ('swin_tiny_patch4_window7_224', dict(img_size=64, window_size=4, embed_dim=12,
                                          depths=(1, 1, 1), num_heads=(1, 2, 3)))])
def test_weights_of_timm_from_a_file(tmp_path, name, arguments):
    """No download: what timm has saved, into the network that gives its features alone."""
    path = str(tmp_path / 'timm.pth')
    network = timm.create_model(name, **arguments)
    for value in network.state_dict().values():
        if value.is_floating_point():
            value.normal_(0.5, 0.1)
    torch.save(network.state_dict(), path)
    known = list(network.state_dict().values())
    for only in (True, False):
        teacher = MODELS.build(with_body(dict(BARE, model_name=name, features_only=only,
                                              **arguments)))
        load_network(teacher, path, 'teacher_ckpt')
        for key, value in teacher.state_dict().items():
            assert any(value.shape == other.shape and torch.equal(value, other)
                       for other in known), key
    with pytest.raises(CheckpointError, match='is of another network'):
        load_network(MODELS.build(with_body(dict(BARE, model_name='test_efficientnet'))), path,
                     'teacher_ckpt')
