"""Trials and final round of several workers, with a toy in place of training."""
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from optuna.trial import TrialState

from autokd_mm.engine import phases as module
from autokd_mm.engine.final_round import FinalRound
from autokd_mm.engine.final_settings import FinalSettings
from autokd_mm.engine.phases import Phases
from autokd_mm.page import facts_of
from autokd_mm.proxy.ranks import RankLost
from autokd_mm.report.export import OUTCOME, SPEC
from autokd_mm.search import MCTSSampler
from autokd_mm.search.reward import Outcome, Reward
from autokd_mm.space.handcrafted import HANDCRAFTED
from autokd_mm.study import study as studies
from autokd_mm.study.heartbeat import MISSES, Heartbeat
from autokd_mm.study.rungs import Run
from autokd_mm.study.status import open_studies, status_of
from autokd_mm.study.study import open_study
from autokd_mm.study.time_limit import TimeLimit

NAMES = tuple(HANDCRAFTED)


class Trainer:
    settings = SimpleNamespace(seed=0)

    def run(self, spec, watch, seed, length):
        loss = 1.0 if spec is None else 0.5 + NAMES.index(
            next(name for name in NAMES if HANDCRAFTED[name] == spec)) / 100
        return Outcome(loss, loss, 0.5, 0.5, 0.1)


class Runner:
    """Rejects what is in ``bad``, finishes the others."""
    epochs = 4

    def __init__(self, study, bad=()):
        self.study, self.bad, self.done = study, bad, []

    def run(self, trial):
        name = trial.suggest_categorical('name', NAMES)
        trial.set_user_attr(SPEC, HANDCRAFTED[name].to_dict())
        if name in self.bad:
            trial.set_user_attr(studies.REJECTED, True)
            self.study.tell(trial, state=TrialState.PRUNED)
            return
        trial.set_user_attr(OUTCOME, dict(seconds=0.1))
        self.study.tell(trial, NAMES.index(name) / 100)
        self.done.append(trial.number)


class Notes:
    """Takes the place of the display and of the results."""

    def __init__(self):
        self.shown, self.written, self.said = [], [], []

    def show(self, what, done, total, note, work):
        self.shown.append((what, done, total, work))

    def fresh(self):
        return False

    def write_leaderboard(self, trials, final):
        self.written.append((len(trials), dict(final)))

    def write_view(self, study):
        pass


@pytest.fixture
def make(tmp_path):

    def make(trials=4, free=0, bad=(), final=True, hours=None):
        study = open_study(str(tmp_path), MCTSSampler(seed=1), dict(a=1))
        last = FinalRound(FinalSettings(best=2, seeds=1), study, Trainer(),
                          Reward(dict(calibrated_loss=1)), []) if final else None
        notes = Notes()
        return Phases(study, Runner(study, bad), last, notes, notes, nullcontext,
                      notes.said.append, trials, free, Heartbeat(), TimeLimit(hours))

    return make


def ask(phases, worker):
    trial = phases.study.ask()
    trial.set_user_attr(studies.WORKER, worker)
    return trial


def dead():
    host, pid, _ = studies.worker_name().rsplit(':', 2)
    return f'{host}:{pid}:12345'


def test_one_worker(make):
    phases = make()
    phases.search()
    phases.final_round()
    assert phases.runner.done == [0, 1, 2, 3]
    rewards = phases.finals()
    assert len(rewards) == 2
    best = sorted(phases.study.trials, key=lambda trial: -trial.value)[:2]
    assert sorted(rewards) == sorted(trial.number for trial in best)
    assert phases.display.written[-1] == (4, rewards)
    phases.search()  # nothing is left
    phases.final_round()
    assert len(phases.study.trials) == 4 and len(phases.final.study.trials) == 3


def test_time_left_is_about_both_phases(make):
    phases = make()
    phases.search()
    phases.final_round()
    shown = phases.display.shown
    assert shown[0] == ('searching', 0, 4, (0, 4 + 3 * 4))
    assert shown[2] == ('searching', 2, 4, (2, 16))
    assert shown[5] == ('final round', 0, 3, (4, 16))
    assert shown[-1] == ('final round', 3, 3, (16, 16))
    assert [done for *_, (done, total) in shown] == sorted(done for *_, (done, total) in shown)


def test_without_a_final_round(make):
    phases = make(final=False)
    ask(phases, studies.worker_name())
    phases.search()  # does not wait
    phases.final_round()
    assert len(phases.runner.done) == 3 and phases.finals() == {}
    assert phases.display.shown[0][-1] == (0, 4)


def test_rejected_ones_cost_nothing_up_to_a_number(make):
    phases = make(trials=3, free=2, bad=NAMES, final=False)
    phases.search()
    assert len(phases.study.trials) == 5 and phases.runner.done == []
    phases = make(trials=6, free=100, bad=NAMES[:7], final=False)
    phases.search()
    assert len(phases.runner.done) == 6


def test_what_a_dead_worker_had_is_finished_by_who_waits(make):
    phases = make()
    lost = ask(phases, dead())
    lost.suggest_categorical('name', NAMES)
    phases.search()
    phases.final_round()
    trials = phases.study.trials
    assert trials[0].state == TrialState.FAIL and trials[0].user_attrs['interrupted']
    again = [trial for trial in trials if trial.user_attrs.get(studies.RETRY_OF) == 0]
    assert [trial.params for trial in again] == [trials[0].params]
    assert len(phases.runner.done) == 4 and len(phases.finals()) == 2


