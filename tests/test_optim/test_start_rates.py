"""Parts of the student that learn at another rate, by plain keys of MMEngine."""
import copy

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS
from torch import nn

from autokd_mm.optim import rates_fault, start_rate_in, with_start_rate, without_start_rate

SGD = dict(type='SGD', lr=0.5, momentum=0.9, weight_decay=0.25)


class Student(nn.Module):

    def __init__(self, shared=False):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        self.head = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
        self.head_of_mine = nn.Linear(2, 2)
        if shared:
            self.head.append(nn.Sequential(self.head[0]))


class Whole(nn.Module):

    def __init__(self, shared=False):
        super().__init__()
        self.architecture = Student(shared)
        self.distiller = nn.Linear(2, 2)


def rates(config, model):
    """(learning rate, weight decay) by name."""
    optim = build_optim_wrapper(model, copy.deepcopy(config))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(parameter)]: (group['lr'], group['weight_decay'])
            for group in optim.param_groups for parameter in group['params']
            if id(parameter) in names}  # the wrapper adds a number of its own


@pytest.mark.parametrize('shared', [False, True])
@pytest.mark.parametrize('paramwise', [
    None, dict(norm_decay_mult=0., bias_lr_mult=2., bypass_duplicate=True),
    dict(bypass_duplicate=True, bias_decay_mult=0., custom_keys={
        'head.2': dict(lr_mult=4.), 'architecture.head.0.weight': dict(decay_mult=0.),
        'backbone': dict(lr_mult=0.5), '.1.': dict(decay_mult=3., lr_mult=3.)})],
    ids=['plain', 'by kind', 'by name'])
def test_all_else_is_what_the_config_gives(paramwise, shared):
    config = dict(type='OptimWrapper', optimizer=dict(SGD))
    if paramwise:
        config['paramwise_cfg'] = paramwise
    config, model = ConfigDict(config), Whole(shared)
    before, plain = copy.deepcopy(config), rates(config, model)
    found = with_start_rate(config, model, ['head'], 0.1)
    wanted = {name: (lr * (0.1 if name.startswith('architecture.head.') else 1), decay)
              for name, (lr, decay) in plain.items()}
    assert rates(found, model) == {name: pytest.approx(pair) for name, pair in wanted.items()}
    assert sum(lr < plain[name][0] for name, (lr, _) in wanted.items()) == 6
    assert config == before and start_rate_in(found) == 0.1 and start_rate_in(config) == 1
    without_start_rate(found)
    assert rates(found, model) == {name: pytest.approx(pair) for name, pair in plain.items()}
    assert start_rate_in(found) == 1


def test_a_config_reads_as_it_was_written():
    from mmengine.config import Config
    config = Config(dict(optim_wrapper=with_start_rate(
        ConfigDict(type='OptimWrapper', optimizer=SGD), Whole(), ['head'], 0.1)))
    read = Config.fromstring(config.pretty_text, '.py').optim_wrapper
    assert read.paramwise_cfg.custom_keys == {'architecture.head.': dict(lr_mult=0.1,
                                                                         start_lr=0.1)}


def test_a_step_moves_a_part_by_its_share():
    model = Whole()
    config = with_start_rate(dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1.0)),
                             model, ['head'], 0.125)
    optim = build_optim_wrapper(model, config)
    before = {name: value.clone() for name, value in model.named_parameters()}
    sum(parameter.sum() for parameter in model.parameters()).backward()
    optim.step()
    for name, value in model.named_parameters():
        share = 0.125 if name.startswith('architecture.head.') else 1
        torch.testing.assert_close(before[name] - value, torch.full_like(value, share))


@pytest.mark.parametrize('config, fault', [
    (dict(optimizer=SGD), None),
    (dict(optimizer=SGD, constructor='DefaultOptimWrapperConstructor'), None),
    (dict(optimizer=SGD, constructor='mmdet.LearningRateDecayOptimizerConstructor'),
     'optim_wrapper.constructor=LearningRateDecayOptimizerConstructor sets the learning rates '
     'itself'),
    (dict(optimizer=dict(type='Adadelta')), 'optim_wrapper.optimizer.lr is not set')])
def test_optimisers_that_cannot(config, fault):
    assert rates_fault(config) == fault


def test_a_schedule_that_gives_all_parts_one_rate():
    """MMEngine's OneCycleLR begins anew for every group, whatever its multiplier."""
    one_cycle = dict(type='OneCycleLR', eta_max=0.2, total_steps=10, by_epoch=False)
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.SGD([dict(params=weights[:1]), dict(params=weights[1:], lr=0.01)],
                                lr=0.1)
    PARAM_SCHEDULERS.build(one_cycle, default_args=dict(optimizer=optimizer))
    assert len({group['lr'] for group in optimizer.param_groups}) == 1
    config, said = dict(optimizer=SGD), 'param_scheduler: OneCycleLR gives all parts one rate'
    assert rates_fault(config, one_cycle) == said
    assert rates_fault(config, [dict(type='LinearLR'), one_cycle]) == said
    assert rates_fault(config, [dict(type='LinearLR')]) is None


def test_a_schedule_that_draws_all_parts_to_one_rate():
    config, annealed = dict(optimizer=SGD), dict(type='CosineAnnealingLR', T_max=10)
    least = SGD['lr'] / 2
    assert rates_fault(config, dict(annealed, eta_min=least)) == (
        f'param_scheduler: eta_min={least:g} of CosineAnnealingLR is the least rate of all parts '
        'alike')
    assert rates_fault(config, dict(annealed, eta_min_ratio=0.5)) is None
    # As mmseg's PolyLR has it: a hundredth.
    assert rates_fault(config, dict(type='PolyLR', eta_min=SGD['lr'] / 100)) is None
