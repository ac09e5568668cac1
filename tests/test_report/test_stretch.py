import copy

import pytest
from mmengine.config import Config

from autokd_mm.errors import ConfigError
from autokd_mm.proxy.schedule import factor, lr_curve
from autokd_mm.report.stretch import stretch, stretched

SCHEDULERS = {
    'steps': dict(type='MultiStepLR', by_epoch=True, milestones=[8, 11], gamma=0.1),
    'step': dict(type='StepLR', step_size=4, gamma=0.5),
    'cosine behind a warm-up': [
        dict(type='LinearLR', start_factor=0.1, begin=0, end=2, by_epoch=True),
        dict(type='CosineAnnealingLR', T_max=10, begin=2, end=12, by_epoch=True)],
    'rtmdet': [dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=3),
               dict(type='CosineAnnealingLR', eta_min=0.05, begin=6, end=12, T_max=6)],
    'exponential': dict(type='ExponentialLR', gamma=0.8),
    'poly': dict(type='PolyLR', eta_min=0.01, power=0.9, begin=0, end=12),
    'restarts': dict(type='CosineRestartLR', periods=[4, 8], restart_weights=[1, 0.5], eta_min=0),
    'of iterations': dict(type='PolyLR', eta_min=0, by_epoch=False, begin=2)}


@pytest.mark.parametrize('name', SCHEDULERS)
def test_the_curve_keeps_its_shape(name):
    given = SCHEDULERS[name]
    before = copy.deepcopy(given)
    longer, loop = stretched(given, dict(type='EpochBasedTrainLoop', max_epochs=12), 48)
    assert loop['max_epochs'] == 48 and given == before
    iterations = 5
    one, four = (lr_curve(schedulers, epochs, iterations)
                 for schedulers, epochs in ((given, 12), (longer, 48)))
    # Behind the warm-up that counts iterations, and up to one epoch of twelve.
    for i in range(2, 11):
        near = [factor(one, i * 10 + shift, 120) for shift in (-10, -9, -5, 0, 5, 9, 10)]
        assert min(near) - 1e-9 <= factor(four, i * 10, 120) <= max(near) + 1e-9


def test_other_keys_of_the_loop():
    loop = dict(type='EpochBasedTrainLoop', max_epochs=300, val_begin=20, val_interval=10,
                dynamic_intervals=[(280, 1)])
    assert stretched(None, loop, 30) == (None, dict(loop, max_epochs=30,
                                                    dynamic_intervals=[(28, 1)]))
    assert stretched(None, loop, 10)[1]['val_begin'] == 10


def test_the_config_itself_stays():
    config = Config(dict(param_scheduler=SCHEDULERS['steps'], other=1))
    longer, loop = stretch(config, dict(max_epochs=12), 24)
    assert longer.param_scheduler.milestones == [16, 22] and longer.other == 1
    assert config.param_scheduler.milestones == [8, 11] and loop == dict(max_epochs=24)
    assert stretch(config, dict(max_epochs=12), None) == (config, dict(max_epochs=12))


@pytest.mark.parametrize('loop, epochs, words', [
    (dict(max_iters=80000), 10, r'full_epochs: .*counts iterations \(max_iters=80000\)'),
    (dict(max_epochs=12), 0, 'full_epochs=0: must be a whole number'),
    (dict(max_epochs=12), True, 'full_epochs=True'), (dict(max_epochs=12), 1.5, 'epochs=1.5')])
def test_mistakes(loop, epochs, words):
    with pytest.raises(ConfigError, match=words):
        stretched(None, loop, epochs)
    with pytest.raises(ConfigError, match=words.replace('full_', 'teacher_')):
        stretch(Config(), loop, epochs, 'teacher_epochs')
