"""The curve is what a Runner would do to the learning rate."""
import math

import pytest
import torch
from mmengine.dataset import DefaultSampler
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from autokd_mm.proxy.schedule import factor, lr_curve

BATCHES = 5
MULTI_STEP = dict(type='MultiStepLR', by_epoch=True, milestones=[3, 6], gamma=0.1)
COSINE = dict(type='CosineAnnealingLR', by_epoch=True, T_max=8, convert_to_iter_based=True)
WARM_UP = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=10),
           dict(type='MultiStepLR', by_epoch=True, milestones=[4], gamma=0.2)]


class Net(BaseModel):

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs, mode='tensor'):
        return dict(loss=self.weight.sum())




def runner_curve(schedulers, epochs, lr, folder, name):
    """Learning rates of all iterations of a real training."""
    from mmengine.hooks import Hook

    rates = []

    class Note(Hook):

        def before_train_iter(self, runner, batch_idx, data_batch=None):
            rates.append(runner.optim_wrapper.get_lr()['lr'][0] / lr)

    data = [dict(inputs=torch.zeros(1))] * BATCHES
    runner = Runner(
        Net(), work_dir=str(folder), experiment_name=name, log_level='ERROR',
        train_dataloader=DataLoader(data, batch_size=1, sampler=DefaultSampler(data)),
        train_cfg=dict(by_epoch=True, max_epochs=epochs, val_interval=100),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=lr)), param_scheduler=schedulers,
        default_hooks=dict(checkpoint=None, logger=None), custom_hooks=[Note()])
    runner.train()
    return rates


def test_multi_step():
    assert lr_curve(MULTI_STEP, 8, BATCHES) == pytest.approx([1] * 3 + [0.1] * 3 + [0.01] * 2)


def test_cosine_by_iteration():
    expected = [(1 + math.cos(math.pi * step / 40)) / 2 for step in range(40)]
    assert lr_curve([COSINE], 8, BATCHES) == pytest.approx(expected, abs=1e-9)


def test_warm_up_by_iteration_then_steps():
    curve = lr_curve(WARM_UP, 6, BATCHES)
    assert curve[:10] == pytest.approx([0.1 + 0.9 * step / 9 for step in range(10)])
    assert curve[10:20] == pytest.approx([1] * 10) and curve[20:] == pytest.approx([0.2] * 10)


@pytest.mark.parametrize('name, schedulers', [
    ('multi_step', MULTI_STEP), ('cosine', COSINE), ('warm_up', WARM_UP),
    ('eta_min', dict(type='CosineAnnealingLR', by_epoch=True, eta_min=0.01)),
    ('poly', [dict(type='LinearLR', start_factor=0.01, by_epoch=True, begin=0, end=2,
                   convert_to_iter_based=True),
              dict(type='PolyLR', power=0.9, begin=2, by_epoch=True)]),
    ('one_cycle', dict(type='OneCycleLR', eta_max=0.2, total_steps=8, by_epoch=True,
                       convert_to_iter_based=True)),
    ('with_momentum', [MULTI_STEP, dict(type='ConstantMomentum', factor=0.5)]),
])
def test_same_as_a_training(tmp_path, name, schedulers):
    lr, epochs = 0.05, 8
    trained = runner_curve(schedulers, epochs, lr, tmp_path, f'schedule_{name}')
    curve = lr_curve(schedulers, epochs, BATCHES, lr)
    repeat = len(trained) // len(curve)
    assert [rate for rate in curve for _ in range(repeat)] == pytest.approx(trained, rel=1e-9)


def test_none_is_constant():
    assert lr_curve(None, 10, 10) == [1.0] and lr_curve([], 10, 10) == [1.0]
    assert factor([1.0], 7, 8) == 1.0


def test_compressed_to_the_length_of_the_proxy():
    curve = lr_curve(MULTI_STEP, 8, BATCHES)
    assert [factor(curve, step, 16) for step in range(16)] == pytest.approx(
        [1] * 6 + [0.1] * 6 + [0.01] * 4)
    assert factor(curve, 16, 16) == pytest.approx(0.01) and factor(curve, 0, 0) == 1


def test_a_long_training_is_sampled():
    curve = lr_curve(dict(type='CosineAnnealingLR', by_epoch=False, T_max=90000), 1, 90000)
    assert len(curve) <= 22500
    for share in (0, 0.3, 0.7):
        expected = (1 + math.cos(math.pi * share)) / 2
        assert factor(curve, int(share * 100), 100) == pytest.approx(expected, abs=1e-3)


def test_config_is_not_changed():
    before = repr(WARM_UP)
    lr_curve(WARM_UP, 4, BATCHES)
    assert repr(WARM_UP) == before
