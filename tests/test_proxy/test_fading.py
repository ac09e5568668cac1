"""Weights that change in the course of a proxy's training."""
from dataclasses import replace

import pytest

from autokd_mm.proxy.candidate import Candidate
from autokd_mm.space import DistillerSpec
from autokd_mm.space.handcrafted import handcrafted
from autokd_mm.space.schedules import weight_factor

FITNET = handcrafted('FitNet', same_shape=False)
BOTH = DistillerSpec.from_dict(dict(FITNET.to_dict(), logits='kl', logits_temperature=4,
                                    logits_weight=1))
NAMES = ('held_out_loss', 'gap', 'metric')


@pytest.fixture
def trainer(parts, banks):
    return parts.trainer(banks)


@pytest.fixture
def seen(monkeypatch):
    """For each step of all runs: the factors, the distill loss, and the same without factors."""
    found = []
    run = Candidate.losses

    def losses(self, *batch):
        own, distilled = run(self, *batch)
        factors = getattr(self.distiller, 'loss_factors', None)
        if factors is not None:
            self.distiller.loss_factors = {}
            found.append((dict(factors), distilled.item(), run(self, *batch)[1].item()))
            self.distiller.loss_factors = factors
        return own, distilled

    monkeypatch.setattr(Candidate, 'losses', losses)
    return found


@pytest.mark.parametrize('length', [1, 3])
@pytest.mark.parametrize('schedule', ['linear', 'off_third'])
def test_a_longer_run_stretches_the_schedule(trainer, seen, length, schedule):
    spec = replace(BOTH, feature_schedule=schedule, logits_schedule=schedule)
    trainer.run(spec, length=length)
    steps = 4 * length
    assert [factors for factors, *_ in seen] == [
        dict.fromkeys(['loss_feature', 'loss_logits'], weight_factor(schedule, step / steps))
        for step in range(steps)]
    for factors, faded, whole in seen:
        assert faded == pytest.approx(factors['loss_feature'] * whole, rel=1e-5) and whole > 0


def test_a_branch_of_its_own(trainer, seen):
    trainer.run(replace(BOTH, logits_schedule='off_two_thirds'))
    assert [factors for factors, *_ in seen] == [
        dict(loss_logits=factor) for factor in (1, 1, 1, 0)]
    assert [faded == whole for _, faded, whole in seen] == [True, True, True, False]


def test_constant_weights_have_no_factors(trainer, seen):
    trainer.run(BOTH)
    assert seen == []
    assert not trainer.builder.build(BOTH, trainer.builder.initial(0)).schedules


def test_the_student_hears_of_it(trainer):
    """The rejection, before any training, sees the weights of the first step."""
    def outcome(spec):
        found = trainer.run(spec)
        return [getattr(found, name) for name in NAMES]

    faded = replace(BOTH, feature_schedule='cosine')
    assert outcome(faded) == outcome(faded)
    whole = outcome(BOTH)
    assert all(outcome(replace(BOTH, **{level: 'off_third'})) != whole
               for level in ('feature_schedule', 'logits_schedule')) and outcome(faded) != whole
    assert trainer.first_step(faded) == trainer.first_step(BOTH)


def test_behind_the_end_only_its_own_loss_moves_the_student(trainer):
    off = replace(BOTH, feature_schedule='off_third', logits_schedule='off_third')
    candidate = trainer.builder.build(off, trainer.builder.initial(0)).train()
    candidate.fade(0.5)
    rows = next(trainer.batches(seed=0))[0]
    own, distilled = candidate.losses(*trainer.training_batch(candidate, rows))
    assert distilled == 0 and distilled.requires_grad and own > 0
    distilled.backward()
    assert all(value.grad is None for value in candidate.student.parameters())
