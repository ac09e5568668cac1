import pytest
import torch
from torch import nn

from autokd_mm.errors import ConfigError
from autokd_mm.layers.capture import capture, find_layer, map_shape


class Net(nn.Module):

    def __init__(self, inplace=False):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3)
        self.relu = nn.ReLU(inplace=inplace)
        self.pair = Pair()
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = self.pair(self.relu(self.conv1(x)))[0]
        return self.head(x.mean((2, 3)))


class Pair(nn.Module):

    def forward(self, x):
        return x, x


def test_last_output_by_role():
    net, x = Net(), torch.rand(2, 1, 5, 5)
    with capture(net, dict(feature='conv1', logits='head')) as outputs:
        net(x)
        out = net(x + 1)
    assert torch.equal(outputs['feature'], net.conv1(x + 1))
    assert torch.equal(outputs['logits'], out)
    with capture(net, dict(feature='conv1')):
        pass
    assert not net.conv1._forward_hooks and not net.head._forward_hooks


@pytest.mark.parametrize('layer, near', [('conv2', 'conv1'), ('head.fc', 'head'), ('', 'conv1'),
                                         (None, 'conv1'), (3, 'conv1')])
def test_missing_layer_shows_the_nearest(layer, near):
    with pytest.raises(ConfigError, match='layers.student: Net has no layer') as refused:
        find_layer(Net(), layer, 'layers.student')
    assert near in str(refused.value).split('the nearest are ')[1]
    assert '\n' not in str(refused.value)


def test_five_nearest():
    net = nn.Sequential(*[nn.ReLU() for _ in range(20)])
    with pytest.raises(ConfigError) as refused:
        find_layer(net, '21', 'layers.student')
    assert len(str(refused.value).split('the nearest are ')[1].split(', ')) == 5


def test_not_one_tensor_names_the_role():
    net = Net()
    with pytest.raises(ConfigError, match="layers.feature: 'pair' returns a tuple"):
        with capture(net, dict(feature='pair')):
            net(torch.rand(2, 1, 5, 5))
    assert not net.pair._forward_hooks


def test_output_that_is_overwritten_is_refused():
    net = Net(inplace=True)
    with pytest.raises(ConfigError, match="layers.feature: the output of 'conv1' is overwritten"):
        with capture(net, dict(feature='conv1')), torch.no_grad():
            net(torch.rand(2, 1, 5, 5))
    assert not net.conv1._forward_hooks


def test_map_shape():
    assert map_shape(torch.zeros(2, 3, 4, 5)) == (3, 4, 5)
    assert map_shape(torch.zeros(2, 7)) == (7, 1, 1)


class Twice(nn.Module):

    def __init__(self):
        super().__init__()
        self.pair, self.conv = Pair(), nn.Conv2d(1, 2, 1)

    def forward(self, x):
        first, second = self.pair(x)
        return self.conv(first), self.conv(second + 1)


def test_one_of_several_tensors_or_calls():
    """Of the last forward pass, whatever was before."""
    net, x = Twice(), torch.rand(2, 1, 5, 5)
    with capture(net, dict(a='pair[1]', b='conv[0]', c='conv[1]')) as outputs, torch.no_grad():
        net(x + 3)
        first, second = net(x)
        assert torch.equal(outputs['a'], x) and torch.equal(outputs['b'], first)
        assert torch.equal(outputs['c'], second)
    with pytest.raises(ConfigError, match=r"layers.a: 'pair\[2\]' is out of range, it returns 2"):
        with capture(net, dict(a='pair[2]')):
            net(x)
