"""What a search leaves out of a Runner, and asks beforehand."""
from types import SimpleNamespace

import pytest
from mmengine.hooks import EMAHook, Hook, IterTimerHook

from autokd_mm.engine.left_out import ask, leave_out
from autokd_mm.errors import ConfigError


class SizeCheckHook(Hook):

    def before_train_epoch(self, runner):
        if runner.size != 3:
            raise AssertionError('the size  must\nbe 3')


class CheckpointingHook(Hook):

    def before_train(self, runner):
        raise RuntimeError('not to be asked')


def test_a_runner_keeps_the_usual_hooks():
    timer, ema, own = IterTimerHook(), EMAHook(begin_epoch=5), SizeCheckHook()
    runner = SimpleNamespace(
        cfg=dict(custom_hooks=[dict(type='EMAHook'), own],
                 default_hooks=dict(timer=dict(type='IterTimerHook'))),
        hooks=[timer, ema, own], param_schedulers=[1], optim_wrapper=dict(type='Nowhere'),
        _load_from='a.pth')
    assert leave_out(runner) == [ema, own] and runner.hooks == [timer]
    assert runner.param_schedulers is None and runner._load_from is None
    assert not isinstance(runner.optim_wrapper, dict)


def test_checking_hooks_are_asked():
    hooks = [EMAHook(), CheckpointingHook(), SizeCheckHook()]
    ask(hooks, SimpleNamespace(size=3))
    with pytest.raises(ConfigError, match='^custom_hooks.SizeCheckHook: the size must be 3$'):
        ask(hooks, SimpleNamespace(size=4))
