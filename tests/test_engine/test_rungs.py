"""Who goes on to longer runs in the final round."""
import pytest
from final_rounds import Trainer, outcome, play

from autokd_mm.errors import CandidateFailed
from autokd_mm.study import study as studies
from autokd_mm.study.ranking import Standing
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
            0: Standing(2, pytest.approx(0.1)), 1: Standing(3, 0.5),
            2: Standing(6, pytest.approx(0.6)), 3: Standing(2, pytest.approx(0.3))}

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
