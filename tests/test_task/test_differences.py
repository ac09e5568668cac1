"""What a search leaves out of a training, in words."""
import copy

import pytest
from mmengine.hooks import EMAHook

from autokd_mm.proxy.settings import ProxySettings
from autokd_mm.task.differences import differences, full_hooks

FULL = dict(max_epochs=30)


@pytest.fixture
def found(parts):
    def found(full=FULL, proxy=(), **changes):
        config = copy.deepcopy(parts.config)
        for key, value in changes.items():
            config[key] = (dict(config.get(key) or {}, **value) if isinstance(value, dict)
                           else value)
        settings = ProxySettings.from_config({**config.train_cfg.proxy, **dict(proxy)}, 64)
        return differences(config, settings, full, parts.student)
    return found


def test_length_and_images_are_always_told(found):
    lines = found(proxy=dict(batch_size=64))
    assert lines == ['length: 1 epochs over proxy.images=64; the full training has 30 epochs over '
                     'all', 'images: 2 augmented views of each (proxy.views), the full training '
                     'draws new ones']
    assert found(full=dict(max_iters=500), proxy=dict(iterations=7))[0] == (
        'length: 7 steps; the full training has 500 steps')


@pytest.mark.parametrize('settings, words', [
    (dict(proxy=dict(frozen=['backbone.conv1'])), "proxy.frozen=['backbone.conv1']"),
    (dict(proxy=dict(sparse={})), 'proxy.sparse='),
    (dict(proxy=dict(precision='bfloat16')), 'proxy.precision=bfloat16'),
    (dict(proxy=dict(dtype='float16')), 'proxy.dtype=float16'),
    (dict(proxy=dict(input_size=4)), 'proxy.input_size=4'),
    (dict(proxy=dict(batch_size=16)), 'proxy.batch_size=16: the full training has 64'),
    (dict(data_preprocessor=dict(batch_augments=dict(augments=[dict(type='Mixup')]))),
     'data_preprocessor.batch_augments: left out (Mixup)'),
    (dict(optim_wrapper=dict(type='AmpOptimWrapper')), 'optim_wrapper.type=AmpOptimWrapper'),
    (dict(optim_wrapper=dict(accumulative_counts=4)), 'accumulative_counts=4'),
    (dict(auto_scale_lr=dict(enable=True)), 'auto_scale_lr'),
    (dict(param_scheduler=[dict(type='LinearMomentum')]), 'LinearMomentum'),
    (dict(train_dataloader=dict(sampler=dict(type='RepeatAugSampler'))),
     'train_dataloader.sampler=RepeatAugSampler'),
    (dict(custom_hooks=[dict(type='EMAHook'), dict(type='mmdet.NumClassCheckHook')]),
     'custom_hooks: EMAHook, NumClassCheckHook do not run (the weights are not averaged)'),
    (dict(default_hooks=dict(ema=dict(type='EMAHook'))), 'custom_hooks: EMAHook do not run')])
def test_each_difference_has_a_line(found, settings, words):
    usual = found(proxy=dict(batch_size=64))
    settings = dict(settings, proxy={**dict(batch_size=64), **settings.get('proxy', {})})
    lines = [line for line in found(**settings) if line not in usual]
    assert len(lines) == 1 and words in lines[0], lines


def test_hooks_may_be_objects_and_are_named_once():
    assert full_hooks(dict(custom_hooks=[EMAHook(), dict(type=EMAHook)],
                           default_hooks=dict(timer=dict(type='IterTimerHook'), logger=None))) == [
        'EMAHook']
    assert full_hooks(dict()) == []