def test_the_others_are_waited_for(make, monkeypatch):
    """The last trial is the best: nobody may begin the final round without it."""
    phases, slept = make(), []
    other = ask(phases, 'another-host:1:1')

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 3:
            other.suggest_categorical('name', NAMES)
            other.set_user_attr(SPEC, HANDCRAFTED['LKD'].to_dict())
            phases.study.tell(other, 9.0)

    monkeypatch.setattr(module.time, 'sleep', sleep)
    phases.search()
    assert len(slept) == 3
    assert phases.display.said == ['waiting for 1 trials of other workers']
    phases.final_round()
    assert other.number in phases.finals()


def look(phases, times=MISSES + 1):
    for _ in range(times):
        phases.heartbeat.look()


def test_a_worker_out_of_sight_that_shows_no_life(make, monkeypatch):
    """What it had begun is run again by who waits for it."""
    phases, slept = make(), []
    lost = ask(phases, 'another-host:1:1')
    monkeypatch.setattr(module.time, 'sleep', lambda _: slept.append(look(phases, 2)))
    phases.search()
    trials = phases.study.trials
    assert 2 * len(slept) > MISSES and trials[lost.number].state == TrialState.FAIL
    assert [trial.user_attrs.get(studies.RETRY_OF) for trial in trials[1:]] == [None] * 3 + [0]
    run = phases.final.take([Run(-1, 1, 4)])
    run.set_user_attr(studies.WORKER, 'another-host:1:1')
    phases.final_round()
    assert phases.final.study.trials[0].state == TrialState.FAIL and len(phases.finals()) == 2


def test_without_a_final_round_until_somebody_is_seen_at_the_others(make, monkeypatch):
    phases, slept = make(final=False), []
    other = ask(phases, 'another-host:1:1')

    def sleep(_):
        look(phases, 1)
        other.set_user_attr('heartbeat', len(slept))
        slept.append(1)

    monkeypatch.setattr(module.time, 'sleep', sleep)
    phases.search()
    assert len(slept) == 2 and len(phases.study.trials) == 4


def test_life_goes_to_the_trial_under_way(make):
    phases, signed = make(trials=2), []

    def run(trial):
        phases.heartbeat.beat()
        signed.append(phases.study.trials[trial.number].user_attrs.get('heartbeat'))
        phases.study.tell(trial, 0.5)
        phases.heartbeat.beat()  # too late: it changes nothing

    phases.runner.run = run
    phases.search()
    assert signed == [1, 3]
    phases.heartbeat.beat()
    assert [trial.user_attrs['heartbeat'] for trial in phases.study.trials] == [1, 3]


def test_nothing_begins_that_would_end_too_late(make, monkeypatch):
    phases = make(hours=1.0)
    begun = module.TimeLimit.__init__.__globals__['_START']
    clock = [begun]
    monkeypatch.setattr('autokd_mm.study.time_limit.time.monotonic', lambda: clock[0])

    def run(trial):
        clock[0] += 1000.0
        trial.set_user_attr(OUTCOME, dict(seconds=1000.0))
        phases.study.tell(trial, 0.5)

    phases.runner.run = run
    phases.search()  # a fourth would end behind 4000 s
    phases.final_round()
    assert len(phases.study.trials) == 3 and phases.limit.stopped
    assert len(phases.final.study.trials) == 0 and 'max_hours=1' in phases.limit.why()


def test_a_leaderboard_of_a_moment_ago_is_not_written_again(make, monkeypatch):
    phases = make(final=False)
    monkeypatch.setattr(phases.results, 'fresh', lambda: True)
    phases.search()
    assert len(phases.study.trials) == 4 and phases.results.written == []


def test_a_rank_that_is_lost_leaves_its_run_to_others(make):
    phases = make()
    phases.search()

    def lost(*args):
        raise RankLost('rank 1 has ended')

    phases.final.trainer.run = lost
    with pytest.raises(RankLost):
        phases.final_round()
    assert [trial.state for trial in phases.final.study.trials] == [TrialState.RUNNING]


def test_a_sampler_that_is_to_stop_ends_the_trials(make):
    """Not the search: the final round is run, and nothing is taken up again later."""
    phases = make(trials=30)
    phases.study.sampler = MCTSSampler(seed=1, when_used_up='stop')
    for _ in range(2):
        phases.search()
        assert len(studies.finished(phases.study)) == len(NAMES)
    assert any(f'has been tried: the search ends with {len(NAMES)} trials of 30' in line
               for line in phases.say.__self__)
    again = make(trials=30)
    again.study.sampler = MCTSSampler(seed=1, when_used_up='stop')
    assert studies.take_up_interrupted(again.study) == []
    again.search()
    again.final_round()
    assert len(studies.finished(again.study)) == len(NAMES)
    assert len(studies.finished(again.final.study)) == 1 + 2


def test_a_search_that_has_tried_everything_is_finished(make, tmp_path):
    phases = make(trials=30)
    phases.study.sampler = MCTSSampler(seed=1, when_used_up='stop')
    studies.set_baseline(phases.study, dict(seconds=1))
    studies.set_plan(phases.study, 30, 0, 12)
    phases.search()
    found = status_of(str(tmp_path))
    assert found.phase == 'stopped' and found.used_up  # the final round is missing
    phases.final_round()
    (tmp_path / 'best_distiller.py').write_text('# found')
    found = status_of(str(tmp_path))
    assert found.phase == 'finished' and found.counted == found.wanted == len(NAMES)
    assert facts_of(str(tmp_path), *open_studies(str(tmp_path))).status.phase == 'finished'
    phases.study.sampler = MCTSSampler(seed=1)  # another one goes on
    ask(phases, dead())
    found = status_of(str(tmp_path))
    assert found.phase == 'stopped' and (found.counted, found.wanted) == (len(NAMES), 30)
