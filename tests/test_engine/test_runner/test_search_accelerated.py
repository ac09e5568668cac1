"""Early rejection, pruning and the final round in whole searches."""
import csv
import re

import numpy as np
import optuna
import pytest
from markupsafe import escape
from mmengine.config import Config
from optuna.trial import TrialState

from autokd_mm.models.distillers import spec_from_config
from autokd_mm.proxy.candidate import Candidate
from autokd_mm.proxy.trainer import ProxyTrainer
from autokd_mm.search.study_tree import StudyTree
from autokd_mm.study.ranking import spec_of

OFF = ('train_cfg.rejection=None', 'train_cfg.pruner=None', 'train_cfg.final_round=None')
TERMS = ('calibrated_loss', 'gap')


@pytest.fixture
def search_config(search_config):
    search_config.write_text(search_config.read_text() + f"""
train_cfg.update(reward=dict({TERMS[0]}=0.5, {TERMS[1]}=0.5))
""")
    return search_config


def leaderboard(folder):
    with open(str(folder / 'leaderboard.csv'), newline='') as file:
        return list(csv.DictReader(file))


def final_study(folder):
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(folder / 'study.journal')))
    return optuna.load_study(study_name='autokd_mm_final', storage=storage)


def reward(outcome, baseline):
    return np.mean([np.clip((baseline[term] - outcome[term]) / abs(baseline[term]), -1, 1)
                    for term in TERMS])


@pytest.fixture
def runs(monkeypatch):
    """The distillers that are trained, None for none, with seed and length."""
    run, seen = ProxyTrainer.run, []

    def noted(self, spec, watch=None, seed=None, length=1, looks=None, keep=None):
        seen.append((spec, seed, length))
        return run(self, spec, watch, seed, length, looks, keep)

    monkeypatch.setattr(ProxyTrainer, 'run', noted)
    return seen


# -- early rejection ---------------------------------------------------------------------------
def test_rejected_ones_are_seen_and_cost_no_trial(search, study_of, runs):
    folder = search('--trials', 6, '--cfg-options', *OFF[1:],
                    'train_cfg.rejection.gradient_ratio=[0.001,30]', 'train_cfg.rejection.free=20')
    trials = study_of(folder).trials
    rejected = [trial for trial in trials if trial.user_attrs.get('rejected')]
    assert len(trials) - len(rejected) == 6 and rejected
    assert len(runs) == 7  # nothing of them was trained
    rows = leaderboard(folder)
    assert len(rows) == len(trials)
    for trial, row in zip(rejected, rows[6:]):
        assert trial.state == TrialState.PRUNED and trial.value is None
        assert row['state'] == 'rejected' and row['trial'] == str(trial.number)
        assert "times the task loss's, outside 0.001 to 30" in row['reason'] and not row['reward']
        assert row['transform'] == spec_of(trial).transform
    # In the tree each is a visit, as bad as the worst.
    tree = StudyTree.of(study_of(folder)).tree
    assert tree.root.visits == len(trials)


def test_a_space_that_is_all_bad_comes_to_an_end(search, study_of, runs, tmp_path):
    for number, free in ((6, ()), (4, ('train_cfg.rejection.free=1', ))):
        with pytest.raises(search.Ended, match='no distiller was trained to the end') as ended:
            search('--cfg-options', 'train_cfg.rejection.gradient_ratio=[1e8,1e9]', *free,
                   work_dir=f'work{number}')
        assert ended.value.code == 2
        folder = tmp_path / f'work{number}'
        assert len(leaderboard(folder)) == len(study_of(folder).trials) == number
        assert not (folder / 'best_distiller.py').exists()
    assert [spec for spec, *_ in runs] == [None, None]


def not_a_number(own, distilled):
    return own, distilled * float('nan')


def independent(own, distilled):
    return own, distilled.detach()


def too_large(own, distilled):
    return own, own * 1e5


def without_gradient(own, distilled):
    return own, distilled * 0


def fails(own, distilled):
    raise RuntimeError('shapes do not fit')


@pytest.mark.parametrize('change, state, words', [
    (not_a_number, 'rejected', 'the distill loss is nan before training'),
    (independent, 'rejected', 'does not depend on the student'),
    (without_gradient, 'rejected', 'no gradient of the distill loss reaches the student'),
    (too_large, 'rejected', "1e+05 times the task loss's"),
    (fails, 'failed', 'RuntimeError: shapes do not fit'),
])
def test_hand_built_distillers(search, study_of, monkeypatch, change, state, words):
    losses, seen = Candidate.losses, []

    def first_one_changed(self, *args):
        own, distilled = losses(self, *args)
        if self.distiller.distill_losses:
            seen.append(self)
        return change(own, distilled) if seen and self is seen[0] else (own, distilled)

    monkeypatch.setattr(Candidate, 'losses', first_one_changed)
    folder = search('--trials', 2, '--cfg-options', *OFF[1:],
                    'train_cfg.rejection.gradient_ratio=[0,1e4]')
    trials = study_of(folder).trials
    assert len(trials) == (3 if state == 'rejected' else 2)
    assert words in trials[0].user_attrs['reason']
    assert [row['state'] for row in leaderboard(folder)] == [
        'complete'] * (len(trials) - 1) + [state]
    assert sum(candidate is seen[0] for candidate in seen) <= 2


