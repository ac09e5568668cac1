import pytest
import torch

from autokd_mm.models.backbones import (
    CifarResNet,
    convert_checkpoint,
    infer_arch,
    to_classifier_state_dict,
)


def ours(depth=8, shortcut='pad', classes=10):
    """A random classifier's weights under our names, counters at zero."""
    torch.manual_seed(0)
    backbone = CifarResNet(depth, shortcut=shortcut)
    weights = {f'backbone.{key}': value for key, value in backbone.state_dict().items()}
    weights['head.fc.weight'] = torch.randn(classes, 64)
    weights['head.fc.bias'] = torch.randn(classes)
    return weights


def akamaster(weights):
    """No counters, head called linear."""
    return {key.replace('backbone.', '').replace('head.fc.', 'linear.'): value
            for key, value in weights.items() if not key.endswith('num_batches_tracked')}


def chenyaofo(weights):
    return {key.replace('backbone.', '').replace('head.', ''): value
            for key, value in weights.items()}


def same(left, right):
    assert set(left) == set(right)
    assert all(torch.equal(left[key], right[key]) for key in left)


def test_akamaster_names_and_missing_counters():
    same(to_classifier_state_dict(akamaster(ours())), ours())


def test_chenyaofo_names():
    weights = ours(14, 'conv', 100)
    same(to_classifier_state_dict(chenyaofo(weights)), weights)


def test_module_prefix_and_shortcut_instead_of_downsample():
    weights = {f'module.{key}'.replace('.downsample.', '.shortcut.'): value
               for key, value in akamaster(ours(shortcut='conv')).items()}
    same(to_classifier_state_dict(weights), ours(shortcut='conv'))


@pytest.mark.parametrize('weights', [
    ours(),
    {'backbone.conv1.weight': torch.zeros(1), 'head.cls.weight': torch.zeros(1)},
    dict(chenyaofo(ours()), **{'layer4.0.conv1.weight': torch.zeros(1)}),  # torchvision's
    dict(chenyaofo(ours()), **{'linear.weight': torch.zeros(1)}),  # two heads
])
def test_everything_else_comes_back_unchanged(weights):
    assert to_classifier_state_dict(weights) is weights


def test_renaming_copies_nothing_and_keeps_the_input():
    weights = akamaster(ours())
    names = list(weights)
    renamed = to_classifier_state_dict(weights)
    assert list(weights) == names
    assert renamed['head.fc.bias'] is weights['linear.bias']


@pytest.mark.parametrize('wrap', [lambda x: x, lambda x: {'state_dict': x, 'best_prec1': 91.0},
                                  lambda x: {'model': x, 'epoch': 240}])
def test_state_dict_may_lie_deeper(wrap):
    state_dict, backbone = convert_checkpoint(wrap(akamaster(ours())))
    same(state_dict, ours())
    assert backbone == dict(type='mmrazor.CifarResNet', depth=8, base_channels=16, in_channels=3,
                            shortcut='pad')


def test_architecture_is_read_off_the_weights():
    assert infer_arch(chenyaofo(ours(56, 'conv', 100))) == (
        dict(type='mmrazor.CifarResNet', depth=56, base_channels=16, in_channels=3,
             shortcut='conv'), 100)


def test_converted_weights_are_those_of_the_network():
    state_dict, config = convert_checkpoint(akamaster(ours(14)), 'resnet14')
    config.pop('type')
    backbone = CifarResNet(**config)
    backbone.load_state_dict({key[len('backbone.'):]: value for key, value in state_dict.items()
                              if key.startswith('backbone.')}, strict=True)


def without(key):
    weights = akamaster(ours())
    del weights[key]
    return weights


@pytest.mark.parametrize('checkpoint, arch, words', [
    ({}, None, 'no state dict'),
    ({'state_dict': {}}, None, 'no state dict'),
    ({'epoch': 3}, None, 'no state dict'),
    ([1], None, 'no state dict'),
    (akamaster(ours()), 'resnet20', 'is a resnet8, not a resnet20'),
    (akamaster(ours()), 'resnet21', "arch: 'resnet21' is unknown, did you mean 'resnet"),
    (without('conv1.weight'), None, 'would become backbone.conv1.weight'),
    (without('linear.bias'), None, 'has no head.fc.bias'),
    (without('layer2.0.bn1.bias'), None, r'has no backbone.layer2.0.bn1.bias \(1 such'),
    (dict(akamaster(ours()), **{'layer1.0.conv1.scale': torch.ones(1)}), None,
     'has an unknown backbone.layer1.0.conv1.scale'),
    (dict(chenyaofo(ours()), **{'layer4.0.conv1.weight': torch.ones(1)}), None,
     'for a CIFAR ResNet it has 1 unknown keys such as layer4.0.conv1.weight'),
    (dict(akamaster(ours()), **{'layer4.0.conv1.weight': torch.ones(1)}), None,
     r"not a published network: blocks '\(1, 1, 1, 1\)' is unknown"),
    (dict(akamaster(ours()), **{'fc.weight': torch.ones(1)}), None,
     '1 unknown keys such as fc.weight'),
    (dict(akamaster(ours()), **{'layer1.9.conv1.weight': torch.ones(1)}), None,
     'has no backbone.layer1.1'),
    (dict(akamaster(ours()), **{'linear.weight': torch.ones(10, 32)}), None,
     r'head.fc.weight has shape \(10, 32\), a resnet8 needs \(10, 64\)'),
    (ours(), None, 'of an ImageClassifier already: nothing to convert'),
])
def test_strict_conversion_refuses_in_one_line(checkpoint, arch, words):
    with pytest.raises(ValueError, match=words) as raised:
        convert_checkpoint(checkpoint, arch)
    assert '\n' not in str(raised.value)
