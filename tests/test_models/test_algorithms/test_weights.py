"""What of a file a network starts with."""
import pytest
import torch
from torch import nn

from autokd_mm.errors import CheckpointError
from autokd_mm.models.algorithms.weights import start


def network(width=4, classes=3):
    model = nn.Sequential()
    model.add_module('backbone', nn.Sequential(nn.Conv2d(1, width, 3), nn.BatchNorm2d(width),
                                               nn.Conv2d(width, width, 3)))
    model.add_module('head', nn.Linear(width, classes))
    return model


@pytest.fixture
def own():
    return network().state_dict()


@pytest.mark.parametrize('prefix', ['', 'module.', 'architecture.', 'module.architecture.',
                                    'student.', 'model.', 'detector.'])
def test_any_prefix(own, prefix):
    weights = {prefix + name: value for name, value in network().state_dict().items()}
    weights['distiller.connectors.x.weight'] = torch.ones(2)
    found = start(own, weights, 'load_from', 'a.pth')
    assert {name: value.tolist() for name, value in found.fits.items()} == {
        name: weights[prefix + name].tolist() for name in own}
    assert found.in_words('a.pth') == 'a.pth: 10 of 10 tensors fit (100.0% of the numbers)'


def test_a_head_for_other_classes_is_left_out(own):
    line = start(own, network(classes=5).state_dict(), 'load_from', 'a.pth').in_words('a.pth')
    assert line.startswith('a.pth: 8 of 10 tensors fit (') and line.endswith(
        'left out because of their shape: head.weight (5, 4) there and (3, 4) here, '
        'head.bias (5,) there and (3,) here; these stay as initialised')


@pytest.mark.parametrize('prefix', ['', 'backbone.'])
def test_a_backbone_alone(own, prefix):
    weights = {prefix + name: value for name, value in network().backbone.state_dict().items()}
    found = start(own, weights, 'load_from', 'a.pth')
    assert found.missing == ['head.weight', 'head.bias'] and not found.differ
    assert 'not there: head.weight, head.bias; these stay' in found.in_words('a.pth')


def test_another_width(own):
    with pytest.raises(CheckpointError, match=r'load_from: a.pth is of another network: 1 of the '
                       r'10 .*backbone.0.weight has shape \(6, 1, 3, 3\) there and \(4, 1, 3, 3\)'):
        start(own, network(width=6).state_dict(), 'load_from', 'a.pth')


@pytest.mark.parametrize('weights', [{}, dict(other=torch.ones(2)), dict(epoch=3)])
def test_nothing_fits(own, weights):
    with pytest.raises(CheckpointError, match='0 of the 10 tensors here fit'):
        start(own, weights, 'load_from', 'a.pth')
