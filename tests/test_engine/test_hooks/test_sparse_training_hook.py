"""The hook in real trainings of MMEngine's Runner."""
import copy

import pytest
import torch
from mmengine.config import Config

from autokd_mm.errors import ConfigError
from autokd_mm.registry import HOOKS

HOOK = dict(type='mmrazor.SparseTrainingHook', density=0.2, death_rate=0.5, interval=3, seed=4)


@pytest.fixture
def runner(tiny_config, short_trainings, tmp_path):
    """``runner(name, **config)`` trains the tiny student for two epochs of 4 steps."""
    path = tmp_path / 'tiny.py'
    path.write_text(tiny_config(None))
    base = Config.fromfile(str(path))
    base.model = copy.deepcopy(base.model.architecture)
    return short_trainings(base, [HOOK])


def hook_of(runner):
    return next(hook for hook in runner.hooks if type(hook).__name__ == 'SparseTrainingHook')


def test_trains_with_few_weights(runner):
    trained = runner('a')
    trained.train()
    masks = hook_of(trained).masks
    weights = dict(trained.model.named_parameters())
    assert masks.density == pytest.approx(0.2, abs=0.01)
    assert 'backbone.layer1.0.conv1.weight' in masks.masks and 'head.fc.weight' in masks.masks
    for name, mask in masks.masks.items():
        assert not weights[name][~mask].any() and weights[name][mask].any()
    states = trained.optim_wrapper.optimizer.state
    assert not any(states[weights[name]]['momentum_buffer'][~mask].any()
                   for name, mask in masks.masks.items())


def test_resumed_training_is_the_uninterrupted_one(runner, tmp_path):
    whole = runner('whole')
    first = {}
    original = hook_of(whole).before_train

    def before_train(run):
        original(run)
        first.update(hook_of(whole).masks.state_dict())

    hook_of(whole).before_train = before_train
    whole.train()
    assert any((whole_mask != first[name]).any()
               for name, whole_mask in hook_of(whole).masks.masks.items())
    resumed = runner('resumed', resume=True, load_from=str(tmp_path / 'whole' / 'epoch_1.pth'))
    resumed.train()
    one, other = whole.model.state_dict(), resumed.model.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    masks = hook_of(whole).masks.masks
    assert all(torch.equal(mask, hook_of(resumed).masks.masks[name])
               for name, mask in masks.items())


def test_weights_that_are_only_loaded_get_new_masks(runner, tmp_path):
    runner('first').train()
    path = str(tmp_path / 'first' / 'epoch_2.pth')
    kept = torch.load(path, weights_only=False)['sparse_masks']
    fresh = runner('fresh', load_from=path, custom_hooks=[dict(HOOK, seed=5, density=0.1)])
    fresh.train()
    masks = hook_of(fresh).masks
    assert masks.density == pytest.approx(0.1, abs=0.01)
    assert any((mask != kept[name]).any() for name, mask in masks.masks.items())


def test_only_the_student_of_a_distillation(parts):
    model = copy.deepcopy(parts.model)
    hook = HOOKS.build(HOOK)

    class Run:
        max_iters, logger = 10, type('Log', (), dict(info=lambda self, line: None))()

    Run.model = model
    hook.before_train(Run)
    every = {id(parameter) for parameter in model.architecture.parameters()}
    assert hook.masks.weights and all(id(weight) in every
                                      for weight in hook.masks.weights.values())
    assert not any(name.startswith('architecture') for name in hook.masks.masks)


@pytest.mark.parametrize('values, words', [
    (dict(density=2), 'custom_hooks.SparseTrainingHook.density=2: must be a number'),
    (dict(interval=0), 'custom_hooks.SparseTrainingHook.interval=0')])
def test_mistakes(values, words):
    with pytest.raises(ConfigError, match=words):
        HOOKS.build(dict(HOOK, **values))
