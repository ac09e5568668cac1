"""Weights that change in real trainings of MMEngine's Runner."""
import copy
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from mmrazor.engine.hooks import StopDistillHook

from autokd_mm.errors import ConfigError
from autokd_mm.models.algorithms import FrozenTeacherDistill
from autokd_mm.models.distillers import distiller_config, loss_schedules
from autokd_mm.proxy.candidate import Candidate
from autokd_mm.registry import HOOKS, MODELS
from autokd_mm.safe_load import load_weights
from autokd_mm.space.handcrafted import handcrafted
from autokd_mm.space.schedules import weight_factor

SPEC = replace(handcrafted('FitNet', same_shape=False), feature_schedule='cosine', logits='kl',
               logits_temperature=4, logits_weight=1, logits_schedule='off_two_thirds')
KEY = 'custom_hooks.DistillScheduleHook.schedules'


def hook(**schedules):
    return dict(type='mmrazor.DistillScheduleHook', schedules=schedules)


def factors_of(steps):
    return [dict(loss_feature=weight_factor('cosine', step / steps),
                 loss_logits=weight_factor('off_two_thirds', step / steps))
            for step in range(steps)]


@pytest.fixture
def runner(parts, short_trainings):
    """``runner(name, **config)`` distils the tiny student for epochs of 4 steps."""
    base = copy.deepcopy(parts.config)
    base.model.distiller = distiller_config(SPEC, parts.layers)
    base.default_hooks.logger.interval = 1
    return short_trainings(base, [hook(**loss_schedules(SPEC, parts.layers))])


@pytest.fixture
def seen(monkeypatch):
    """The factors of every step, of trainings and of candidates."""
    found = []

    def note(method, distiller_of):
        def noted(self, *args, **kwargs):
            found.append(dict(distiller_of(self).loss_factors))
            return method(self, *args, **kwargs)
        return noted

    for owner, name in ((FrozenTeacherDistill, 'loss'), (Candidate, 'losses')):
        monkeypatch.setattr(owner, name, note(getattr(owner, name), lambda self: self.distiller))
    return found


# ---------------------------------------------------------------------- the factors
@pytest.mark.parametrize('values, steps', [
    ({}, 8), (dict(optim_wrapper=dict(accumulative_counts=3)), 8),
    (dict(train_cfg=dict(_delete_=True, type='IterBasedTrainLoop', max_iters=6, val_interval=99)),
     6)], ids=['epochs', 'accumulated', 'iterations'])
def test_the_factors_of_every_step(runner, seen, values, steps):
    if steps == 6:
        values = dict(values, default_hooks=dict(checkpoint=dict(by_epoch=False)))
    trained = runner('a', **values)
    trained.train()
    assert seen == factors_of(steps)
    # And then the model is as before.
    assert set(trained.model.distiller.loss_factors.values()) == {1}
    assert trained.model.distiller.distill_losses['loss_feature'].loss_weight == 1


def test_the_same_as_in_the_proxy(runner, seen, parts, banks):
    runner('a').train()
    training = list(seen)
    seen.clear()
    parts.trainer(banks, epochs=2).run(SPEC, length=2)  # 64 images in batches of 32
    assert seen == training and len(training) == 8


def test_the_log_has_losses_and_factors(runner, tmp_path):
    runner('a').train()
    lines = [json.loads(line) for line in
             next((tmp_path / 'a').glob('2*/vis_data/scalars.json')).read_text().splitlines()]
    found = [line for line in lines if 'distill_factor.feature' in line]
    assert [(line['distill_factor.feature'], line['distill_factor.logits'])
            for line in found] == [pytest.approx(tuple(one.values())) for one in factors_of(8)]
    assert all('distill.loss_logits' in line for line in found)


def test_a_resumed_training_is_the_uninterrupted_one(runner, seen, tmp_path):
    whole = runner('whole', train_cfg=dict(max_epochs=4))
    whole.train()
    assert seen == factors_of(16)
    seen.clear()
    path = str(tmp_path / 'whole' / 'epoch_2.pth')
    resumed = runner('resumed', train_cfg=dict(max_epochs=4), resume=True, load_from=path)
    resumed.train()
    assert seen == factors_of(16)[8:]
    one, other = whole.model.state_dict(), resumed.model.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    saved = load_weights(path)
    assert 'factor' not in ' '.join(saved['state_dict'])
    assert 'factor' not in str(saved['message_hub'])


