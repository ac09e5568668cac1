"""One pass through a network, to look at tensors."""
import pytest
import torch
from mmengine.structures import BaseDataElement
from torch import nn

from autokd_mm.errors import ConfigError
from autokd_mm.layers import tensors_at
from autokd_mm.layers.tensors import until_boxes


class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.ran = nn.Conv2d(4, 2, 1), 0

    def forward(self, x):
        self.ran += 1
        return self.fc(x)


class Detector(nn.Module):
    """Calls its RoI head by name, as MMDetection's do; asks the samples how large the batch is."""

    def __init__(self):
        super().__init__()
        self.neck, self.roi_head = nn.Conv2d(3, 4, 3, 2, 1), Heads()

    def forward(self, inputs, samples=None, mode='tensor'):
        assert [sample.batch_input_shape for sample in samples] == [tuple(inputs.shape[2:])]
        assert samples[0].pad_shape == samples[0].batch_input_shape
        return self.roi_head.forward(self.neck(inputs))


@pytest.mark.parametrize('layer, runs, channels', [('neck', 0, 4), ('roi_head.fc', 1, 2)])
def test_an_roi_head_runs_where_somebody_listens(layer, runs, channels):
    network = Detector()
    found = tensors_at(network, dict(student=[layer]), torch.rand(1, 3, 8, 12),
                       [BaseDataElement()])['student'][0]
    assert (found.shape, network.roi_head.ran) == ((channels, 4, 6), runs)
    network.roi_head.forward(torch.rand(1, 4, 2, 2))  # it is as before
    assert network.roi_head.ran == runs + 1


def test_a_mistake_in_front_of_the_boxes_is_not_hidden():
    network = Detector()
    with pytest.raises(RuntimeError), until_boxes(network, ()):
        network.neck(torch.rand(1, 1, 8, 8))
    assert 'forward' not in vars(network.roi_head)


def test_a_network_that_cannot_take_its_images_is_one_line():
    network = Detector()
    network.roi_head = nn.Identity()
    with pytest.raises(ConfigError, match=r'^model.teacher \(Detector\): it cannot take an image '
                                          'of train_dataloader: Given groups=1, weight of size'):
        tensors_at(network, dict(teacher=['roi_head']), torch.rand(1, 1, 8, 8),
                   [BaseDataElement()], key='model.teacher')


class Stages(nn.Module):
    """Calls what a list holds; the list itself never runs."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)])

    def forward(self, inputs, samples=None, mode='tensor'):
        return self.layers[1](self.layers[0](inputs))


@pytest.mark.parametrize('layer, hint', [('layers[1]', r", did you mean 'layers\.1'\?$"),
                                         ('layers[7]', '$'), ('layers', '$')])
def test_a_list_of_layers_does_not_run(layer, hint):
    with pytest.raises(ConfigError, match="^layers.student: 'layers' does not run in a forward "
                                          f'pass{hint}'):
        tensors_at(Stages(), dict(student=[layer]), torch.rand(1, 3, 8, 8))
