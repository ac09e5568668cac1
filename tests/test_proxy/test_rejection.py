"""Early rejection: what is decided, and hand-built distillers of each kind."""
from types import SimpleNamespace

import pytest
import torch

from autokd_mm.errors import ConfigError
from autokd_mm.proxy.candidate import Candidate
from autokd_mm.proxy.rejection import Rejection
from autokd_mm.space.handcrafted import handcrafted

NAN, INF = float('nan'), float('inf')


def step(distill_loss=1.0, task_loss=2.0, distill=1.0, task=1.0, depends=True):
    return SimpleNamespace(task_loss=task_loss, distill_loss=distill_loss,
                           task_gradient_norm=task, distill_gradient_norm=distill,
                           depends_on_student=depends)


@pytest.mark.parametrize('steps, words', [
    ([step(), step(distill_loss=NAN)], 'the distill loss is nan'),
    ([step(distill_loss=INF), step()], 'the distill loss is inf'),
    ([step(task_loss=NAN), step()], 'the task loss is nan'),
    ([step(depends=False, distill=0.0)] * 2, 'does not depend on the student'),
    ([step(distill=0.0)] * 2, 'no gradient of the distill loss reaches the student'),
    ([step(), step(distill=NAN)], 'the gradient of the distill loss is nan'),
    ([step(), step(distill=INF)], 'the gradient of the distill loss is inf'),
    ([step(distill=1100.0)] * 2, "1.1e+03 times the task loss's, outside 0.001 to 1000"),
    ([step(distill=0.0009)] * 2, "0.0009 times the task loss's"),
    ([step(task=0.0)] * 2, "inf times the task loss's"),
])
def test_rejected_with_the_reason(steps, words):
    assert words in Rejection().reason(steps)


@pytest.mark.parametrize('steps', [
    [step()] * 2, [step(distill=1e3)] * 2, [step(distill=1e-3)] * 2,
    # one batch may be unlucky
    [step(), step(depends=False, distill=0.0)], [step(distill=1500.0), step(distill=400.0)],
])
def test_nothing_speaks_against_it(steps):
    assert Rejection().reason(steps) is None


def test_range_of_ones_own():
    assert 'outside 0.5 to 2' in Rejection((0.5, 2.0)).reason([step(distill=2.1)])
    assert Rejection((0.5, 2.0)).reason([step(distill=1.9)]) is None


def test_settings():
    assert Rejection.from_config(None) is Rejection.from_config(False) is None
    assert Rejection.from_config(True) == Rejection.from_config({}) == Rejection((1e-3, 1e3))
    assert Rejection.from_config(dict(gradient_ratio=[1, 10], free=3)) == Rejection((1.0, 10.0), 3)


@pytest.mark.parametrize('config, words', [
    (dict(gradient_ration=(1, 2)), "rejection: 'gradient_ration' is unknown, did you mean "
                                   "'gradient_ratio'"),
    (dict(gradient_ratio=5), 'rejection.gradient_ratio=5: must be'),
    (dict(gradient_ratio=(2, 1)), r'rejection.gradient_ratio=\(2, 1\)'),
    (dict(gradient_ratio=(-1, 1)), 'rejection.gradient_ratio'),
    (dict(gradient_ratio=(1, 2, 3)), 'rejection.gradient_ratio'),
    (dict(gradient_ratio=('a', 2)), 'rejection.gradient_ratio'),
    (dict(free=-1), 'rejection.free=-1: must be a whole number, at least 0'),
    (dict(free=1.5), 'rejection.free=1.5'),
    (7, 'rejection=7: must be a dict with gradient_ratio, free, or None'),
])
def test_mistakes_in_the_settings(config, words):
    with pytest.raises(ConfigError, match=words):
        Rejection.from_config(config)


# -- real networks -----------------------------------------------------------------------------
def constant(candidate, own):
    return torch.tensor(1.0)


def of_the_teacher(candidate, own):
    return torch.ones((), requires_grad=True) * 2


def not_a_number(candidate, own):
    return own * float('nan')


def without_gradient(candidate, own):
    return sum((p * 0).sum() for p in candidate.student.parameters())


@pytest.mark.parametrize('loss, words', [
    (not_a_number, 'the distill loss is nan'), (constant, 'does not depend on the student'),
    (of_the_teacher, 'does not depend on the student'), (without_gradient, 'no gradient'),
    (lambda candidate, own: 1e4 * own, "1e+04 times the task loss's"),
    (lambda candidate, own: 1e-4 * own, "0.0001 times the task loss's")])
def test_hand_built_distillers(parts, banks, monkeypatch, loss, words):
    losses = Candidate.losses

    def own(self, *args):
        task, _ = losses(self, *args)
        return task, loss(self, task)

    monkeypatch.setattr(Candidate, 'losses', own)
    steps = parts.trainer(banks).first_step(handcrafted('KD'))
    assert len(steps) == 2 and words in Rejection().reason(steps)


def test_sound_distillers_pass(parts, banks):
    trainer = parts.trainer(banks)
    for name in ('KD', 'FitNet', 'AT', 'SP', 'CC', 'PKD'):
        assert Rejection().reason(trainer.first_step(
            handcrafted(name, parts.layers.same_shape))) is None, name
