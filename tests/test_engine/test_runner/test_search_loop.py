"""The search end to end, in this process."""
import ast
import csv
import json
import re

import numpy as np
import pytest
import torch
from mmengine.config import Config
from optuna.trial import TrialState

from autokd_mm.models.distillers import spec_from_config
from autokd_mm.proxy.candidate import Candidate
from autokd_mm.proxy.trainer import ProxyTrainer
from autokd_mm.registry import MODELS
from autokd_mm.space import LEVELS
from autokd_mm.space.predictions import PREDICTION_LEVELS
from autokd_mm.space.schedules import SCHEDULE_LEVELS
from autokd_mm.space.start import START_LEVELS
from autokd_mm.space.teachers import TEACHER_LEVELS
from autokd_mm.study.ranking import spec_of

COLUMNS = ['trial', 'state', 'reward', 'held_out_loss', 'gap', 'metric', 'seconds', 'reason']


@pytest.fixture
def search_config(search_config):
    """Trials alone; what comes before, between and behind them has tests of its own."""
    search_config.write_text(search_config.read_text() + """
train_cfg.update(rejection=None, pruner=None, final_round=None)
""")
    return search_config


def leaderboard(folder):
    with open(str(folder / 'leaderboard.csv'), newline='') as file:
        return list(csv.DictReader(file))


def test_what_is_left_in_the_work_dir(search, study_of):
    folder = search()
    study = study_of(folder)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 3
    assert {path.name for path in (folder / 'bank').iterdir()
            if not path.name.startswith('.')} == {'train', 'held_out'}
    assert not list(folder.glob('*.unfinished*'))

    rows = leaderboard(folder)
    assert [column for column in COLUMNS if column not in rows[0]] == []
    assert set(LEVELS) - set(rows[0]) == set(
        SCHEDULE_LEVELS + TEACHER_LEVELS + PREDICTION_LEVELS + START_LEVELS)
    rewards = [float(row['reward']) for row in rows]
    assert rewards == sorted(rewards, reverse=True) and len(rows) == 3
    assert {row['state'] for row in rows} == {'complete'}

    best = study.best_trial
    assert int(rows[0]['trial']) == best.number
    path = folder / 'best_distiller.py'
    ast.parse(path.read_text())
    comment = [line for line in path.read_text().splitlines() if line.startswith('#')]
    assert any(f'reward {best.value:+.4f}' in line for line in comment)
    assert any(spec_of(best).in_words() in line for line in comment)
    config = Config.fromfile(str(path))
    assert config.model.distiller.type == 'mmrazor.ConfigurableDistiller'
    assert spec_from_config(config.model.distiller) == spec_of(best)
    assert 'SearchLoop' not in path.read_text() and '_base_' not in path.read_text()
    assert config.train_cfg.max_epochs == 1
    assert type(MODELS.build(config.model.distiller)).__name__ == 'ConfigurableDistiller'


def test_reward_is_the_gain_over_the_undistilled_student(search, study_of):
    study = study_of(search('--trials', 2))
    baseline = study.user_attrs['baseline']
    for trial in study.trials:
        outcome = trial.user_attrs['outcome']
        gains = [sign * (baseline[term] - outcome[term]) / abs(baseline[term])
                 for term, sign in (('metric', -1), ('gap', 1))]
        gains = [1 + np.log(gain) if gain > 1 else max(gain, -1) for gain in gains]
        assert trial.value == pytest.approx(np.mean(gains), abs=1e-12)


def test_log_says_what_a_person_wants_to_know(search, tool, search_config, tmp_path):
    out = tool('search', search_config, '--work-dir', tmp_path / 'work')
    for words in ('teacher: accuracy/top1', 'undistilled student on the proxy', 'distillers',
                  'trial 0: reward', 'best 10 distillers', 'outside forward, backward',
                  f'autokd train {tmp_path / "work" / "best_distiller.py"}'):
        assert words in out
    assert '\x1b[' not in (next((tmp_path / 'work').glob('2*/*.log'))).read_text()
    scalars = next((tmp_path / 'work').glob('2*/vis_data/scalars.json')).read_text().splitlines()
    assert [json.loads(line)['step'] for line in scalars if 'reward' in line] == [0, 1, 2]


def test_dry_run_writes_no_study_and_no_bank(tool, search_config, tmp_path):
    out = tool('search', search_config, '--work-dir', tmp_path / 'work', '--dry-run')
    for words in ('transform: logits_only, none, spatial_attention', 'logits_weight: 0.1',
                  'distillers', 'student: backbone.layer3 (16 x 2 x 2), logits head.fc (10)',
                  'teacher: backbone.layer3 (32 x 2 x 2), logits head.fc (10)',
                  'teacher: accuracy/top1', 'a 4x4 grid needs a map of at least 4x4',
                  'estimate for this machine', '  3 trials     0.1 min'):
        assert words in out, words
    assert not [name for name in ('study.journal', 'bank', 'leaderboard.csv', 'teacher.pth')
                if (tmp_path / 'work' / name).exists()]


def test_two_searches_are_bit_identical(search, study_of):
    first, second = (study_of(search(work_dir=name)) for name in ('one', 'two'))
    assert first.user_attrs['search'] == second.user_attrs['search']
    for name in ('held_out_loss', 'calibrated_loss', 'gap', 'metric'):
        assert first.user_attrs['baseline'][name] == second.user_attrs['baseline'][name]
    assert [(trial.params, trial.value) for trial in first.trials] == [
        (trial.params, trial.value) for trial in second.trials]


