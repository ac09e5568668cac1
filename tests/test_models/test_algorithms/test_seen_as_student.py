"""Hooks of other packages look at a distillation as at its student."""
import copy
from types import SimpleNamespace

import pytest
import torch
from mmengine.runner.checkpoint import load_state_dict
from torch import nn

from autokd_mm.models.algorithms import sync_bn


def test_attributes_of_the_student(build):
    model = build()
    assert model.backbone is model.architecture.backbone and model.with_head
    model.head.use_l1 = True
    assert model.architecture.head.use_l1
    assert not hasattr(model, 'module') and not hasattr(model, 'no_such_name')
    with pytest.raises(AttributeError, match='FrozenTeacherDistill.*no_such_name'):
        _ = model.no_such_name
    assert copy.deepcopy(model).backbone is not model.backbone


def test_what_a_hook_sets_reaches_the_student(build):
    model, head = build(), nn.Identity()
    model.head = head
    assert model.architecture.head is head and 'head' not in model._modules
    model.architecture.loss_lambda = 0.5
    model.loss_lambda = 0.0
    assert model.architecture.loss_lambda == 0.0
    model.own_name = 3  # nobody's yet
    assert not hasattr(model.architecture, 'own_name')


def test_hooks_of_mmpretrain(build, batch):
    from mmpretrain.engine.hooks import PreciseBNHook, SwitchRecipeHook  # noqa: F401
    from mmpretrain.engine.hooks.precise_bn_hook import update_bn_stats

    class Loader(list):
        batch_size = 1

    model = build().train()
    teacher = copy.deepcopy(model.teacher.state_dict())
    with torch.no_grad():
        update_bn_stats(model, Loader([copy.deepcopy(batch)] * 2), 2, logger='silent')
    statistics = model.architecture.backbone.bn1
    assert statistics.momentum == 0.1 and statistics.running_mean.abs().sum() > 0
    assert all(torch.equal(value, teacher[name])
               for name, value in model.teacher.state_dict().items())

    runner, loss = SimpleNamespace(model=model), nn.Identity()
    SwitchRecipeHook._switch_batch_augments(runner, loss)
    SwitchRecipeHook._switch_loss(runner, loss)
    assert model.architecture.data_preprocessor.batch_augments is loss
    assert model.architecture.head.loss_module is loss


def test_layer_depth_by_either_name(build):
    model, asked = build(), []
    model.architecture.get_layer_depth = lambda name: asked.append(name) or (1, 2)
    for name in ('architecture.backbone.x', 'backbone.x', 'distiller.x'):
        assert model.get_layer_depth(name) == (1, 2)
    assert asked == ['backbone.x', 'backbone.x', 'distiller.x']


@pytest.mark.parametrize('load', [load_state_dict, lambda model, weights: model.load_state_dict(
    weights, strict=False)])
def test_weights_of_the_student_alone_are_its_weights(build, load):
    one, other = build(), build()
    for parameter in other.architecture.parameters():
        nn.init.constant_(parameter, 0.25)
    before = {name: value.clone() for name, value in one.distiller.state_dict().items()}
    load(one, other.architecture.state_dict())
    assert all(bool((parameter == 0.25).all()) for parameter in one.architecture.parameters())
    assert all(torch.equal(value, before[name])
               for name, value in one.distiller.state_dict().items())


def test_sync_bn_becomes_batch_norm_and_that_is_said_once(monkeypatch):
    said = []
    sync_bn._say.cache_clear()
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(sync_bn, 'print_log', lambda line, *args: said.append(line))
    config = dict(type='X', norm_cfg=dict(type='SyncBN', eps=1), deep=[dict(type='MMSyncBN')])
    found = sync_bn.without_sync_bn(config)
    assert found == dict(type='X', norm_cfg=dict(type='BN', eps=1), deep=[dict(type='BN')])
    assert config['norm_cfg']['type'] == 'SyncBN'
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.SyncBatchNorm(2))
    network[1].running_mean.fill_(3)
    built = sync_bn.without_sync_bn(network)
    assert not isinstance(built[1], nn.SyncBatchNorm) and built[1].running_mean.tolist() == [3, 3]
    assert len(said) == 1 and 'BatchNorm takes its place' in said[0]
    plain = dict(norm_cfg=dict(type='BN'))
    assert sync_bn.without_sync_bn(plain) is plain
