"""Files that an init_cfg names, and of which MMEngine takes what has the same names."""
import pytest
import torch
from mmengine.model import BaseModule
from torch import nn

from autokd_mm.errors import CheckpointError
from autokd_mm.models.algorithms.pretrained import not_pretrained, refuse_not_pretrained


class Backbone(BaseModule):
    def __init__(self, init_cfg=None, convs=('conv1', 'conv2'), channels=3):
        super().__init__(init_cfg)
        for number, name in enumerate(convs):
            setattr(self, name, nn.Conv2d(4 if number else channels, 4, 3))
        self.bn = nn.BatchNorm2d(4)


class Renaming(Backbone):
    """As mmdet's Swin: reads the file itself, under names and in shapes of its own."""

    def init_weights(self):
        weights = torch.load(self.init_cfg['checkpoint'], weights_only=True)
        self.load_state_dict({name.replace('conv', 'layer'): value.flip(0)
                              for name, value in weights.items()}, strict=False)


class Network(BaseModule):
    def __init__(self, backbone, init_cfg=None):
        super().__init__(init_cfg)
        self.backbone, self.head = backbone, nn.Linear(4, 2)


@pytest.fixture
def file(tmp_path):
    def file(prefix='', **values):
        path = tmp_path / f'file{len(list(tmp_path.iterdir()))}.pth'
        torch.save({prefix + name: value
                    for name, value in Backbone(**values).state_dict().items()}, str(path))
        return str(path)
    return file


def initialised(backbone, **values):
    network = Network(backbone, **values)
    network.init_weights()
    return network


def pretrained(checkpoint, **values):
    return dict(type='Pretrained', checkpoint=checkpoint, **values)


@pytest.mark.parametrize('values', [
    {}, dict(channels=4),  # another stem
    dict(prefix='backbone.')])
def test_a_file_of_the_network(file, values):
    prefix = values.get('prefix')
    own = pretrained(file(**values), **(dict(prefix=prefix) if prefix else {}))
    assert not_pretrained(initialised(Backbone(own)), 'model') is None
    assert not_pretrained(initialised(Backbone([dict(type='Kaiming', layer='Conv2d'), own])),
                          'model') is None


def test_a_file_with_other_names_for_the_same_layers(file):
    path = file(convs=('conv1', 'depthwise'))
    network = initialised(Backbone(pretrained(path), convs=('conv1', 'conv2', 'conv3')))
    line = not_pretrained(network, 'model.teacher')
    assert line.startswith('model.teacher.backbone.init_cfg.checkpoint: 27% of the values of '
                           f'Backbone come from {path}, 50% are needed: it has depthwise.weight, '
                           'the network has conv2.weight; ')
    with pytest.raises(CheckpointError, match='^model.backbone.init_cfg.checkpoint: '):
        refuse_not_pretrained(network)


def test_values_that_all_networks_have_say_nothing(file):
    """Untrained norms: ones and zeros."""
    network = initialised(Backbone(pretrained(file(convs=('a', 'b')))))
    assert '0% of the values' in not_pretrained(network, 'model')


def test_a_backbone_that_renames_what_it_loads(file):
    own = pretrained(file())
    assert not_pretrained(initialised(Renaming(own, convs=('layer1', 'layer2'))), 'model') is None


def test_a_file_of_the_whole_network_hides_those_of_its_parts(file, tmp_path):
    whole = str(tmp_path / 'whole.pth')
    torch.save(Network(Backbone()).state_dict(), whole)
    network = initialised(Backbone(pretrained(file())), init_cfg=pretrained(whole))
    network.load_state_dict(torch.load(whole, weights_only=True))
    assert not_pretrained(network, 'model') is None
    other = initialised(Backbone(), init_cfg=pretrained(file()))
    assert not_pretrained(other, 'model').startswith('model.init_cfg.checkpoint: 0% ')


def test_a_file_that_only_mmengine_reads(file, tmp_path):
    network = initialised(Backbone(pretrained(file(convs=('a', 'b')))))
    network.backbone.init_cfg['checkpoint'] = str(tmp_path / 'gone.pth')
    assert not_pretrained(network, 'model') is None
