"""A search whose teacher is one of timm's networks."""
import pytest
import torch
from mmengine.config import Config

from autokd_mm.models.algorithms.teacher import load_network
from autokd_mm.registry import MODELS

timm = pytest.importorskip('timm')

TEACHER = """
model.update(
    teacher=dict(
        _delete_=True, type='TimmClassifier', model_name='test_resnet', pretrained=False,
        in_chans=1, num_classes=10,
        data_preprocessor=dict(mean=[78.35], std=[95.95], num_classes=10)),
    teacher_ckpt=None)
train_cfg.update(
    rejection=None, pruner=None, final_round=None, train_teacher=True, warm_start=['SP', 'KD'],
    layers=dict(student='backbone.layer3', teacher='model.layer4',
                student_logits='head.fc', teacher_logits='model.fc'))
teacher_ckpt = None
"""


def test_from_the_teachers_training_to_the_found_distiller(tool, search_config, tmp_path):
    search_config.write_text(search_config.read_text() + TEACHER)
    folder = tmp_path / 'work'
    out = tool('search', search_config, '--work-dir', folder, '--trials', 2)
    assert 'trial 1: reward' in out
    config = Config.fromfile(str(folder / 'best_distiller.py'))
    # What the search has trained is a checkpoint for timm.
    weights = torch.load(str(folder / 'teacher.pth'), weights_only=True)['state_dict']
    network = timm.create_model('test_resnet', in_chans=1, num_classes=10)
    network.load_state_dict(weights)
    tool('train', folder / 'best_distiller.py', '--work-dir', tmp_path / 'trained')
    model = MODELS.build(dict(config.model.teacher, _scope_='mmpretrain'))
    load_network(model, str(folder / 'teacher.pth'), 'teacher_ckpt')
    images = torch.rand(2, 1, 32, 32)
    assert torch.equal(model.eval()(images), network.eval()(images))


TOKENS = TEACHER.replace("'test_resnet'", "'vit_small_patch14_reg4_dinov2', img_size=8, "
                         "patch_size=2, embed_dim=16, depth=2, num_heads=2").replace(
    'model.layer4', 'model.blocks.1').replace("'model.fc'", "'model.head'")


def test_tokens_with_registers_teach_a_convolutional_network(tool, search_config, tmp_path):
    search_config.write_text(search_config.read_text() + TOKENS.replace("'SP', 'KD'", "'FitNet'"))
    folder = tmp_path / 'work'
    tool('search', search_config, '--work-dir', folder, '--trials', 1)
    connectors = Config.fromfile(str(folder / 'best_distiller.py')).model.distiller.connectors
    assert connectors.feature_teacher == dict(type='mmrazor.IdentityConnector', extra_tokens=5)
    assert tuple(connectors.feature['size']) == (4, 4)
    tool('train', folder / 'best_distiller.py', '--work-dir', tmp_path / 'trained')


def test_published_weights_are_read_as_they_are(tmp_path):
    """DeiT's file has them under 'model'."""
    network = timm.create_model('regnety_002', num_classes=10).eval()
    torch.save(dict(model=network.state_dict()), str(tmp_path / 'regnety.pth'))
    model = MODELS.build(dict(type='mmpretrain.TimmClassifier', model_name='regnety_002',
                              num_classes=10)).eval()
    images = torch.rand(2, 3, 64, 64)
    assert not torch.equal(model(images), network(images))
    load_network(model, str(tmp_path / 'regnety.pth'), 'teacher_ckpt')
    assert torch.equal(model(images), network(images))
