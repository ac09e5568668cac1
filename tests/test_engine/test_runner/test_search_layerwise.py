"""Searches in which every layer has options of its own, end to end."""
import copy
import csv
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from optuna.trial import TrialState

from autokd_mm.measure.losses import total_loss
from autokd_mm.models.distillers import spec_from_config
from autokd_mm.proxy.candidate import Candidate
from autokd_mm.registry import MODELS
from autokd_mm.space import LayerwiseSpec
from autokd_mm.study.ranking import spec_of
from autokd_mm.task.task import Task

CONFIG = Path(__file__).resolve().parents[3] / 'configs' / 'search' / 'digits_layerwise.py'
METHODS = ['logits_only', 'none', 'spatial_attention']  # without masks nothing is drawn


@pytest.fixture
def search_config(search_config):
    """The shipped config, as small as the usual one of the tests."""
    text, usual = search_config.read_text(), str(CONFIG.parent / 'digits.py')
    assert usual in text
    search_config.write_text(text.replace(usual, str(CONFIG)) + f"""
train_cfg.update(rejection=None, pruner=None, final_round=None, space=dict(transform={METHODS}))
""")
    return search_config


@pytest.fixture
def looked(monkeypatch):
    """The tasks of the searches, and what each candidate's first loss was made from."""
    found = dict(tasks=[], candidates=[])
    look, losses = Task.__init__, Candidate.losses

    def keep_task(self, *args, **kwargs):
        look(self, *args, **kwargs)
        found['tasks'].append(self)

    def keep_losses(self, inputs, samples, teacher):
        if hasattr(self, 'seen'):
            return losses(self, inputs, samples, teacher)
        self.seen = True
        before = {name: copy.deepcopy(getattr(self, name).state_dict())
                  for name in ('student', 'distiller')}
        result = losses(self, inputs, samples, teacher)
        found['candidates'].append(dict(before, inputs=inputs.clone(), samples=samples,
                                        losses=[float(torch.as_tensor(value).detach())
                                                for value in result]))
        return result

    monkeypatch.setattr(Task, '__init__', keep_task)
    monkeypatch.setattr(Candidate, 'losses', keep_losses)
    return found


def test_the_exported_distiller_has_the_candidates_loss(search, study_of, looked):
    folder = search('--trials', 5, '--cfg-options', 'train_cfg.warm_start=[KD,AT]')
    study = study_of(folder)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 5
    specs = [spec_of(trial) for trial in study.trials]
    assert all(isinstance(spec, LayerwiseSpec) for spec in specs)
    assert specs[0].in_words() == 'logits kl (T=4) x1'
    assert specs[1].in_words() == ('feature_0, feature_1, feature_2: spatial attention > l2 via '
                                   'conv1x1 x5')
    assert all('feature_2/transform' in trial.params for trial in study.trials)
    with open(str(folder / 'leaderboard.csv'), newline='') as file:
        rows = {int(row['trial']): row for row in csv.DictReader(file)}
    for trial, spec in zip(study.trials, specs):
        for level, value in spec.to_dict().items():
            assert rows[trial.number][level] == str(value)

    best, task = study.best_trial, looked['tasks'][0]
    path = folder / 'best_distiller.py'
    config = Config.fromfile(str(path))
    assert spec_from_config(config.model.distiller.to_dict(), task.layers) == spec_of(best)
    assert spec_of(best).in_words() in path.read_text()
    _, *candidates = looked['candidates']  # the undistilled student comes first
    assert len(candidates) == 5
    candidate = candidates[best.number]
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(config.model)
    model.architecture.load_state_dict(candidate['student'])
    model.distiller.load_state_dict(candidate['distiller'])
    model.train()
    losses = model.loss(candidate['inputs'], candidate['samples'])
    assert float(total_loss(losses)) == pytest.approx(sum(candidate['losses']), rel=1e-5)
    assert candidate['losses'][1] > 0


def test_taken_up_again_as_if_never_left(search, study_of, tool, search_config):
    whole = study_of(search('--trials', 4, work_dir='whole'))
    folder = search('--trials', 2, work_dir='halves')
    tool('search', search_config, '--work-dir', folder, '--trials', 4, '--resume')
    halves = study_of(folder)
    assert [(trial.params, trial.value) for trial in halves.trials] == [
        (trial.params, trial.value) for trial in whole.trials]
    with pytest.raises(tool.Ended, match='another search'):
        tool('search', search_config, '--work-dir', folder, '--trials', 5, '--resume',
             '--cfg-options', 'train_cfg.layers.shared=True')


def test_dry_run_shows_the_layers(tool, search_config, tmp_path):
    out = tool('search', search_config, '--work-dir', tmp_path / 'work', '--dry-run')
    for words in ('transform: left_out, none, spatial_attention',
                  'each pair of layers has its own options of these, but for the logits: '
                  'feature_0, feature_1, feature_2',
                  'feature_2: patch_grid=4 after intra=local is left out',
                  'factors: backbone.layer1 0.3333'):
        assert words in out, words


def test_factors_multiply_the_weights_of_the_layers(search, looked):
    folder = search('--trials', 1, '--cfg-options', 'train_cfg.warm_start=[SP]',
                    'train_cfg.layers.factors=cka')
    factors = [pair.factor for pair in looked['tasks'][0].layers.pairs]
    losses = Config.fromfile(str(folder / 'best_distiller.py')).model.distiller.distill_losses
    assert [losses[f'loss_feature_{i}'].loss_weight for i in range(3)] == [
        5 * factor for factor in factors]
    assert len(set(factors)) == 3 and torch.tensor(factors).sum() == pytest.approx(1)
