"""The two phases of a search, trials and final round, as each worker goes through them."""
from __future__ import annotations

import time
from typing import Any, Callable, ContextManager, Dict, List, Optional, Sequence, Tuple

import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial

from autokd_mm.engine.final_round import FinalRound, Run
from autokd_mm.engine.one_trial import TrialRunner
from autokd_mm.page import Page
from autokd_mm.report import export
from autokd_mm.report.progress import Display, expected_work
from autokd_mm.report.results import Results
from autokd_mm.search.sampler import SpaceUsedUp
from autokd_mm.study import study as studies
from autokd_mm.study.heartbeat import Heartbeat
from autokd_mm.study.patience import one_look, patiently
from autokd_mm.study.ranking import Standing, best
from autokd_mm.study.time_limit import TimeLimit

# Seconds between two looks for what others have finished.
POLL = 0.5


class Phases:
    """Takes trials, then runs of the final round, until none is left for this worker.

    Args:
        study: of the search.
        runner: runs a trial.
        final: the final round; None: there is none.
        results: written anew behind every run.
        display: what is done and left is shown there.
        turn: one worker at a time takes a trial, or writes what has been found.
        say: told each run of the final round in a line.
        trials: that count, at which the first phase ends.
        free: rejected ones that do not count (see :func:`~autokd_mm.study.study.counted`).
        heartbeat: this worker's sign of life, and what it knows of the others'.
        limit: when to begin nothing more.
        page: kept beside the leaderboard; None: there is none.
    """

    def __init__(self, study: Study, runner: TrialRunner, final: Optional[FinalRound],
                 results: Results, display: Display, turn: Callable[[], ContextManager[Any]],
                 say: Callable[[str], None], trials: int, free: int, heartbeat: Heartbeat,
                 limit: TimeLimit, page: Optional[Page] = None) -> None:
        self.study, self.runner, self.final = study, runner, final
        self.results, self.display, self.turn, self.say = results, display, turn, say
        self.trials, self.free, self.heartbeat, self.limit = trials, free, heartbeat, limit
        self.page = page
        self._used_up = False
        heartbeat.watch(study)
        if final is not None:
            heartbeat.watch(final.study)

    def search(self) -> None:
        """Run trials. Before a final round the others' are waited for, because they may win;
        otherwise until it is clear that somebody is at them."""
        told, longest = False, _longest(studies.finished(self.study))
        while not self.limit.reached(longest):
            trial, done, others = self._next_trial()
            longest = _longest(done)
            if trial is not None:
                self.heartbeat.sign(self.study, trial._trial_id)
                self.runner.run(trial)
                self.heartbeat.rest()
                self._write_leaderboard()
            elif others and (self.final or not all(map(self._known_to_live, others))):
                if not told:
                    self.say(f'waiting for {len(others)} trials of other workers')
                told, longest = True, 0.0
                time.sleep(POLL)
            else:
                return

    def final_round(self) -> None:
        """Run what is left of the final round, if there is one, and wait for what others run."""
        if self.final is None:
            return
        self._write_leaderboard(now=True)  # complete, whatever becomes of the final round
        done = studies.finished(self.study)
        for line in self.final.left_out(done):
            self.say(line)
        longest = _longest(done) * self.final.settings.length
        while not self.limit.reached(longest):
            with self.turn(), one_look(self.study):
                done = studies.finished(self.study)
                runs = self.final.runs(self.final.finalists(done))
                finished = self.final.finished(runs)
                trial = self.final.take(runs, self.heartbeat.silent())
            self._show(done, runs, finished)
            if trial is not None:
                self.heartbeat.sign(self.final.study, trial._trial_id)
                self.say(self.final.run(trial, self.turn))
                self.heartbeat.rest()
                self._write_leaderboard()
            elif len(finished) == len(runs):
                return
            else:
                longest = 0.0
                time.sleep(POLL)

    def finals(self) -> Dict[int, Standing]:
        """Where distillers stand behind the final round, by trial number."""
        return self.final.standings() if self.final else {}

    def counted(self, done: Sequence[FrozenTrial]) -> int:
        return studies.counted(done, self.free)

    def _next_trial(self) -> Tuple[Optional[optuna.Trial], List[FrozenTrial], List[FrozenTrial]]:
        """The next trial, signed by this worker, the finished ones and those under way; no trial
        when enough are finished or under way."""
        with self.turn(), one_look(self.study):
            studies.take_up_interrupted(self.study, self.heartbeat.silent())
            done, running = studies.finished_and_running(self.study)
            self._show(done)
            if self._used_up or self.counted(done) + len(running) >= self.trials:
                return None, done, running
            try:
                trial = self.study.ask()
            except SpaceUsedUp as error:  # a sampler that is to stop then
                self._used_up = True
                studies.set_used_up(self.study, len(done) + len(running))
                self.say(f'{error}: the search ends with {len(done)} trials of {self.trials}')
                return None, done, running
            trial.set_user_attr(studies.WORKER, studies.worker_name())
            return trial, done, running

    def _known_to_live(self, trial: FrozenTrial) -> bool:
        return studies.is_here(trial) or self.heartbeat.living(trial._trial_id)

    def _write_leaderboard(self, now: bool = False) -> None:
        if self.page is not None:
            self.page.keep()  # outside the turn: nobody waits for it
        if not now and self.results.fresh():
            return  # at the end it is written in any case
        with self.turn():
            done, finals = studies.finished(self.study), self.finals()
            patiently(lambda: self.results.write_leaderboard(done, finals))
            patiently(lambda: self.results.write_view(self.study))

    def _show(self, done: Sequence[FrozenTrial], runs: Sequence[Run] = (),
              finished: Sequence[Run] = ()) -> None:
        top = best(done)
        note = f'best {top.value:+.4f}' if top else ''
        work = expected_work(done, self.trials, self.free, self.runner.epochs,
                             self.final.expected_length(runs) if self.final else 0,
                             sum(run.length for run in finished))
        if runs:
            self.display.show('final round', len(finished), len(runs), note, work)
        else:
            self.display.show('searching', self.counted(done), self.trials, note, work)


def _longest(trials: Sequence[FrozenTrial]) -> float:
    """Seconds of the longest run."""
    return max([trial.user_attrs.get(export.OUTCOME, {}).get('seconds', 0.0) for trial in trials],
               default=0.0)
