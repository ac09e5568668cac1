"""A candidate's steps are those of the full training's optimiser."""
import copy

import pytest
import torch

from autokd_mm.registry import MODELS
from autokd_mm.space.handcrafted import handcrafted

FROZEN = dict(lr_mult=0.0, decay_mult=0.0)


def student_of(trainer, **how):
    with torch.random.fork_rng():
        return trainer.train(how.pop('spec', None), **how).state_dict()


@pytest.mark.parametrize('key, moves', [('architecture.backbone', False), ('backbone', False),
                                        ('student.backbone', True)])
def test_parameters_have_the_names_of_the_full_training(parts, banks, key, moves):
    config = copy.deepcopy(parts.config.optim_wrapper)
    config.paramwise_cfg = dict(custom_keys={key: FROZEN})
    trainer = parts.trainer(banks, optim_wrapper=config, epochs=1)
    before, after = parts.student.state_dict(), student_of(trainer, spec=handcrafted('KD'))
    assert torch.equal(before['backbone.conv1.weight'], after['backbone.conv1.weight']) != moves
    assert not torch.equal(before['head.fc.weight'], after['head.fc.weight'])


def test_the_distiller_has_them_too(parts, banks):
    candidate = parts.trainer(banks).builder.build(handcrafted('FitNet', same_shape=False),
                                                   parts.student)
    names = {name.split('.')[0] for name, _ in candidate.named_parameters()}
    assert names == {'architecture', 'distiller'}
    assert {name for name in candidate.state_dict() if name.startswith('architecture.')} == {
        f'architecture.{name}' for name in parts.student.state_dict()}


@pytest.mark.parametrize('counts, updates', [(1, 4), (3, 2), (4, 1)])
def test_gradients_are_accumulated(parts, banks, monkeypatch, counts, updates):
    """As MMEngine does it, the last steps included; 64 images in batches of 32, twice."""
    done, step = [], torch.optim.SGD.step
    monkeypatch.setattr(torch.optim.SGD, 'step',
                        lambda self, *args: done.append(1) and step(self, *args))
    config = dict(copy.deepcopy(parts.config.optim_wrapper), accumulative_counts=counts)
    student_of(parts.trainer(banks, optim_wrapper=config))
    assert len(done) == updates


def test_clipping_is_heard(parts, banks):
    config = dict(copy.deepcopy(parts.config.optim_wrapper), clip_grad=dict(max_norm=1e-6))
    config['optimizer'] = dict(config['optimizer'], weight_decay=0.0)
    before = parts.student.state_dict()
    after = student_of(parts.trainer(banks, optim_wrapper=config))
    moved = (after['head.fc.weight'] - before['head.fc.weight']).abs().max()
    assert 0 < moved < 1e-5


@pytest.mark.skipif(torch.cuda.is_available(), reason='there AmpOptimWrapper scales losses')
def test_mixed_precision(parts, banks):
    config = dict(copy.deepcopy(parts.config.optim_wrapper), type='AmpOptimWrapper',
                  dtype='bfloat16')
    mixed = student_of(parts.trainer(banks, optim_wrapper=config))['head.fc.weight']
    plain = student_of(parts.trainer(banks))['head.fc.weight']
    before = parts.student.state_dict()['head.fc.weight']
    assert not torch.equal(mixed, plain)
    assert (mixed - plain).norm() < 0.2 * (plain - before).norm()


@pytest.mark.parametrize('norm_eval', [False, True])
def test_frozen_stages_and_norm_eval_of_the_network(parts, banks, norm_eval):
    config = copy.deepcopy(parts.config.model.architecture)
    config.backbone = dict(type='ResNet_CIFAR', depth=18, in_channels=1, stem_channels=4,
                           base_channels=4, frozen_stages=1, norm_eval=norm_eval)
    config.head.in_channels = 32
    student = MODELS.build(config)
    student.init_weights()
    before = copy.deepcopy(student.state_dict())
    after = student_of(parts.trainer(banks, fresh=lambda seed: student, epochs=1))
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert not [name for name in moved if name.startswith(('backbone.conv1', 'backbone.bn1',
                                                           'backbone.layer1'))]
    assert 'backbone.layer2.0.conv1.weight' in moved
    assert ('backbone.layer2.0.bn1.running_mean' in moved) != norm_eval


@pytest.mark.parametrize('said, done', [({}, True), (dict(foreach=False), False)])
def test_one_call_updates_all_parameters(parts, banks, monkeypatch, said, done):
    """On a CPU, too, where torch does so only if it is asked; to the same bits."""
    found, step = [], torch.optim.SGD.step
    monkeypatch.setattr(torch.optim.SGD, 'step', lambda self, *args: found.extend(
        group['foreach'] for group in self.param_groups) or step(self, *args))
    config = copy.deepcopy(parts.config.optim_wrapper)
    config['optimizer'] = dict(config['optimizer'], **said)
    after = student_of(parts.trainer(banks, optim_wrapper=config, epochs=1))
    monkeypatch.undo()
    assert set(found) == {done}
    config['optimizer']['foreach'] = False
    one_by_one = student_of(parts.trainer(banks, optim_wrapper=config, epochs=1))
    assert all(torch.equal(after[name], one_by_one[name]) for name in after)
