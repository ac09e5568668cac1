"""The final round over a study on disk, with a toy trainer in place of training."""
import os

import pytest
from final_rounds import Trainer, numbers, play, rewards
from optuna.trial import TrialState

from autokd_mm.engine.final_settings import FinalSettings
from autokd_mm.errors import CandidateFailed, ConfigError
from autokd_mm.report.export import OUTCOME
from autokd_mm.study import study as studies
from autokd_mm.study.rungs import Run


class TestFinalists:

    def test_the_best_finished_ones(self, make):
        final = make([0.1, 0.5, None, 0.3, 'pruned 0.9', 0.2], best=3)
        assert numbers(final) == [1, 3, 5]

    def test_the_best_hand_crafted_one_joins_them(self, make):
        final = make([0.1, 0.5, 0.2, 0.3, 0.4], best=2, first=['KD', 'SP'])
        assert numbers(final) == [1, 4, 2]
        final.settings = FinalSettings(best=2, handcrafted=2)
        assert numbers(final) == [1, 4, 2, 0]
        final.settings = FinalSettings(best=2, handcrafted=0)
        assert numbers(final) == [1, 4]

    def test_unless_it_is_among_them(self, make):
        final = make([0.1, 0.5, 0.2, 0.3, 0.4], best=2, first=['KD', 'AT'])
        assert numbers(final) == [1, 4]

    def test_also_where_it_was_pruned(self, make):
        final = make(['pruned 0.9', 0.5, None, 0.3, 'pruned 0.1'], best=1,
                     first=['KD', 'SP', 'PKD'])
        assert numbers(final) == [1, 0]

    def test_nobody_twice(self, make):
        make([0.1, 0.5, 0.4])
        final = make([0.2, 0.6, 0.3], best=2)
        assert numbers(final) == [4, 2]

    def test_nobody_at_all(self, make):
        final = make([None, 'pruned 0.3'], first=['AT'])
        assert numbers(final) == [] and final.runs([]) == [] and final.take([]) is None
        assert rewards(final) == {} and final.report(studies.finished(final.search)) == []


def test_the_winner_is_chosen_by_the_mean_over_new_seeds(make):
    trainer = Trainer({('KD', 11): 0.9, ('KD', 12): 0.7, ('AT', 11): 0.5, ('AT', 12): 1.2,
                       (None, 12): 0.8})
    final = make([0.1, 0.5, 0.0], trainer, best=2, length=3)
    lines = play(final)
    assert trainer.calls == [(None, 11, 3), (None, 12, 3), ('AT', 11, 3), ('AT', 12, 3),
                             ('KD', 11, 3), ('KD', 12, 3)]
    assert rewards(final) == {0: pytest.approx((0.1 + 0.125) / 2),
                               1: pytest.approx((0.5 - 0.5) / 2)}
    assert 'undistilled student, seed 11: loss 1.0000' in lines[0]
    assert 'trial 1, seed 12: loss 1.2000' in lines[3] and 'spatial attention' in lines[3]
    about = '\n'.join(final.report(studies.finished(final.search)))
    assert 'reward +0.1125, best of 2 distillers (mean of 2 seeds on a proxy 3 times' in about
    assert 'hand-crafted' not in about


def test_report_of_the_hand_crafted(make):
    trainer = Trainer({('KD', 11): 0.5, ('AT', 11): 0.8})
    final = make([0.1, 0.2], trainer, first=['AT'], seeds=1)
    play(final)
    about = '\n'.join(final.report(studies.finished(final.search)))
    assert 'best hand-crafted there: spatial attention > l2 x5, reward +0.2000' in about
    final.first = [dict(name='KD')]
    assert 'which is the best hand-crafted' in final.report(studies.finished(final.search))[1]


def test_nothing_is_run_twice(make):
    trainer = Trainer()
    play(make([0.1, 0.2], trainer, best=1), most=3)
    assert len(trainer.calls) == 3
    play(make(trainer=trainer, best=1))
    assert len(trainer.calls) == 4 == len(set(trainer.calls))
    play(make(trainer=trainer, best=2))  # more finalists: only theirs
    assert trainer.calls[4:] == [('KD', 11, 4), ('KD', 12, 4)]
    play(make(trainer=trainer, best=1, length=2))  # another length: all, and who stood best
    assert [length for *_, length in trainer.calls[6:]] == [2] * 6


