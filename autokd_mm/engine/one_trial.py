"""One trial from the question to the answer: ask, look, train, measure, tell."""
from __future__ import annotations

from contextlib import nullcontext
from typing import Any, Callable, Collection, ContextManager, Dict, List, Optional, Protocol

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import NopPruner
from optuna.study import Study
from optuna.trial import TrialState

from autokd_mm.engine.pruning import CandidatePruned, Watch, looks
from autokd_mm.errors import CandidateFailed, ConfigError
from autokd_mm.proxy.first_step import FirstStep
from autokd_mm.proxy.ranks import RankLost
from autokd_mm.proxy.rejection import Rejection
from autokd_mm.proxy.settings import ProxySettings
from autokd_mm.report.export import OUTCOME, SPEC
from autokd_mm.report.words import measured, metric_text
from autokd_mm.search.reward import Outcome, Reward
from autokd_mm.space import Space, Spec
from autokd_mm.study import study as studies


class Trainer(Protocol):
    """A :class:`ProxyTrainer`, or what leads those of several ranks."""
    settings: ProxySettings

    def run(self, spec: Optional[Spec], watch: Optional[Callable[[int, Outcome], None]] = None,
            seed: Optional[int] = None, length: int = 1,
            looks: Optional[Collection[int]] = None,
            keep: Optional[Callable[[Any], None]] = None) -> Outcome:
        ...

    def first_step(self, spec: Spec, batches: int = 2) -> List[FirstStep]:
        ...


class TrialRunner:
    """Runs trials of the search.

    Whatever becomes of a trial is told to the study in one last step, behind everything that is
    known about it: a trial that is not finished there is as good as never begun. It is told in
    the worker's turn, so that nobody takes the worker for dead at the same moment.

    Args:
        study: with sampler and pruner.
        space: asks for the distiller.
        trainer: of the proxy.
        reward: of an outcome over ``baseline``.
        baseline: the undistilled student on the proxy, with its curve where there is a pruner.
        rejection: early rejection; None: off.
        epochs: of the proxy.
        say: told each result in a line.
        scalars: takes the numbers of each result and the trial's number.
        turn: one worker at a time tells a result.
    """

    def __init__(self, study: Study, space: Space, trainer: Trainer, reward: Reward,
                 baseline: Outcome, rejection: Optional[Rejection], epochs: int,
                 say: Callable[[str], None],
                 scalars: Callable[[Dict[str, float], int], None],
                 turn: Callable[[], ContextManager[Any]] = nullcontext) -> None:
        self.study, self.space, self.trainer = study, space, trainer
        self.reward, self.baseline, self.rejection = reward, baseline, rejection
        self.epochs, self.say, self.scalars, self.turn = epochs, say, scalars, turn
        self.looks = None if reward.needs_curve else looks(study.pruner, epochs)

    def run(self, trial: optuna.Trial) -> None:
        """Take a trial to its end: finished, failed, rejected or pruned."""
        try:
            spec = self.space.suggest(trial)
            trial.set_user_attr(SPEC, spec.to_dict())
            try:
                self._evaluate(trial, spec)
            except CandidatePruned as pruned:
                self._tell(trial, {studies.REASON: str(pruned), OUTCOME: pruned.outcome.to_dict()},
                           TrialState.PRUNED)  # with the reported reward
                self.say(f'trial {trial.number} pruned: {pruned} | {spec.in_words()}')
                self.scalars(dict(trial=trial.number, pruned_reward=pruned.reward), trial.number)
            except (CandidateFailed, ValueError) as failed:
                self._tell(trial, {studies.REASON: str(failed)}, TrialState.FAIL)
                self.say(f'trial {trial.number} failed: {failed} | {spec.in_words()}')
        except UpdateFinishedTrialError:
            self.say(f'trial {trial.number} is with another worker, which took this one for dead: '
                     'the result does not count')
        except RankLost:
            raise  # as if the whole worker had been killed: the distiller may have done it
        except BaseException:
            # Ctrl-C, or a fault of the program: the trial says nothing about its distiller.
            studies.interrupt(self.study, trial._trial_id)
            raise

    def _evaluate(self, trial: optuna.Trial, spec: Spec) -> None:
        # Without a loss of the distiller there is none that could do nothing.
        reason = self.rejection and spec.distils and self.rejection.reason(
            self.trainer.first_step(spec))
        if reason:
            # Pruned without a value: the tree counts it as the worst seen, Optuna's samplers put
            # it behind all others. (They overlook failed ones and would ask again.)
            self._tell(trial, {studies.REASON: reason, studies.REJECTED: True}, TrialState.PRUNED)
            self.say(f'trial {trial.number} rejected: {reason} | {spec.in_words()}')
            return
        outcome = self.trainer.run(spec, watch=self._watch(trial), looks=self.looks)
        reward = self.reward(outcome, self.baseline)
        self._tell(trial, {OUTCOME: outcome.to_dict()}, TrialState.COMPLETE, reward)
        self.say(f'trial {trial.number}: reward {reward:+.4f}, loss {outcome.calibrated_loss:.4f}, '
                 f'gap {outcome.gap:.4f}{metric_text(outcome.metric)}, {outcome.seconds:.1f} s | '
                 f'{spec.in_words()}')
        # The number once more, for those who show the order of arrival alone.
        self.scalars(dict(trial=trial.number, reward=reward, **scalars_of(outcome)), trial.number)

    def _tell(self, trial: optuna.Trial, attrs: Dict[str, Any], state: TrialState,
              value: Optional[float] = None) -> None:
        # Nobody waits for this: until the trial is told, what is known of it means nothing.
        for name, item in attrs.items():
            trial.set_user_attr(name, item)
        with self.turn():
            self.study.tell(trial, value, state)

    def _watch(self, trial: optuna.Trial) -> Optional[Callable[[int, Outcome], None]]:
        if not isinstance(self.study.pruner, NopPruner):
            return Watch(self.study, trial, self._reward_at, self.epochs)
        return look_on if self.reward.needs_curve else None

    def _reward_at(self, epoch: int, outcome: Outcome) -> Optional[float]:
        if self.reward.needs_curve and epoch == 0:
            return None  # a slope needs two points
        return self.reward.at(epoch, outcome, self.baseline)


def baseline_of(study: Study, trainer: Trainer, say: Callable[[str], None]) -> Outcome:
    """The undistilled student on the proxy, with its curve: as the study has it, or trained now.

    Raises:
        ConfigError: it cannot be trained.
    """
    found = studies.get_baseline(study)
    if found is None:
        try:
            found = trainer.run(None, watch=look_on).to_dict()
        except CandidateFailed as failed:
            raise ConfigError(f'model.architecture: the undistilled student cannot be trained '
                              f'on the proxy: {failed}') from None
        studies.set_baseline(study, found)
    say(f'undistilled student on the proxy: {measured(found)}')
    return Outcome.from_dict(found)


def look_on(epoch: int, outcome: Outcome) -> None:
    """A watch that never ends a run: it is there for the curve."""


def scalars_of(outcome: Outcome) -> Dict[str, Any]:
    values = outcome.to_dict()
    values.pop('curve')
    return values