# -- pruning -----------------------------------------------------------------------------------
PRUNED = ('--trials', 8, '--cfg-options', OFF[0], OFF[2], 'train_cfg.proxy.epochs=4')


def test_pruned_by_the_reward_at_the_same_epoch(search, study_of):
    folder = search(*PRUNED)
    study = study_of(folder)
    baseline = study.user_attrs['baseline']
    assert len(baseline['curve']) == 4 and len(study.trials) == 8
    states = {trial.state for trial in study.trials}
    assert states == {TrialState.COMPLETE, TrialState.PRUNED}
    rows = {row['trial']: row for row in leaderboard(folder)}
    for trial in study.trials:
        outcome = trial.user_attrs['outcome']
        for epoch, value in trial.intermediate_values.items():
            assert value == pytest.approx(
                reward(outcome['curve'][0], baseline['curve'][epoch - 1]), abs=1e-12)
        row = rows[str(trial.number)]
        assert float(row['reward']) == pytest.approx(trial.value, rel=1e-5)
        if trial.state == TrialState.PRUNED:
            last = trial.last_step
            assert last == 2 and len(outcome['curve']) == 1
            assert trial.value == trial.intermediate_values[last]
            assert row['state'] == 'pruned' and f'epoch {last} of 4' in row['reason']
        else:
            assert list(trial.intermediate_values) == [2] and len(outcome['curve']) == 2
    assert [row['state'] for row in leaderboard(folder)] == sorted(
        row['state'] for row in leaderboard(folder))


def test_looking_changes_nothing(search, study_of):
    never = ('train_cfg.pruner.type=ThresholdPruner', 'train_cfg.pruner.lower=-5')
    watched, quiet = (
        study_of(search('--trials', 3, '--cfg-options', OFF[0], OFF[2], 'train_cfg.proxy.epochs=3',
                        *options, work_dir=name)).trials
        for name, options in (('watched', never), ('quiet', OFF[1:2])))
    assert [list(trial.intermediate_values) for trial in watched] == [[1, 2]] * 3
    assert [list(trial.intermediate_values) for trial in quiet] == [[]] * 3
    assert [trial.value for trial in watched] == [trial.value for trial in quiet]


def test_everybody_pruned(search, study_of, tmp_path):
    with pytest.raises(search.Ended, match='no distiller was trained to the end'):
        search(*PRUNED, 'train_cfg.pruner.type=ThresholdPruner', 'train_cfg.pruner.lower=2')
    assert {row['state'] for row in leaderboard(tmp_path / 'work')} == {'pruned'}
    assert {trial.last_step for trial in study_of(tmp_path / 'work').trials} == {1}


def test_slopes_are_known_from_the_second_epoch(search, study_of):
    study = study_of(search(*PRUNED, 'train_cfg.reward.held_out_loss_slope=1.0'))
    pruned = [trial for trial in study.trials if trial.state == TrialState.PRUNED]
    assert {trial.last_step for trial in pruned} == {2}
    assert not [trial for trial in study.trials if trial.state == TrialState.FAIL]


# -- the final round ---------------------------------------------------------------------------
FINAL = ('--trials', 4, '--cfg-options', *OFF[:2], 'train_cfg.final_round.best=2',
         'train_cfg.final_round.length=3', 'train_cfg.warm_start=[CC]')


def means(folder):
    """Final rewards by trial number, computed by hand."""
    outcomes = {(run.user_attrs['candidate'], run.user_attrs['seed']): run.user_attrs['outcome']
                for run in final_study(folder).trials if run.state == TrialState.COMPLETE}
    numbers = sorted({number for number, _ in outcomes} - {-1})
    return {number: np.mean([reward(outcomes[number, seed], outcomes[-1, seed])
                             for seed in (1, 2)]) for number in numbers}


