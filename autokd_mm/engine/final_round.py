"""The final round: the best distillers again, longer and with new seeds, to choose the winner."""
from __future__ import annotations

import math
from contextlib import nullcontext
from functools import partial
from typing import (Any, Callable, Collection, ContextManager, Dict, List, Mapping, Optional,
                    Sequence, Tuple)

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from autokd_mm.engine.final_settings import FinalSettings
from autokd_mm.engine.finalists import candidates, says_left_out, within_budget
from autokd_mm.engine.one_trial import Trainer, look_on
from autokd_mm.errors import CandidateFailed, ConfigError
from autokd_mm.proxy.ranks import RankLost
from autokd_mm.report import words
from autokd_mm.report.export import OUTCOME
from autokd_mm.search.reward import Outcome, Reward
from autokd_mm.study import study as studies
from autokd_mm.study.ladder import Step
from autokd_mm.study.ranking import Standing, best, in_order, spec_of
from autokd_mm.study.rungs import BASELINE, Run, Rungs
from autokd_mm.study.storage import final_name

_CANDIDATE, _SEED, _LENGTH = 'candidate', 'seed', 'length'
_ROUND = 'round'  # length and seeds that the settings had when a run was taken


class FinalRound:
    """Runs of the final round as trials of a second study in the same storage.

    Every run is a trial without parameters that carries which distiller with which seed it is, so
    it is taken, signed, finished and given up exactly as a trial of the search, and what a killed
    worker had finished stays. The round is a function of the two studies alone: whoever looks, and
    however often it was interrupted, the winner is the same.

    Args:
        settings: of the final round.
        study: of the search, whose trials are the candidates.
        trainer: of the proxy; the runs have the seeds that follow on its own.
        reward: of an outcome over the undistilled student's with the same seed.
        first: parameters of the hand-crafted distillers.
        always: those of them that a budget leaves out last.
        keep: given the number of a trial and its trained candidate, behind one run of each length.
    """

    def __init__(self, settings: FinalSettings, study: Study, trainer: Trainer,
                 reward: Reward, first: Sequence[Mapping[str, Any]],
                 keep: Optional[Callable[[int, Any], None]] = None,
                 always: Sequence[Mapping[str, Any]] = ()) -> None:
        self.settings, self.search = settings, study
        self.trainer, self.reward, self.keep = trainer, reward, keep
        self.first = [dict(params) for params in first]
        self.always = [dict(params) for params in always]
        self.seeds = [trainer.settings.seed + 1 + i for i in range(settings.seeds)]
        # The value of a run is its task loss: its reward is known when the undistilled student's
        # run with the same seed is, which another worker may be at.
        self.study = optuna.create_study(
            storage=study._storage, direction='minimize',
            study_name=final_name(study.study_name, study._storage.get_all_studies()),
            sampler=optuna.samplers.RandomSampler(seed=0), load_if_exists=True)

    def finalists(self, trials: Sequence[FrozenTrial]) -> List[FrozenTrial]:
        """Who takes part, best first.

        A hand-crafted distiller takes part also where it was pruned, so that there is something
        to compare the winner with.
        """
        return self._entrants(trials)[0]

    def left_out(self, trials: Sequence[FrozenTrial]) -> List[str]:
        """Who would take part with a larger budget, in words; nobody without one."""
        chosen, left = self._entrants(trials)
        ran = {run.candidate for run in self._runs()[0]}
        return says_left_out(left, len(chosen) + len(left), self.settings, ran)

    def is_handcrafted(self, trial: FrozenTrial) -> bool:
        return trial.params in self.first

    def runs(self, finalists: Sequence[FrozenTrial]) -> List[Run]:
        """Every run that is known by now, see :class:`Rungs`; none without finalists."""
        done = self._runs()[0]
        crafted = {trial.number for trial in finalists if self.is_handcrafted(trial)}
        rungs = Rungs(self.settings.steps(len(finalists)), self.seeds, self.reward,
                      crafted.__contains__ if self.settings.handcrafted else None,
                      self.settings.budget is not None)
        return rungs.runs([trial.number for trial in finalists], done, _outcomes(done))

    def expected_length(self, runs: Sequence[Run] = ()) -> int:
        """Of all runs together in lengths of the proxy, for an estimate of the time.

        Args:
            runs: those that are known.
        """
        entrants = len({run.candidate for run in runs} - {BASELINE})
        most = self.settings.best + self.settings.least_handcrafted(len(self.first))
        return self.settings.expected_length(entrants or most)

    def take(self, runs: Sequence[Run], silent: Collection[int] = ()) -> Optional[Trial]:
        """A run that nobody has taken, signed by this worker; ``None`` when there is none left.

        For the holder of the study's lock. What a dead worker had taken is taken again.

        Args:
            silent: as for :func:`~autokd_mm.study.study.end_dead`.
        """
        studies.end_dead(self.study, silent)
        done, running = self._runs()
        for run in runs:
            if run not in done and run not in running:
                trial = self.study.ask()
                for name, value in zip((_CANDIDATE, _SEED, _LENGTH), run):
                    trial.set_user_attr(name, value)
                trial.set_user_attr(_ROUND, self._round)
                trial.set_user_attr(studies.DEATHS, self._deaths(run))
                trial.set_user_attr(studies.WORKER, studies.worker_name())
                return trial
        return None

    def run(self, trial: Trial, turn: Callable[[], ContextManager[Any]] = nullcontext) -> str:
        """Train what :meth:`take` has given; returns a line about it.

        Args:
            turn: one worker at a time tells a result.

        Raises:
            ConfigError: the undistilled student cannot be trained for so long.
        """
        number, seed, length = _run_of(trial)
        about = f'final round: {f"trial {number}" if number >= 0 else "undistilled student"}, ' \
                f'seed {seed}' + (f', length {length}' if len(self.settings.possible_steps) > 1
                                  else '')
        try:
            spec = None
            if number != BASELINE:
                spec = spec_of(self.search.get_trials(deepcopy=False)[number])
            in_words = f' | {spec.in_words()}' if spec else ''
            try:
                kept: Dict[str, Any] = {}
                if self.keep and number != BASELINE and seed == self.seeds[0]:
                    kept['keep'] = partial(self.keep, number)
                outcome = self.trainer.run(spec, look_on if self.reward.needs_curve else None,
                                           seed, length, **kept)
            except CandidateFailed as failed:
                if number == BASELINE:
                    raise ConfigError(f'final_round.length={length}: the undistilled student '
                                      f'cannot be trained so long: {failed}') from None
                with turn():
                    trial.set_user_attr(studies.REASON, str(failed))
                    self.study.tell(trial, state=TrialState.FAIL)
                return f'{about} failed: {failed}{in_words}'
            with turn():
                trial.set_user_attr(OUTCOME, outcome.to_dict())
                known = math.isfinite(outcome.held_out_loss)  # a head may have no loss to measure
                self.study.tell(trial, outcome.held_out_loss if known else outcome.gap)
        except UpdateFinishedTrialError:
            return f'{about}: another worker took this one for dead, the result does not count'
        except RankLost:
            raise  # left as a killed worker leaves it
        except BaseException:
            studies.interrupt(self.study, trial._trial_id)
            raise
        return (f'{about}: loss {outcome.calibrated_loss:.4f}, gap {outcome.gap:.4f}'
                f'{words.metric_text(outcome.metric)}, {outcome.seconds:.1f} s{in_words}')

    def finished(self, runs: Sequence[Run]) -> List[Run]:
        """Those of the runs that are finished."""
        done = self._runs()[0]
        return [run for run in runs if run in done]

    def standings(self) -> Dict[int, Standing]:
        """Where everybody stands who has run with all seeds, by number of the trial."""
        return self._rungs().standings(_outcomes(self._runs()[0]))

    def metrics(self, number: int) -> Dict[int, float]:
        """Mean metric over the seeds by length, of a trial or of :data:`BASELINE`."""
        return self._rungs().metrics(number, _outcomes(self._runs()[0]))

    def report(self, trials: Sequence[FrozenTrial]) -> List[str]:
        """How the winner among ``trials`` was chosen, in words."""
        standings = self.standings()
        top = best(trials, standings)
        if top is None:
            return []
        handcrafted = [trial for trial in trials if self.is_handcrafted(trial)]
        return words.final_round(top, standings, handcrafted) + self.left_out(trials)

    def _rungs(self) -> Rungs:
        return Rungs(self.settings.possible_steps, self.seeds, self.reward)

    def _entrants(self, trials: Sequence[FrozenTrial]
                  ) -> Tuple[List[FrozenTrial], List[FrozenTrial]]:
        """Who takes part, and who would with a larger budget."""
        former = self._former()
        found = candidates(trials, self.settings, self.first, former)
        return within_budget(found, self.settings, self.first, self.always, former)

    @property
    def _round(self) -> List[int]:
        return [self.settings.length, self.settings.seeds]

    def _former(self) -> Optional[int]:
        """Who stood best when the round got the length and the seeds that it has now; ``None``
        where it has always had them. What has run since is left out of account, or whoever is
        done first in this round would take the place of one that is still to run."""
        done = self._runs()[0]
        other = [trial.number for trial in done.values()
                 if trial.user_attrs.get(_ROUND) != self._round]
        outcomes = _outcomes({run: trial for run, trial in done.items()
                              if trial.number <= max(other, default=-1)})
        seeds = sorted({run.seed for run in outcomes})
        steps = [Step(length, count + 1) for length in sorted({run.length for run in outcomes})
                 for count in range(len(seeds))]
        return next(iter(in_order(Rungs(steps, seeds, self.reward).standings(outcomes))), None)

    def _deaths(self, run: Run) -> int:
        """How many workers have died of a run."""
        return max((trial.user_attrs.get(studies.DEATHS, 0)
                    for trial in self.study.get_trials(deepcopy=False)
                    if trial.user_attrs.get(studies.INTERRUPTED)
                    and tuple(map(trial.user_attrs.get, (_CANDIDATE, _SEED, _LENGTH))) == run),
                   default=0)

    def _runs(self) -> Tuple[Dict[Run, FrozenTrial], Dict[Run, FrozenTrial]]:
        """Finished and running ones."""
        done, running = ({_run_of(trial): trial for trial in trials}
                         for trials in studies.finished_and_running(self.study))
        return done, running


def _run_of(trial: Any) -> Run:
    # A worker that died before it had said which run this is leaves one of no length.
    return Run(*(trial.user_attrs.get(name, 0) for name in (_CANDIDATE, _SEED, _LENGTH)))


def _outcomes(done: Mapping[Run, FrozenTrial]) -> Dict[Run, Outcome]:
    return {run: Outcome.from_dict(trial.user_attrs[OUTCOME]) for run, trial in done.items()
            if trial.state == TrialState.COMPLETE}
