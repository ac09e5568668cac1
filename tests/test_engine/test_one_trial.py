"""One trial with a toy trainer: what is told to the study, and when."""
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import optuna
import pytest
from optuna.trial import TrialState

from autokd_mm.engine.one_trial import TrialRunner, look_on, scalars_of
from autokd_mm.engine.pruning import build_pruner
from autokd_mm.errors import CandidateFailed
from autokd_mm.proxy.ranks import RankLost
from autokd_mm.proxy.rejection import Rejection
from autokd_mm.search.reward import Outcome, Reward
from autokd_mm.space.handcrafted import HANDCRAFTED

POINT = dict(held_out_loss=1.0, calibrated_loss=1.0, gap=0.5, metric=0.5)
BASELINE = Outcome(seconds=1.0, curve=(POINT, ) * 3, **POINT)


def outcome(loss, epochs=0):
    return Outcome(loss, loss, 0.5, 0.5, 1.0, curve=(dict(POINT, calibrated_loss=loss), ) * epochs)


class Trainer:
    """``losses`` behind each epoch; an exception is raised there."""

    def __init__(self, *losses, ratio=1.0):
        self.losses, self.ratio, self.trained = losses, ratio, 0

    def first_step(self, spec):
        if isinstance(self.ratio, BaseException):
            raise self.ratio
        return [SimpleNamespace(task_loss=1.0, distill_loss=1.0, task_gradient_norm=1.0,
                                distill_gradient_norm=self.ratio, depends_on_student=True)] * 2

    def run(self, spec, watch=None, looks=None):
        self.trained += 1
        self.looks = looks
        for epoch, loss in enumerate(self.losses):
            if isinstance(loss, BaseException):
                raise loss
            if watch and epoch < len(self.losses) - 1 and (looks is None or epoch + 1 in looks):
                watch(epoch, outcome(loss, epoch + 1))
        return outcome(loss, len(self.losses) if watch else 0)


@pytest.fixture
def run():
    """Run a trial; what is said about it, what the study knows, and the scalars."""

    def run(trainer, pruner=None, rejection=True, weights=None, turn=nullcontext):
        study = optuna.create_study(direction='maximize',
                                    pruner=pruner or optuna.pruners.NopPruner())
        said, scalars = [], []
        space = SimpleNamespace(suggest=lambda trial: HANDCRAFTED['KD'])
        runner = TrialRunner(study, space, trainer, Reward(weights or dict(calibrated_loss=1)),
                             BASELINE, Rejection.from_config(rejection), 3, said.append,
                             lambda values, number: scalars.append(values), turn)
        run.study = study
        try:
            runner.run(study.ask())
        finally:
            run.trial, run.said, run.scalars = study.trials[0], said, scalars
        return run.trial

    return run


def test_finished(run):
    trial = run(Trainer(0.9, 0.8, 0.7))
    assert trial.state == TrialState.COMPLETE and trial.value == pytest.approx(0.3)
    assert trial.user_attrs['spec'] == HANDCRAFTED['KD'].to_dict()
    assert trial.user_attrs['outcome']['calibrated_loss'] == 0.7
    assert trial.user_attrs['outcome']['curve'] == [] and trial.intermediate_values == {}
    assert run.said[0].startswith('trial 0: reward +0.3000, loss 0.7000')
    assert run.scalars[0]['reward'] == trial.value and 'curve' not in run.scalars[0]


def test_rejected(run):
    trainer = Trainer(0.9, ratio=1e5)
    trial = run(trainer)
    assert trial.state == TrialState.PRUNED and trial.value is None and trainer.trained == 0
    assert trial.user_attrs['rejected'] is True and '1e+05 times' in trial.user_attrs['reason']
    assert 'interrupted' not in trial.user_attrs
    assert run.said == [f'trial 0 rejected: {trial.user_attrs["reason"]} | logits kl (T=4) x1']
    assert run(Trainer(0.9, ratio=1e5), rejection=None).state == TrialState.COMPLETE


def test_pruned(run):
    trial = run(Trainer(0.9, 1.2, 0.7), optuna.pruners.ThresholdPruner(lower=0.0))
    assert trial.state == TrialState.PRUNED and trial.value == pytest.approx(-0.2)
    assert trial.intermediate_values == pytest.approx({1: 0.1, 2: -0.2})
    assert trial.user_attrs['reason'] == 'reward -0.2000 behind epoch 2 of 3'
    assert len(trial.user_attrs['outcome']['curve']) == 2


@pytest.mark.parametrize('trainer, reason', [
    (Trainer(0.9, CandidateFailed('the loss is nan')), 'the loss is nan'),
    (Trainer(ratio=CandidateFailed('RuntimeError: shapes')), 'RuntimeError: shapes'),
    (Trainer(float('nan')), 'calibrated_loss is not finite'),
])
def test_failed(run, trainer, reason):
    trial = run(trainer)
    assert trial.state == TrialState.FAIL and reason in trial.user_attrs['reason']
    assert 'interrupted' not in trial.user_attrs and 'trial 0 failed' in run.said[0]


def test_other_workers_wait_for_the_telling_alone(run):
    """What is known of a trial is written before the turn in which it is told."""
    seen = []

    @contextmanager
    def turn():
        seen.append(run.study.trials[0])
        yield
        seen.append(run.study.trials[0])

    run(Trainer(0.9, 0.8, 0.7), turn=turn)
    before, after = seen
    assert before.state == TrialState.RUNNING and after.state == TrialState.COMPLETE
    assert before.user_attrs == after.user_attrs and 'outcome' in before.user_attrs


@pytest.mark.parametrize('error', [KeyboardInterrupt(), TypeError('a bug')])
@pytest.mark.parametrize('where', ['first look', 'training'])
def test_interrupted(run, error, where):
    with pytest.raises(type(error)):
        run(Trainer(ratio=error) if where == 'first look' else Trainer(0.9, error))
    assert run.trial.state == TrialState.FAIL and run.trial.user_attrs['interrupted'] is True


def test_a_rank_that_is_lost_leaves_the_trial_as_a_killed_worker_does(run):
    with pytest.raises(RankLost):
        run(Trainer(0.9, RankLost('rank 1 has ended')))
    assert run.trial.state == TrialState.RUNNING and 'interrupted' not in run.trial.user_attrs


def test_students_are_measured_only_where_the_pruner_decides(run):
    trainer = Trainer(0.9, 0.8, 0.7)
    halving = build_pruner(True, 3)
    assert list(run(trainer, halving).intermediate_values) == [2] and trainer.looks == [2]
    run(trainer, halving, weights=dict(calibrated_loss_slope=1.0))
    assert trainer.looks is None  # a slope needs the curve
    run(trainer, optuna.pruners.MedianPruner())
    assert trainer.looks is None


def test_slopes(run):
    """They need a curve with and without a pruner, and two points of it to prune by."""
    weights = dict(calibrated_loss_slope=1.0)
    assert len(run(Trainer(0.9, 0.8, 0.7), weights=weights).user_attrs['outcome']['curve']) == 3
    trial = run(Trainer(0.9, 0.8, 0.7), optuna.pruners.ThresholdPruner(lower=-5.0), True, weights)
    assert list(trial.intermediate_values) == [2]


def test_small_things():
    assert look_on(0, BASELINE) is None
    assert 'curve' not in scalars_of(BASELINE) and scalars_of(BASELINE)['gap'] == 0.5