def test_warm_start_comes_first(search, search_config, study_of):
    text = search_config.read_text() + "train_cfg['warm_start'] = ['KD', 'AT', dict(" \
        "transform='none', connector='conv1x1', intra='none', inter='none', distance='l2', " \
        'feature_weight=1)]\n'
    search_config.write_text(text)
    study = study_of(search('--trials', 4))
    words = [spec_of(trial).in_words() for trial in study.trials]
    assert words[0] == 'logits kl (T=4) x1'
    assert words[1] == 'spatial attention > l2 via conv1x1 x5'
    assert words[2] == 'feature > l2 via conv1x1 x1'
    assert len(study.trials) == 4


def test_every_hand_crafted_one_takes_part_within_a_budget(search, search_config, study_of):
    """And KD, whether the warm start names it or not."""
    search_config.write_text(search_config.read_text() +
                             "train_cfg.update(warm_start=['AT', 'SP'], reward='auto', "
                             'final_round=dict(best=1, length=1, seeds=2, budget=7))\n')
    folder = search('--trials', 3)
    study = study_of(folder)
    assert spec_of(study.trials[2]).in_words() == 'logits kl (T=4) x1' and len(study.trials) == 3
    rows = {int(row['trial']): row for row in leaderboard(folder)}
    assert sorted(row['final_seeds'] for row in rows.values()) == ['1', '2', '2']
    assert all(row['final_length'] == '1' for row in rows.values())
    assert leaderboard(folder)[-1]['final_seeds'] == '1'
    assert study.user_attrs['search']['reward'] == 'auto'
    assert study.user_attrs['about']['reward'] == dict(metric=0.5, gap=0.5)  # it is above 5 %


def test_other_samplers_and_a_space_of_ones_own(search, study_of):
    study = study_of(search('--cfg-options', 'train_cfg.sampler.type=TPESampler',
                            'train_cfg.space.transform=[logits_only]',
                            'train_cfg.space.logits=[kl]',
                            'train_cfg.reward.metric=1.0'))
    assert {spec_of(trial).in_words().split(' (')[0] for trial in study.trials} == {'logits kl'}
    baseline = study.user_attrs['baseline']['metric']
    for trial in study.trials:
        gain = (trial.user_attrs['outcome']['metric'] - baseline) / max(baseline, 1e-12)
        assert trial.value == pytest.approx(np.clip(gain, -1, 1))


def nan_loss(loss):
    return loss * float('nan')


def out_of_memory(loss):
    raise torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 2 GiB\nmore lines')


def host_memory(loss):
    raise MemoryError()


def bad_shapes(loss):
    return loss + torch.zeros(2, 3) @ torch.zeros(2, 3)


def asserted(loss):
    raise AssertionError('preds_S.shape == preds_T.shape')


@pytest.mark.parametrize('fault, reason', [
    (nan_loss, 'the loss is nan at step 1 of 2'),
    (out_of_memory, 'OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB'),
    (host_memory, 'MemoryError'),
    (bad_shapes, 'RuntimeError: mat1 and mat2 shapes cannot be multiplied'),
    (asserted, 'AssertionError: preds_S.shape == preds_T.shape'),
])
def test_failing_candidate_is_recorded_and_the_search_goes_on(search, study_of, monkeypatch,
                                                              fault, reason):
    losses, seen = Candidate.losses, []

    def first_one_fails(self, *args):
        own, distilled = losses(self, *args)
        if self.distiller.distill_losses:  # not the baseline
            seen.append(self)
            if self is seen[0]:
                own = fault(own)
        return own, distilled

    monkeypatch.setattr(Candidate, 'losses', first_one_fails)
    folder = search()
    study = study_of(folder)
    assert [trial.state for trial in study.trials] == [
        TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE]
    assert reason in study.trials[0].user_attrs['reason']
    assert 'interrupted' not in study.trials[0].user_attrs
    last = leaderboard(folder)[-1]
    assert last['state'] == 'failed' and reason in last['reason'] and last['reward'] == ''
    assert last['transform'] == spec_of(study.trials[0]).transform


def test_fault_of_the_program_stops_and_is_not_the_distillers(search, study_of, monkeypatch,
                                                              tmp_path):
    run = ProxyTrainer.run

    def broken(self, spec, *args, **kwargs):
        if spec is not None:
            raise TypeError('a bug')
        return run(self, spec, *args, **kwargs)

    monkeypatch.setattr(ProxyTrainer, 'run', broken)
    with pytest.raises(search.Ended) as ended:
        search()
    assert ended.value.code == 1 and 'TypeError: a bug' in ended.value.err
    assert 'please report it' in ended.value.err
    monkeypatch.undo()
    trial = study_of(tmp_path / 'work').trials[0]
    assert trial.state == TrialState.FAIL and trial.user_attrs['interrupted'] is True


def test_a_shortcut_for_tests_of_a_training_is_left_out(search):
    """MMEngine's wrapper for it cannot be copied, and ended the process without a word."""
    folder = search('--trials', 1, '--cfg-options', 'train_dataloader.num_batch_per_epoch=2')
    log = next(folder.glob('*/*.log')).read_text()
    assert 'train_dataloader.num_batch_per_epoch=2: a search chooses among all images' in log


def test_a_config_without_validation(tool, search_config, tmp_path):
    with pytest.raises(tool.Ended) as ended:
        tool('search', search_config, '--work-dir', tmp_path / 'work', '--cfg-options',
             'val_dataloader=None', 'val_cfg=None', 'val_evaluator=None')
    assert 'error: val_dataloader is missing: a search measures' in ended.value.line


def test_a_share_of_the_images_is_counted(search, study_of):
    """For the report, which is made from the study."""
    study = study_of(search('--trials', 1, '--cfg-options', 'train_cfg.proxy.held_out=0.2'))
    told = study.user_attrs['about']
    assert told['held_out'] == round(0.2 * int(re.search(r'([\d,]+) training images',
                                                         told['data'])[1].replace(',', '')))
