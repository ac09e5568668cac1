"""Pruners from a config, and what they see of the study."""
from random import Random

import optuna
import pytest
from optuna.trial import TrialState

from autokd_mm.engine.pruning import CandidatePruned, Watch, build_pruner, looks, pruner_types
from autokd_mm.errors import ConfigError
from autokd_mm.search.reward import Outcome
from autokd_mm.study import study as studies

OUTCOME = Outcome(1.0, 1.0, 0.5, 0.5, 1.0)


def test_off():
    assert build_pruner(None, 4) is build_pruner(False, 4) is None


def test_every_pruner_of_optuna_by_name():
    needed = dict(PercentilePruner=dict(percentile=50.0), ThresholdPruner=dict(lower=-0.5),
                  PatientPruner=dict(wrapped_pruner=dict(type='MedianPruner'), patience=1))
    assert set(needed) | {'MedianPruner', 'HyperbandPruner', 'NopPruner'} <= set(pruner_types())
    for name, cls in pruner_types().items():
        found = build_pruner(dict(type=name, **needed.get(name, {})), 4)
        assert type(found) is cls
        assert type(build_pruner(dict(type=cls, **needed.get(name, {})), 4)) is cls
    patient = build_pruner(dict(type='PatientPruner', **needed['PatientPruner']), 4)
    assert isinstance(patient._wrapped_pruner, optuna.pruners.MedianPruner)


@pytest.mark.parametrize('config, words', [
    (dict(type='MedianPrunner'), "pruner.type: 'MedianPrunner' is unknown, did you mean "
                                 "'MedianPruner'"),
    (dict(type='MedianPruner', n_startup=1), "pruner.n_startup: .* mean 'n_startup_trials'"),
    (dict(type='PercentilePruner'), 'pruner.percentile is missing: PercentilePruner needs it'),
    (dict(type='PatientPruner', patience=1, wrapped_pruner=dict(type='X')),
     'pruner.wrapped_pruner.type'),
    (dict(type='SuccessiveHalvingPruner', reduction_factor=1), r'pruner \(Succ.*reduction_factor'),
    (dict(reduction_factor=2), 'pruner must be a dict like'), ('MedianPruner', 'must be a dict'),
])
def test_mistakes(config, words):
    with pytest.raises(ConfigError, match=words):
        build_pruner(config, 4)


class Search:
    """Trials whose rewards rise by the epoch to their end value, and how far they came."""

    def __init__(self, config, epochs):
        self.study = optuna.create_study(direction='maximize', pruner=build_pruner(config, epochs))
        self.epochs = epochs

    def run(self, quality, interrupt=False):
        trial = self.study.ask()
        watch = Watch(self.study, trial, lambda epoch, outcome: quality * (epoch + 1), self.epochs)
        for epoch in range(self.epochs - 1):
            try:
                watch(epoch, OUTCOME)
            except CandidatePruned as pruned:
                assert pruned.outcome is OUTCOME
                self.study.tell(trial, state=TrialState.PRUNED)
                return epoch + 1
        if interrupt:
            studies.interrupt(self.study, trial._trial_id)
        else:
            self.study.tell(trial, quality * self.epochs)
        return self.epochs


@pytest.mark.parametrize('epochs, rung', [(2, 1), (3, 2), (4, 2), (5, 3), (8, 4), (16, 8)])
def test_default_halves_once_behind_half_of_the_epochs(epochs, rung):
    search, order = Search(True, epochs), [i / 60 for i in range(1, 61)]
    Random(0).shuffle(order)
    ends = {quality: search.run(quality) for quality in order}
    assert set(ends.values()) == {rung, epochs}
    # A half is 30; the first ones have nobody to be compared with.
    assert 20 <= sum(end == epochs for end in ends.values()) <= 40
    # Nobody is lost who was among the best at every epoch.
    assert {ends[quality] for quality in sorted(order)[-5:]} == {epochs}


@pytest.mark.parametrize('config, epochs, expected', [
    (True, 16, [8]), (True, 1, []), (True, 2, [1]),
    (dict(type='SuccessiveHalvingPruner', min_resource=1), 9, [1, 2, 4, 8]),
    (dict(type='SuccessiveHalvingPruner', min_resource=1, reduction_factor=3,
          min_early_stopping_rate=1), 28, [3, 9, 27]),
    (dict(type='SuccessiveHalvingPruner', min_resource='auto'), 8, None),
    (dict(type='MedianPruner'), 8, None), (dict(type='HyperbandPruner'), 8, None),
])
def test_where_a_pruner_decides(config, epochs, expected):
    """Optuna's own decisions, looked at behind every epoch, fall there and nowhere else."""
    assert looks(build_pruner(config, epochs), epochs) == expected
    if expected is not None:
        search = Search(config, epochs)
        ends = {search.run(1 - i / 10) for i in range(10)}
        assert ends - {epochs} <= set(expected) and (len(ends) > 1 or not expected)


def test_the_arguments_of_the_config_win():
    search = Search(dict(type='SuccessiveHalvingPruner', min_resource=3, reduction_factor=4), 8)
    ends = [search.run(1 - i / 10) for i in range(5)]
    assert ends == [8, 3, 3, 3, 3]


def test_without_a_value_there_is_no_decision():
    study = optuna.create_study(direction='maximize',
                                pruner=build_pruner(dict(type='ThresholdPruner', lower=0.0), 4))
    trial = study.ask()
    Watch(study, trial, lambda epoch, outcome: None, 4)(0, OUTCOME)
    assert study.trials[0].intermediate_values == {}
    with pytest.raises(CandidatePruned, match='reward -1.0000 behind epoch 2 of 4'):
        Watch(study, trial, lambda epoch, outcome: -1.0, 4)(1, OUTCOME)
    assert study.trials[0].intermediate_values == {2: -1.0}


@pytest.mark.parametrize('config', [True, dict(type='MedianPruner', n_startup_trials=1)])
def test_interrupted_trials_are_not_compared(config):
    """A search that was killed prunes as one that was not."""
    quiet, killed = Search(config, 4), Search(config, 4)
    qualities = [0.3, 0.5, 0.4, 0.45, 0.6, 0.2, 0.55]
    expected = [quiet.run(quality) for quality in qualities]
    found = []
    for quality in qualities:
        if quality == 0.5:
            killed.run(0.5, interrupt=True)
        found.append(killed.run(quality))
    assert found == expected and 4 in expected and min(expected) < 4
