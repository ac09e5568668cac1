"""The networks of the literature's CIFAR-100 pairs: the shipped configs against CRD's code."""
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from published_networks import NETWORKS, parameters, state_dict

from autokd_mm.models.algorithms.teacher import load_teacher
from autokd_mm.models.backbones import convert_checkpoint
from autokd_mm.models.backbones.published import NETWORKS as LABELS
from autokd_mm.registry import MODELS

BASES = Path(__file__).resolve().parents[3] / 'configs' / '_base_' / 'models' / 'cifar100'


@lru_cache(maxsize=None)
def shapes(name):
    return NETWORKS[name][1]()


def network(name):
    config = Config.fromfile(str(BASES / f'{name}.py'))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(config[name.replace('-', '_')])


def test_a_config_and_a_label_for_each_network():
    # DeiT is MMPretrain's own
    assert {path.stem for path in BASES.glob('*.py')} - {'deit-tiny'} == set(NETWORKS)
    assert set(NETWORKS) <= set(LABELS)


@pytest.mark.parametrize('name', NETWORKS)
def test_published_number_of_parameters_and_gradients_for_all(name):
    model = network(name)
    assert parameters(shapes(name)) == NETWORKS[name][0]  # the count by hand is CRD's
    assert sum(value.numel() for value in model.parameters()) == NETWORKS[name][0]
    torch.manual_seed(0)
    model.init_weights()
    samples = [DataSample().set_gt_label(label) for label in (3, 97)]
    loss = model.loss(torch.randn(2, 3, 32, 32), samples)['loss']
    loss.backward()
    assert torch.isfinite(loss)
    gradients = {key: value.grad for key, value in model.named_parameters()}
    assert [key for key, value in gradients.items()
            if value is None or not torch.isfinite(value).all()] == []
    # A bias in front of BatchNorm, as VGG's have, changes nothing.
    assert [key for key, value in gradients.items() if not value.abs().sum() > 0
            and not (name.startswith('vgg') and key.endswith('.bias'))] == []


@pytest.mark.parametrize('name', NETWORKS)
def test_published_checkpoint_is_converted_strictly_and_read_as_a_teacher(name, tmp_path):
    weights = state_dict(shapes(name))
    converted, backbone = convert_checkpoint({'model': weights, 'epoch': 240}, name)
    model = network(name)
    model.load_state_dict(converted, strict=True)
    # Every published tensor has found a place of its own.
    assert {value.data_ptr() for value in converted.values()} == \
        {value.data_ptr() for value in weights.values()}
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        own = MODELS.build(backbone).state_dict()
    assert {key: value.shape for key, value in own.items()} == \
        {key: value.shape for key, value in model.backbone.state_dict().items()}
    path = tmp_path / 'ckpt_epoch_240.pth'
    # CRD's files are from before PyTorch wrote zip archives.
    torch.save({'model': weights, 'epoch': 240, 'accuracy': torch.tensor(75.61)}, path,
               _use_new_zipfile_serialization=False)
    teacher = network(name)
    load_teacher(teacher, str(path))
    loaded = teacher.state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in converted.items())


@pytest.mark.parametrize('name, published, ours', [
    ('wrn-40-2', 'block2.layer.0.convShortcut.weight', 'backbone.layer2.0.downsample.weight'),
    ('wrn-40-2', 'block3.layer.5.bn2.running_var', 'backbone.layer3.5.bn2.running_var'),
    ('resnet50', 'layer3.0.shortcut.1.bias', 'backbone.layer3.0.downsample.1.bias'),
    ('resnet32x4', 'layer1.0.downsample.0.weight', 'backbone.layer1.0.downsample.0.weight'),
    ('vgg13', 'block3.4.running_mean', 'backbone.block3.4.running_mean'),
    ('vgg13', 'classifier.weight', 'head.fc.weight'),
    ('mobilenetv2', 'classifier.0.bias', 'head.fc.bias'),
    ('shufflenetv2', 'layer2.0.conv2.weight', 'backbone.layers.1.0.branch1.1.conv.weight'),
    ('shufflenetv2', 'layer2.0.bn5.weight', 'backbone.layers.1.0.branch2.2.bn.weight'),
    ('shufflenetv2', 'layer2.3.conv2.weight', 'backbone.layers.1.3.branch2.1.conv.weight'),
    ('shufflenetv2', 'conv2.weight', 'backbone.layers.3.conv.weight'),
])
def test_where_a_published_weight_goes(name, published, ours):
    weights = state_dict(shapes(name))
    assert convert_checkpoint(weights)[0][ours] is weights[published]


@pytest.mark.parametrize('name', ['wrn-16-2', 'vgg8', 'mobilenetv2', 'shufflenetv1',
                                  'shufflenetv2', 'resnet50'])
def test_incomplete_and_foreign_files_are_refused(name):
    weights = state_dict(shapes(name))
    with pytest.raises(ValueError, match=f'the checkpoint is a {name}, not a resnet20'):
        convert_checkpoint(weights, 'resnet20')
    with pytest.raises(ValueError, match='1 unknown keys such as features.0.weight'):
        convert_checkpoint(dict(weights, **{'features.0.weight': torch.ones(1)}))
    key = next(key for key in reversed(list(weights)) if key.endswith('running_var'))
    del weights[key]
    with pytest.raises(ValueError, match=r'has no backbone\..*running_var \(1 such keys\) for a '
                       + name):
        convert_checkpoint(weights)