def test_the_winner_is_chosen_in_the_final_round(search, study_of, runs, tool, search_config,
                                                 tmp_path):
    folder = tmp_path / 'work'
    out = tool('search', search_config, '--work-dir', folder, *FINAL)
    study, expected = study_of(folder), means(folder)
    ranking = sorted(study.trials, key=lambda trial: -trial.value)
    finalists = ranking[:2] + [trial for trial in ranking[2:] if trial.number == 0]
    assert sorted(expected) == sorted(trial.number for trial in finalists)
    assert [(seed, length) for _, seed, length in runs[5:]] == [(1, 3), (2, 3)] * (
        1 + len(finalists))

    rows = leaderboard(folder)
    assert list(rows[0])[2:4] == ['reward', 'final_reward']
    for row in rows:
        number = int(row['trial'])
        assert float(row['reward']) == pytest.approx(study.trials[number].value, rel=1e-5)
        assert row['final_reward'] == (f'{expected[number]:.6g}' if number in expected else '')
    winner = max(expected, key=expected.get)
    assert int(rows[0]['trial']) == winner
    config = Config.fromfile(str(folder / 'best_distiller.py'))
    assert spec_from_config(config.model.distiller) == spec_of(study.trials[winner])
    header = (folder / 'best_distiller.py').read_text().split('\n#\n')[0]
    assert f'final round: reward {expected[winner]:+.4f}, best of {len(expected)} dist' in header
    assert 'mean of 2 seeds on a proxy 3 times as long' in header and 'hand-crafted' in header
    for words in ('final round: undistilled student, seed 1', f'trial {winner}, seed 2: loss',
                  ' final ', 'best of'):
        assert words in out
    assert out.count('final round: trial') == 2 * len(finalists)
    assert out.splitlines()[-1].endswith(f'what mattered: {folder / "report.html"}')
    page = re.sub('</?span>', '', (folder / 'report.html').read_text(encoding='utf-8'))
    for words in (spec_of(study.trials[winner]).in_words(), f'autokd train {folder}',
                  f'{folder}_again', 'data:image/png;base64,', 'expected in the full training'):
        assert str(escape(words)) in page
    assert [path.name for path in (folder / 'final').iterdir()] == [f'{winner}.pth']


def test_same_winner_again_and_nothing_run_twice(search, runs):
    folder = search(*FINAL)
    best = (folder / 'best_distiller.py').read_text()
    (folder / 'best_distiller.py').unlink()
    number = len(runs)
    search(*FINAL, '--resume')
    assert (folder / 'best_distiller.py').read_text() == best and len(runs) == number
    other = search(*FINAL, work_dir='other')
    assert means(other) == means(folder)
    assert (other / 'best_distiller.py').read_text() == best


def test_a_final_round_with_a_reward_of_its_own(search, runs, study_of):
    """The same runs, judged by other terms; the trials keep the reward of the search."""
    folder = search(*FINAL)
    number, values = len(runs), [trial.value for trial in study_of(folder).trials]
    search('--resume', *FINAL, 'train_cfg.final_round.reward.metric=1')
    assert len(runs) == number and [trial.value for trial in study_of(folder).trials] == values
    outcomes = {(run.user_attrs['candidate'], run.user_attrs['seed']):
                run.user_attrs['outcome']['metric'] for run in final_study(folder).trials}
    finals = {int(row['trial']): float(row['final_reward']) for row in leaderboard(folder)
              if row['final_reward']}
    assert set(finals) == {candidate for candidate, _ in outcomes} - {-1}
    for candidate, found in finals.items():
        gains = [outcomes[candidate, seed] / outcomes[-1, seed] - 1 for seed in (1, 2)]
        assert max(gains) < 1 and found == pytest.approx(np.mean(gains), rel=1e-4, abs=1e-9)


def test_more_trials_later(search, study_of):
    folder = search(*FINAL)
    before = final_study(folder).trials
    search('--resume', '--trials', 7, *FINAL[2:])
    study, runs = study_of(folder), final_study(folder).trials
    assert len(study.trials) == 7
    assert [run.user_attrs for run in runs[:len(before)]] == [run.user_attrs for run in before]
    best = sorted(study.trials, key=lambda trial: -trial.value)[:2]
    assert {trial.number for trial in best} <= set(means(folder))
    search('--resume', '--trials', 7, '--cfg-options', *OFF, FINAL[-1])  # off: the best trial wins
    assert 'final round' not in (folder / 'best_distiller.py').read_text()
    assert f'(trial {study.best_trial.number} of 7' in (folder / 'best_distiller.py').read_text()


def test_a_student_that_cannot_be_trained_so_long(search, monkeypatch, tmp_path):
    losses, calls = Candidate.losses, []

    def explodes(self, *args):
        own, distilled = losses(self, *args)
        if not self.distiller.distill_losses:
            calls.append(1)
            if len(calls) > 4:  # the two of the proxy, and two more
                own = own * float('inf')
        return own, distilled

    with monkeypatch.context() as patch:
        patch.setattr(Candidate, 'losses', explodes)
        with pytest.raises(search.Ended, match='final_round.length=3: the undistilled') as ended:
            search(*FINAL)
    assert ended.value.code == 2 and len(leaderboard(tmp_path / 'work')) == 4
    assert len(means(search(*FINAL, '--resume'))) >= 2


def test_all_defaults_on(search, study_of):
    """As shipped: nothing of the config says anything about the three."""
    folder = search('--cfg-options', 'train_cfg.proxy.epochs=2')
    rows, expected = leaderboard(folder), means(folder)
    assert expected and rows[0]['final_reward'] == f'{max(expected.values()):.6g}'
    assert sum(row['state'] != 'rejected' for row in rows) == 3