def test_two_workers_share_the_runs(make):
    one, two = make([0.1, 0.2, 0.3], best=3), make(best=3)
    runs = one.runs(one.finalists(studies.finished(one.search)))
    taken = []
    for _ in range(4):
        taken += [one.take(runs), two.take(runs)]
    assert one.take(runs) is None and two.take(runs) is None
    assert [tuple(trial.user_attrs[name] for name in ('candidate', 'seed', 'length'))
            for trial in taken] == runs
    assert len(one.finished(runs)) == 0
    for trial in taken[::-1]:  # in any order, by any worker
        one.run(trial)
    assert len(two.finished(runs)) == len(runs) == 8 and two.take(runs) is None
    assert rewards(one) == rewards(two) == {0: 0.0, 1: 0.0, 2: 0.0}


def test_what_a_dead_worker_had_taken_is_taken_again(make, monkeypatch):
    final = make([0.1], best=1, seeds=1)
    runs = final.runs(final.finalists(studies.finished(final.search)))
    with monkeypatch.context() as patch:
        host, pid, _ = studies.worker_name().rsplit(':', 2)
        patch.setattr(studies, 'worker_name', lambda: f'{host}:{pid}:12345')
        dead = final.take(runs)
    trainer = Trainer()
    again = make(trainer=trainer, best=1, seeds=1)
    play(again)
    assert trainer.calls == [(None, 11, 4), ('KD', 11, 4)]
    told = again.study.trials[dead.number]
    assert told.state == TrialState.FAIL and told.user_attrs['interrupted'] is True
    assert rewards(again) == {0: 0.0}


def test_died_before_it_signed(make):
    final = make([0.1], best=1, seeds=1)
    final.study.ask()
    assert len(play(final)) == 2 and rewards(final) == {0: 0.0}


def test_a_worker_out_of_sight_is_waited_for_until_it_is_silent(make, monkeypatch):
    final = make([0.1], best=1, seeds=1)
    runs = final.runs(final.finalists(studies.finished(final.search)))
    with monkeypatch.context() as patch:
        patch.setattr(studies, 'worker_name', lambda: 'another-host:1:1')
        lost = final.take(runs)
    play(final)
    assert len(final.finished(runs)) == 1 and final.take(runs) is None and rewards(final) == {}
    late = final.take(runs, {lost._trial_id})
    final.run(late)
    assert rewards(final) == {0: 0.0}
    assert 'does not count' in final.run(lost)  # it was only slow
    assert rewards(final) == {0: 0.0} and len(final.finished(runs)) == 2
    assert len([run for run in final.study.trials if run.state == TrialState.COMPLETE]) == 2


def test_a_run_of_which_three_workers_die_has_failed(make, monkeypatch):
    final = make([0.1], best=1, seeds=1)
    runs = final.runs(final.finalists(studies.finished(final.search)))[1:]
    with monkeypatch.context() as patch:
        patch.setattr(studies, 'worker_name', lambda: 'another-host:1:1')
        silent = []
        for _ in range(3):
            silent.append(final.take(runs, silent)._trial_id)
    assert final.take(runs, silent) is None
    assert len(final.finished(runs)) == 1 and rewards(final) == {}
    assert final.study.trials[-1].user_attrs['reason'] == 'its worker died 3 times'


def test_a_distiller_that_fails_cannot_win(make):
    trainer = Trainer({('AT', 12): CandidateFailed('the loss is nan at step 3'), ('KD', 11): 0.5})
    final = make([0.1, 0.9], trainer)
    lines = play(final)
    assert 'seed 12 failed: the loss is nan at step 3' in lines[3]
    assert rewards(final) == {0: 0.25}
    failed = [run for run in final.study.trials if run.state == TrialState.FAIL]
    assert [run.user_attrs['reason'] for run in failed] == ['the loss is nan at step 3']
    assert play(final) == []


def test_all_fail(make):
    final = make([0.1], Trainer({('KD', 11): CandidateFailed('x')}), terms=dict(metric=1))
    play(final)
    assert rewards(final) == {}
    assert 'no distiller could be trained' in final.report(studies.finished(final.search))[0]


def test_a_reward_that_is_not_finite_cannot_win(make):
    final = make([0.1, 0.2], Trainer({('AT', 11): float('nan')}))
    play(final)
    assert rewards(final) == {0: 0.0}


