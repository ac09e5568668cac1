"""Final rounds over a study on disk, with a toy trainer in place of training."""
from types import SimpleNamespace

import pytest
from optuna.trial import TrialState

from autokd_mm.engine.final_round import FinalRound
from autokd_mm.engine.final_settings import FinalSettings
from autokd_mm.report.export import SPEC
from autokd_mm.search import MCTSSampler
from autokd_mm.search.reward import Outcome, Reward
from autokd_mm.space.handcrafted import HANDCRAFTED
from autokd_mm.study import study as studies
from autokd_mm.study.study import open_study

NAMES = ('KD', 'AT', 'SP', 'ICKD', 'PKD', 'CC', 'DIST', 'CWD')


def outcome(loss):
    return Outcome(loss, loss, 0.5, 0.5, 1.0)


class Trainer:
    """The undistilled student's loss is 1; ``losses`` says whose is what, by (name, seed)."""
    settings = SimpleNamespace(seed=10)

    def __init__(self, losses=None):
        self.losses, self.calls = losses or {}, []

    def run(self, spec, watch, seed, length):
        name = spec and next(name for name in NAMES if HANDCRAFTED[name] == spec)
        self.calls.append((name, seed, length))
        loss = self.losses.get((name, seed), 1.0)
        if isinstance(loss, BaseException):
            raise loss
        return outcome(loss)


@pytest.fixture
def make(tmp_path):
    """A study with a trial for each reward (None: failed, 'pruned 0.1': pruned), and its final
    round; again: the same study, opened again."""

    def make(rewards=(), trainer=None, first=(), terms=None, **settings):
        study = open_study(str(tmp_path), MCTSSampler(seed=0), dict(a=1))
        for name, reward in zip(NAMES, rewards):
            study.enqueue_trial(dict(name=name))
            trial = study.ask()
            trial.suggest_categorical('name', NAMES)
            trial.set_user_attr(SPEC, HANDCRAFTED[name].to_dict())
            if reward is None:
                study.tell(trial, state=TrialState.FAIL)
            elif isinstance(reward, str):
                trial.report(float(reward.split()[1]), 1)
                study.tell(trial, state=TrialState.PRUNED)
            else:
                study.tell(trial, reward)
        return FinalRound(FinalSettings(**settings), study, trainer or Trainer(),
                          Reward(terms or dict(calibrated_loss=1)),
                          [dict(name=name) for name in first])

    return make


def numbers(final):
    return [trial.number for trial in final.finalists(studies.finished(final.search))]


def rewards(final):
    return {number: reached.reward for number, reached in final.standings().items()}


def play(final, most=100):
    """One worker, until nothing is left."""
    lines = []
    while len(lines) < most:
        runs = final.runs(final.finalists(studies.finished(final.search)))
        trial = final.take(runs)
        if trial is None:
            return lines
        lines.append(final.run(trial))
    return lines
