"""What TensorBoard shows of a search and of the training with what it found."""
import math

import pytest
from optuna.trial import TrialState

TENSORBOARD = 'visualizer.vis_backends.0.type=TensorboardVisBackend'


def scalars(folder):
    """By tag: the values by step."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    path, = folder.glob('2*/vis_data')
    events = EventAccumulator(str(path)).Reload()
    return {tag: {event.step: event.value for event in events.Scalars(tag)}
            for tag in events.Tags()['scalars']}


def test_trials_and_losses_of_the_full_training(search, tool, study_of, tmp_path):
    pytest.importorskip('tensorboard')
    folder = search('--trials', 4, '--cfg-options', TENSORBOARD, 'train_cfg.proxy.epochs=2',
                    'train_cfg.space.logits=[kl]', 'train_cfg.final_round.best=1',
                    'train_cfg.final_round.length=1', 'train_cfg.final_round.seeds=1',
                    "train_cfg.pruner.type=ThresholdPruner", 'train_cfg.pruner.lower=0',
                    'default_hooks.logger.interval=1')
    trials = study_of(folder).trials
    found = scalars(folder)
    for trial in trials:
        number, complete = trial.number, trial.state == TrialState.COMPLETE
        assert (number in found['reward']) == complete
        assert (number in found.get('pruned_reward', {})) == (
            trial.state == TrialState.PRUNED and trial.value is not None)
        if complete:
            outcome = trial.user_attrs['outcome']
            assert found['reward'][number] == pytest.approx(trial.value)
            assert found['trial'][number] == number
            for name in ('held_out_loss', 'calibrated_loss', 'gap', 'metric', 'seconds'):
                assert found[name][number] == pytest.approx(outcome[name])
    winner, = found['final_reward']
    assert trials[winner].state == TrialState.COMPLETE
    assert len(found['search/seconds']) == 1

    tool('train', folder / 'best_distiller.py', '--work-dir', tmp_path / 'train')
    found = scalars(tmp_path / 'train')
    assert len(found['distill.loss_logits']) == len(found['loss']) > 10
    assert all(math.isfinite(value) for value in found['distill.loss_logits'].values())
    assert found['accuracy/top1']