@pytest.mark.parametrize('error', [KeyboardInterrupt(), TypeError('a bug')])
def test_an_interrupted_run_is_run_again(make, error):
    final = make([0.1], Trainer({('KD', 11): error}))
    with pytest.raises(type(error)):
        play(final)
    assert final.study.trials[-1].user_attrs['interrupted'] is True
    trainer = Trainer()
    again = make(trainer=trainer)
    play(again)
    assert trainer.calls == [('KD', 11, 4), ('KD', 12, 4)] and rewards(again) == {0: 0.0}


def test_student_that_cannot_be_trained_so_long(make):
    final = make([0.1], Trainer({(None, 12): CandidateFailed('the loss is inf')}))
    with pytest.raises(ConfigError, match='final_round.length=4: .*the loss is inf'):
        play(final)
    assert len(play(make())) == 3  # nothing of that is remembered


def test_it_lies_in_the_journal_of_the_search(make, tmp_path, study_of):
    final = make([0.1])
    play(final)
    assert os.listdir(str(tmp_path)) == ['study.journal']
    assert len(study_of(tmp_path).trials) == 1
    run = final.study.trials[2]
    assert run.user_attrs[OUTCOME]['calibrated_loss'] == run.value == 1.0


def test_expected_length(make):
    assert make().expected_length() == 48  # undistilled and five, two seeds, four lengths
    final = make(first=['KD'])
    assert final.expected_length() == 56
    final.settings = FinalSettings(best=1, handcrafted=0)
    assert final.expected_length() == 16
    assert make([0.1], best=3).expected_length([Run(-1, 11, 4), Run(0, 11, 4)]) == 16
    final = make(first=['KD', 'AT'], best=3, handcrafted='all', rungs=3, seeds=1)
    assert final.expected_length() == 6 * 1 + 4 * 2 + 3 * 4
    final = make(first=['KD', 'AT'], best=3, handcrafted='all', budget=40)
    assert final.expected_length() == 6 * 4 + 3 * 4
    final.settings = FinalSettings(best=30, budget=40)
    assert final.expected_length() == 40


def test_settings():
    assert FinalSettings.from_config(None) is FinalSettings.from_config(False) is None
    assert FinalSettings.from_config(True) == FinalSettings() == FinalSettings(5, 1, 4, 1, 2)
    assert FinalSettings.from_config(dict(best=2, seeds=3)) == FinalSettings(2, 1, 4, 1, 3)
    assert FinalSettings.from_config(dict(handcrafted='all')).least_handcrafted(7) == 7
    assert FinalSettings.from_config(dict(handcrafted=3)).least_handcrafted(2) == 2
    assert FinalSettings.from_config(dict(budget=24)) == FinalSettings(handcrafted='all', budget=24)
    assert FinalSettings.from_config(dict(budget=24, handcrafted=1)).handcrafted == 1
    assert FinalSettings.from_config(dict(budget=None)) == FinalSettings()
    assert FinalSettings.from_config(dict(reward=dict(metric=1))).reward.weights == dict(metric=1)


@pytest.mark.parametrize('config, words', [
    (dict(bests=3), "final_round: 'bests' is unknown, did you mean 'best'"),
    (dict(best=0), 'final_round.best=0: must be a whole number, at least 1'),
    (dict(length=1.5), 'final_round.length=1.5'), (dict(seeds=True), 'final_round.seeds=True'),
    (dict(handcrafted='al'), "final_round.handcrafted='al': must be a whole number, or 'all'"),
    (dict(rungs=0), 'final_round.rungs=0'), (dict(length=4, rungs=4), 'final_round.rungs=4: .* 3'),
    (dict(rungs=2, budget=30), 'final_round.rungs: with final_round.budget'),
    (dict(budget=0), 'final_round.budget=0: must be a whole number, at least 1'),
    (dict(budget=23), 'final_round.budget=23: too small for two .* at least 24 at .*length=4'),
    (dict(handcrafted=-1), 'final_round.handcrafted=-1: .* at least 0'),
    ('yes', "final_round='yes': must be a dict"),
    (dict(reward=dict(metrik=1)), "final_round.reward: 'metrik' is unknown, did you mean 'metric'"),
    (dict(reward='metric'), 'final_round.reward must be a dict like'),
])
def test_mistakes_in_the_settings(config, words):
    with pytest.raises(ConfigError, match=words):
        FinalSettings.from_config(config)
