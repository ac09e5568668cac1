"""What a config asks of the optimiser, on a machine without a GPU and for a distillation."""
import copy

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from torch import nn

from autokd_mm.errors import ConfigError
from autokd_mm.optim import refusing, unmatched, usable

SGD = dict(type='SGD', lr=1.0)


@pytest.fixture(autouse=True)
def without_gpu(monkeypatch):
    monkeypatch.setattr('autokd_mm.optim.config.get_device', lambda: 'cpu')


class Network(nn.Module):
    """As mmpretrain's classifiers: a backbone of layers that know their depth, and a head."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(2))
        self.head = nn.Linear(2, 2)

    def get_layer_depth(self, name):
        parts = name.split('.')
        return (int(parts[2]) if parts[:2] == ['backbone', 'layers'] else 2), 3


class Distillation(nn.Module):

    def __init__(self, student):
        super().__init__()
        self.architecture = student
        self.distiller = nn.Module()
        self.distiller.connector = nn.Linear(2, 2)


def rates(wrapper, model):
    """Learning rate by name of the parameter."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(parameter)]: group['lr'] for group in wrapper.optimizer.param_groups
            for parameter in group['params']}


def test_what_is_usable_stays_as_it_is():
    config = ConfigDict(type='OptimWrapper', optimizer=SGD, clip_grad=dict(max_norm=1))
    assert usable(config, True) == config and usable(config, True) is not config


@pytest.mark.parametrize('dtype, kind', [('bfloat16', 'mmrazor.CpuAmpOptimWrapper'),
                                         ('float32', 'OptimWrapper')])
def test_mixed_precision_on_a_cpu(dtype, kind):
    config = ConfigDict(type='AmpOptimWrapper', dtype=dtype, loss_scale='dynamic', optimizer=SGD,
                        accumulative_counts=2)
    before = copy.deepcopy(config)
    found = usable(config, False)
    assert found.type == kind and 'loss_scale' not in found and config == before
    wrapper = build_optim_wrapper(nn.Linear(2, 2), found)
    layer = nn.Linear(2, 2)
    with wrapper.optim_context(layer):
        assert layer(torch.ones(1, 2)).dtype == getattr(torch, dtype)


@pytest.mark.parametrize('values, words', [
    (dict(), 'float16 needs a GPU'), (dict(dtype='float16'), "dtype='bfloat16' works"),
    (dict(dtype='bf16'), "optim_wrapper.dtype: 'bf16' is unknown, did you mean 'bfloat16'"),
    (dict(dtype='float64'), 'needs a GPU')])
def test_precision_that_is_not_there(values, words):
    with pytest.raises(ConfigError, match=words):
        usable(ConfigDict(type='AmpOptimWrapper', optimizer=SGD, **values), True)


def test_a_class_may_stand_for_its_name():
    from mmengine.optim import AmpOptimWrapper
    assert usable(dict(type=AmpOptimWrapper, dtype='bfloat16', optimizer=SGD), True)['type'] == (
        'mmrazor.CpuAmpOptimWrapper')


@pytest.mark.parametrize('keys', [('head.weight', 'architecture.head.bias'),
                                  ('architecture.head.weight', 'head.bias')])
def test_layer_decay_of_mmpretrain(keys):
    model = Distillation(Network())
    config = ConfigDict(
        type='OptimWrapper', optimizer=dict(SGD, weight_decay=1.0),
        constructor='LearningRateDecayOptimWrapperConstructor',
        paramwise_cfg=dict(layer_decay_rate=0.5, custom_keys={
            key: dict(decay_mult=0.0) for key in keys}))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        alone = build_optim_wrapper(model.architecture, config)
        wrapper = build_optim_wrapper(model, usable(config, True))
    found = rates(wrapper, model)
    assert {name: rate for name, rate in found.items() if name.startswith('architecture')} == {
        f'architecture.{name}': rate for name, rate in rates(alone, model.architecture).items()}
    assert found['architecture.backbone.layers.0.weight'] == 0.25
    assert found['architecture.head.weight'] == found['distiller.connector.weight'] == 1.0
    decays = {id(parameter): group['weight_decay'] for group in wrapper.optimizer.param_groups
              for parameter in group['params']}
    assert [decays[id(parameter)] for parameter in model.architecture.head.parameters()] == [0, 0]


def test_layer_decay_of_mmdet_looks_at_names():
    class ConvNeXt(nn.Module):

        def __init__(self):
            super().__init__()
            self.stages = nn.ModuleList(nn.ModuleList([nn.Linear(2, 2)]) for _ in range(4))

    student = nn.Module()
    student.backbone, student.bbox_head = ConvNeXt(), nn.Linear(2, 2)
    model = Distillation(student)
    config = ConfigDict(
        type='OptimWrapper', optimizer=dict(SGD, weight_decay=1.0),
        constructor='LearningRateDecayOptimizerConstructor',
        paramwise_cfg=dict(decay_rate=0.5, decay_type='layer_wise', num_layers=6))
    with DefaultScope.overwrite_default_scope('mmdet'):
        alone = build_optim_wrapper(student, config)
        found = rates(build_optim_wrapper(model, usable(config, True)), model)
    for name, rate in rates(alone, student).items():
        assert found[f'architecture.{name}'] == rate
    assert found['architecture.backbone.stages.0.0.weight'] < 0.1
    assert found['distiller.connector.bias'] > 0.4


def test_what_cannot_be_built_is_one_line():
    model = Distillation(nn.Sequential(nn.Linear(2, 2)))
    config = ConfigDict(type='OptimWrapper', optimizer=SGD,
                        constructor='LearningRateDecayOptimWrapperConstructor',
                        paramwise_cfg=dict(layer_decay_rate=0.5))
    with DefaultScope.overwrite_default_scope('mmpretrain'), \
            pytest.raises(ConfigError, match='optim_wrapper.constructor: LearningRateDecay.* '
                          'cannot be used for the student .*get_layer_depth'):
        with refusing(config, 'the student'):
            build_optim_wrapper(model, usable(config, True))


def test_keys_of_no_parameter():
    config = dict(paramwise_cfg=dict(custom_keys={
        'architecture.head': {}, 'backbone': {}, 'student.backbone': {}, 'neck': {}}))
    assert unmatched(Distillation(Network()), config) == ['student.backbone', 'neck']
    assert unmatched(Distillation(Network()), dict()) == []


@pytest.mark.parametrize('clipping, says', [
    (dict(max_nrm=5), "optim_wrapper.clip_grad: 'max_nrm' is unknown, did you mean 'max_norm'"),
    (dict(type='nrom', max_norm=5), "optim_wrapper.clip_grad.type: 'nrom' is unknown"),
    (dict(type='value', max_norm=5), "optim_wrapper.clip_grad: 'max_norm' is unknown"),
    (5, 'optim_wrapper.clip_grad=5: must be a dict such as dict(max_norm=35)'),
    (dict(norm_type=2), 'optim_wrapper.clip_grad.max_norm is missing'), (dict(max_norm=5), ''),
    (dict(type='value', clip_value=1), ''), (dict(max_norm=5, norm_type=2), ''), (None, '')])
def test_clipping(clipping, says):
    """torch would get it with the first step."""
    config = ConfigDict(type='OptimWrapper', optimizer=SGD, clip_grad=clipping)
    if not says:
        assert usable(config, distills=True).clip_grad == clipping
        return
    with pytest.raises(ConfigError) as refused:
        usable(config, distills=True)
    assert str(refused.value).startswith(says)
