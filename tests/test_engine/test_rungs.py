"""Who goes on to longer runs in the final round."""
import pytest
from final_rounds import Trainer, numbers, outcome, play

from autokd_mm.engine.final_settings import FinalSettings
from autokd_mm.errors import CandidateFailed
from autokd_mm.study import study as studies
from autokd_mm.study.ranking import Standing, best, ranked
from autokd_mm.study.rungs import Run


class TestRungs:

    def test_the_better_half_goes_on(self, make):
        trainer = Trainer({('KD', 11): 0.9, ('AT', 11): 0.5, ('SP', 11): 0.4, ('ICKD', 11): 0.7})
        final = make([0.4, 0.3, 0.2, 0.1], trainer, best=4, length=6, rungs=3, seeds=1)
        assert final.settings.lengths == [2, 3, 6]
        lines = play(final)
        assert trainer.calls == [
            *((name, 11, 2) for name in (None, 'KD', 'AT', 'SP', 'ICKD')),
            *((name, 11, 3) for name in (None, 'SP', 'AT')),
            (None, 11, 6), ('SP', 11, 6)]
        assert 'trial 2, seed 11, length 6' in lines[-1]
        assert final.standings() == {
            0: Standing(2, pytest.approx(0.1), 1), 1: Standing(3, 0.5, 1),
            2: Standing(6, pytest.approx(0.6), 1), 3: Standing(2, pytest.approx(0.3), 1)}

    def test_who_came_further_is_better(self, make):
        """However good the others were at a shorter length."""
        by_length = {3: 0.1, 6: 0.9}

        class Fading(Trainer):

            def run(self, spec, watch, seed, length):
                super().run(spec, watch, seed, length)
                return outcome(by_length[length] if spec is not None else 1.0)

        final = make([0.2, 0.1], Fading(), best=2, length=6, rungs=2, seeds=1)
        play(final)
        about = final.report(studies.finished(final.search))
        assert 'reward +0.1000, best of 2 distillers (mean of 1 seeds on a proxy 6 times' \
            in about[0]

    def test_the_best_hand_crafted_one_stays(self, make):
        trainer = Trainer({('AT', 11): 0.5, ('SP', 11): 0.6, ('KD', 11): 0.8, ('ICKD', 11): 0.9})
        settings = dict(first=['KD', 'ICKD'], best=2, length=4, rungs=3, seeds=1)
        final = make([0.1, 0.6, 0.5, 0.2], trainer, handcrafted='all', **settings)
        play(final)
        assert [name for name, _, length in trainer.calls if length == 4] == [
            None, 'AT', 'SP', 'KD']
        about = final.report(studies.finished(final.search))
        assert about[1].endswith('best hand-crafted there: logits kl (T=4) x1, reward +0.2000')

    def test_which_earns_it_where_none_is_asked_for(self, make):
        trainer = Trainer({('AT', 11): 0.5, ('KD', 11): 0.8})
        final = make([0.1, 0.6], trainer, first=['KD'], best=2, handcrafted=0, length=2, rungs=2,
                     seeds=1)
        play(final)
        assert [name for name, _, length in trainer.calls if length == 2] == [None, 'AT']
        about = final.report(studies.finished(final.search))
        assert about[1].endswith('reward +0.2000 at length 1')

    def test_who_fails_is_among_the_worse(self, make):
        failed = CandidateFailed('the loss is nan')
        trainer = Trainer({('KD', 11): failed, ('AT', 11): failed, ('SP', 11): 0.5})
        final = make([0.3, 0.2, 0.1], trainer, best=3, length=4, rungs=2, seeds=1)
        play(final)
        assert [name for name, _, length in trainer.calls if length == 4] == [None, 'SP']

    def test_nobody_is_left(self, make):
        failed = CandidateFailed('the loss is nan')
        final = make([0.3], Trainer({('KD', 11): failed}), best=1, length=4, rungs=2, seeds=1)
        assert len(play(final)) == 2 and final.standings() == {}

    def test_the_next_rung_waits_for_the_last_run_of_this_one(self, make):
        one = make([0.2, 0.1], best=2, length=2, rungs=2, seeds=1)
        finalists = one.finalists(studies.finished(one.search))
        taken = [one.take(one.runs(finalists)) for _ in range(3)]
        for trial in taken[:2]:
            one.run(trial)
        assert one.take(one.runs(finalists)) is None
        assert len(one.finished(one.runs(finalists))) == 2 and len(one.runs(finalists)) == 3
        one.run(taken[2])
        assert one.runs(finalists)[3:] == [Run(-1, 11, 2), Run(0, 11, 2)]