# ---------------------------------------------------------------------- another end
def look(model, schedules, hooks=(), max_epochs=3):
    """What the hook says of a training before it starts."""
    lines = []
    HOOKS.build(hook(**schedules)).before_train(SimpleNamespace(
        model=model, hooks=list(hooks), max_epochs=max_epochs,
        logger=SimpleNamespace(warning=lines.append)))
    return lines


@pytest.fixture
def model(parts):
    config = dict(parts.config.model, distiller=distiller_config(SPEC, parts.layers))
    return MODELS.build(copy.deepcopy(config))


@pytest.mark.parametrize('schedules, stop, left', [
    (dict(loss_feature='linear', loss_logits='off_third'), 2, 'loss_feature 0.333'),
    (dict(loss_feature='cosine', loss_logits='constant'), 1, 'loss_feature 0.75, loss_logits 1'),
    (dict(loss_feature='off_third'), 1, ''), (dict(loss_feature='linear'), 3, ''),
    (dict(loss_feature='linear'), 9, '')])
def test_what_mmrazors_hook_cuts_off(model, schedules, stop, left):
    assert look(model, schedules, [StopDistillHook(stop)]) == ([
        f'StopDistillHook ends the distillation behind epoch {stop} of 3, where the factors are '
        f'still: {left}'] if left else [])


def test_the_earlier_end_counts(runner, seen):
    trained = runner('a', custom_hooks=[
        hook(loss_feature='linear'), dict(type='mmrazor.StopDistillHook', stop_epoch=1)])
    calls = []
    trained.model.teacher.register_forward_pre_hook(lambda *_: calls.append(1))
    trained.train()
    assert len(seen) == 8 and len(calls) == 4


# ---------------------------------------------------------------------- mistakes
@pytest.mark.parametrize('schedules, message', [
    (dict(loss_feature='cosin'), f"{KEY}.loss_feature: 'cosin' is unknown, did you mean 'cosine'?"),
    (dict(loss_feature=0.5), f"{KEY}.loss_feature: '0.5' is unknown. Valid: constant, cosine"),
    (['cosine'], f"{KEY}=['cosine']: must be a dict of schedules by name of a distill loss, such "
                 "as dict(loss_feature='cosine')")])
def test_wrong_schedules(schedules, message):
    with pytest.raises(ConfigError) as info:
        HOOKS.build(dict(type='mmrazor.DistillScheduleHook', schedules=schedules))
    assert str(info.value).startswith(message) and '\n' not in str(info.value)


def test_nothing_but_what_there_is(model):
    with pytest.raises(ConfigError, match=f"^{KEY}: 'loss_featur' is unknown, did you mean "
                                          "'loss_feature'"):
        look(model, dict(loss_featur='cosine'))
    with pytest.raises(ConfigError, match=f'^{KEY}: the distill losses of a ImageClassifier have '
                                          'no schedules; model.type must be mmrazor.FrozenTeac'):
        look(model.architecture, dict(loss_feature='cosine'))
    with pytest.raises(ConfigError, match=r'^custom_hooks.StopDistillHook.stop_epoch=0: the '
                                          'distillation ends before it starts, and with it '
                                          f'{KEY}'):
        look(model, dict(loss_feature='cosine'), [StopDistillHook(0)])
    assert look(model, {}) == look(model, dict(loss_feature=None)) == []


def test_something_is_left_to_train(model):
    both = dict(loss_feature='off_third', loss_logits='off_two_thirds')
    assert look(model, both) == []
    model.calculate_student_loss = False
    assert look(model, dict(both, loss_logits='linear')) == []
    with pytest.raises(ConfigError, match='model.calculate_student_loss=False nothing is left'):
        look(model, both)


def test_a_distiller_without_losses(parts):
    with pytest.raises(ConfigError, match=f'^{KEY}.loss_feature: model.distiller has no losses$'):
        look(parts.model, dict(loss_feature='cosine'))
