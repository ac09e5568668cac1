"""The rest of the teacher's head as a connector: frozen, deaf and no part of the model."""
import copy

import pytest
import torch
from torch import nn

from autokd_mm.errors import ConfigError
from autokd_mm.models.connectors import CrossHeadConnector

NAMES = ['head.convs.1', 'head.out']


def teacher(norm=nn.BatchNorm2d):
    torch.manual_seed(0)
    head = nn.Module()
    head.convs = nn.ModuleList([nn.Conv2d(4, 4, 3, padding=1),
                                nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), norm(4), nn.ReLU())])
    head.out = nn.Conv2d(4, 6, 1)
    found = nn.Module()
    found.head = head
    head.convs[1][1].running_mean.normal_()
    head.convs[1][1].running_var.uniform_(0.5, 2)
    return found.eval()


def connector(network, names=NAMES):
    found = CrossHeadConnector(names)
    found.borrow(network, 'connectors.one.modules')
    return found


@pytest.mark.parametrize('norm', [nn.BatchNorm2d, nn.SyncBatchNorm])
def test_it_is_the_teachers_head_with_its_statistics_and_the_gradient_flows_through(norm):
    network, feature = teacher(norm), torch.randn(2, 4, 5, 5, requires_grad=True)
    found = connector(network).train()
    out = found(feature)
    out.square().sum().backward()
    grad, feature.grad = feature.grad, None
    wanted = network.head.out(network.head.convs[1](feature))
    wanted.square().sum().backward()
    assert torch.equal(out, wanted) and torch.equal(grad, feature.grad)
    before = network.head.convs[1][1].running_mean.clone()
    network.requires_grad_(True).zero_grad(set_to_none=True)
    found(feature).sum().backward()
    assert all(one.grad is None for one in network.parameters())
    assert torch.equal(before, network.head.convs[1][1].running_mean)


def test_nobody_who_listens_to_the_teacher_hears_it():
    network, heard = teacher(), []
    network.head.out.register_forward_hook(lambda *args: heard.append(args))
    connector(network)(torch.randn(1, 4, 3, 3))
    assert not heard
    network.head.out(torch.randn(1, 4, 3, 3))
    assert len(heard) == 1


def test_nothing_of_it_is_in_the_model_and_copies_share_it():
    found = connector(teacher())
    feature = torch.randn(1, 4, 3, 3)
    out = found(feature)
    assert not found.state_dict() and not list(found.parameters()) and not list(found.children())
    twin = copy.deepcopy(found)
    assert torch.equal(twin(feature), out) and twin._borrowed is found._borrowed


def test_it_has_the_weights_of_the_first_feature():
    network = teacher()
    found = connector(network)
    nn.init.ones_(network.head.out.weight)
    feature = torch.randn(1, 4, 3, 3)
    assert torch.equal(found(feature), network.head.out(network.head.convs[1](feature)))


@pytest.mark.parametrize('modules', ['head.out', [], [1]])
def test_modules_must_be_names(modules):
    with pytest.raises(ConfigError, match="CrossHeadConnector.modules must be a list of names"):
        CrossHeadConnector(modules)


def test_mistakes_are_one_line():
    with pytest.raises(ConfigError, match="connectors.one.modules: 'head.outs' is unknown, did you "
                                          "mean 'head.out'"):
        connector(teacher(), ['head.outs'])
    with pytest.raises(ConfigError, match='there is no teacher'):
        CrossHeadConnector(NAMES)(torch.randn(1, 4, 3, 3))
    with pytest.raises(ConfigError, match="'head.out' of the teacher takes 4 channels, and the "
                                          "student's feature has 5"):
        connector(teacher(), ['head.out'])(torch.randn(1, 5, 3, 3))