class TestBudget:
    """All begin with one seed, as long as the budget allows."""

    def test_all_at_one_length_and_two_with_every_seed(self, make):
        trainer = Trainer({('KD', 11): 0.9, ('AT', 11): 0.5, ('SP', 11): 0.4, ('ICKD', 11): 0.7,
                           ('AT', 12): 0.8, ('SP', 12): 0.9})
        final = make([0.4, 0.3, 0.2, 0.1], trainer, best=4, length=2, budget=16)
        lines = play(final)
        assert trainer.calls == [
            *((name, 11, 2) for name in (None, 'KD', 'AT', 'SP', 'ICKD')),
            (None, 12, 2), ('SP', 12, 2), ('AT', 12, 2)]
        assert 'trial 1, seed 12, length 2' in lines[-1]
        assert final.expected_length(final.runs(final.finalists(
            studies.finished(final.search)))) == 5 * 2 + 3 * 2
        # SP has lost its lead with the other seed, and ICKD was left behind by its first one
        assert final.standings() == {
            0: Standing(2, pytest.approx(0.1), 1), 1: Standing(2, pytest.approx(0.35), 2),
            2: Standing(2, pytest.approx(0.35), 2), 3: Standing(2, pytest.approx(0.3), 1)}
        assert final.metrics(1) == {2: 0.5} and final.metrics(-1) == {2: 0.5}
        about = final.report(studies.finished(final.search))
        assert 'reward +0.3500, best of 4 distillers (mean of 2 seeds on a proxy 2' in about[0]
        assert play(final) == []

    def test_who_has_fewer_seeds_is_behind(self, make):
        """However lucky the one was."""
        trainer = Trainer({('KD', 11): 0.3, ('AT', 11): 0.4, ('SP', 11): 0.5, ('KD', 12): 1.5,
                           ('AT', 12): 1.5})
        final = make([0.4, 0.3, 0.2], trainer, best=3, length=1, budget=7)
        play(final)
        done = studies.finished(final.search)
        assert [trial.number for trial in ranked(done, final.standings())] == [0, 1, 2]
        assert best(done, final.standings()).number == 0

    def test_the_best_hand_crafted_one_takes_a_place_of_the_two(self, make):
        trainer = Trainer({('AT', 11): 0.5, ('SP', 11): 0.6, ('KD', 11): 0.8})
        final = make([0.1, 0.6, 0.5], trainer, first=['KD'], best=3, length=1, budget=7)
        play(final)
        assert [name for name, seed, _ in trainer.calls if seed == 12] == [None, 'AT', 'KD']

    def test_all_hand_crafted_ones_join_but_rejected_ones(self, make):
        settings = dict(best=1, length=2, seeds=1)
        final = make([0.1, 0.6, None, 'pruned 0.3'], first=['KD', 'SP', 'ICKD'], budget=8,
                     handcrafted='all', **settings)
        assert numbers(final) == [1, 0, 3] and final.left_out(studies.finished(final.search)) == []
        final.settings = FinalSettings(**settings)
        assert numbers(final) == [1, 0]

    def test_who_is_left_out_and_why(self, make):
        final = make([0.1, 0.6, 0.5, 0.2, 0.3], first=['KD', 'ICKD', 'PKD'], best=2)
        final.settings = FinalSettings.from_config(dict(best=2, length=2, seeds=1, budget=8))
        assert numbers(final) == [1, 2, 4]
        line, = final.left_out(studies.finished(final.search))
        assert line == (
            'final round: final_round.budget=8 is too small for 5 distillers, which need 12; left '
            'out, the worst on the proxy: logits kl (T=4) x1 (reward on the proxy +0.1000); '
            'feature > channel-wise > gram_l2 x5 (reward on the proxy +0.2000)')
        assert line in final.report(studies.finished(final.search))
        final.always = [dict(name='KD')]
        assert numbers(final) == [1, 4, 0]
        final.settings = FinalSettings.from_config(dict(best=2, length=2, seeds=1, budget=6))
        assert numbers(final) == [1, 4]

    def test_more_seeds_keep_who_stood_best(self, make):
        """Also where the budget is too small for those that were better on the proxy."""
        trainer = Trainer({('KD', 11): 0.9, ('AT', 11): 0.8, ('SP', 11): 0.7, ('ICKD', 11): 0.3,
                           ('ICKD', 12): 0.3})
        settings = dict(best=4, length=2, budget=12, handcrafted=0)
        play(make([0.5, 0.4, 0.3, 0.2], trainer, first=['AT'], seeds=1, **settings))
        trainer.calls = []
        final = make(trainer=trainer, first=['AT'], seeds=2, **settings)
        line, = final.left_out(studies.finished(final.search))
        assert line.count('has run in the final round before') == 2 and 'worst' not in line
        play(final)  # whoever is done first changes nothing
        assert trainer.calls == [(None, 12, 2), ('AT', 12, 2), ('ICKD', 12, 2)]
        assert best(studies.finished(final.search), final.standings()).number == 3

    def test_more_trials_and_seeds_keep_who_stood_best(self, make):
        trainer = Trainer({('AT', 11): 0.3, ('AT', 12): 0.3})
        play(make([0.5, 0.1], trainer, best=2, length=1, seeds=1))
        trainer.calls = []
        final = make(trainer=trainer, best=1, length=1, seeds=2)
        assert numbers(final) == [0, 1]
        play(final)
        assert trainer.calls == [(None, 12, 1), ('KD', 12, 1), ('AT', 12, 1)]
        assert numbers(make(best=1, length=1, seeds=2)) == [0, 1]
        assert numbers(make(best=1, length=1, seeds=3)) == [0, 1]

    def test_an_old_round_goes_on_as_it_was(self, make):
        trainer = Trainer()
        play(make([0.3, 0.2, 0.1], trainer, best=2), most=4)
        play(make(trainer=trainer, best=2))
        assert trainer.calls == [(name, seed, 4) for name in (None, 'KD', 'AT')
                                 for seed in (11, 12)]
        # With a budget what it has run counts, too.
        trainer.calls = []
        play(make(trainer=trainer, best=3, budget=64))
        assert trainer.calls == [('SP', 11, 4), ('SP', 12, 4)]
