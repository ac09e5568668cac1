"""What a step of a loop ends on: networks of other packages, or a fault of ours."""
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import EpochBasedTrainLoop

from autokd_mm.engine import refused_network as module
from autokd_mm.engine.refused_network import refused_network


class Network(BaseModel):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(3, 2)

    def forward(self, inputs, data_samples=None, mode='loss'):
        return dict(loss=self.fc(inputs).sum())

    def train_step(self, data, optim_wrapper):
        return self(**data)


class Loop(EpochBasedTrainLoop):
    """As far as one step goes."""

    def __init__(self, model):
        self._runner = type('Runner', (), dict(
            model=model, optim_wrapper=None, call_hook=lambda self, *args, **kwargs: None))()
        self._iter = 0


def ended(model, inputs):
    with pytest.raises(RuntimeError) as error:
        Loop(model).run_iter(0, dict(inputs=inputs))
    return error.value


def test_a_network_whose_parts_do_not_fit():
    found = refused_network(ended(Network(), torch.ones(1, 4)))
    assert str(found).startswith('model (Network): it cannot take the images of train_dataloader: '
                                 'mat1 and mat2 shapes')


def test_what_our_own_code_raises_is_no_mistake(monkeypatch):
    error = ended(Network(), torch.ones(1, 4))
    monkeypatch.setattr(module, 'ours', lambda frame: frame.f_code is Network.forward.__code__)
    assert refused_network(error) is None
    # Where it hands images on, the innermost frame decides.
    monkeypatch.setattr(module, '_hands_on', lambda frame: True)
    assert refused_network(error) is not None
    last = error.__traceback__
    while last.tb_next is not None:
        last = last.tb_next
    monkeypatch.setattr(module, 'ours', lambda frame: frame is last.tb_frame)
    assert refused_network(error) is None


def test_a_device_and_other_places_are_not_meant():
    assert refused_network(RuntimeError('CUDA error: device-side assert')) is None
    assert refused_network(RuntimeError('mat1 and mat2')) is None
