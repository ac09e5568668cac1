"""Pruning: a candidate that falls behind in the middle of its proxy is not trained to the end."""
from __future__ import annotations

import copy
import inspect
from typing import Any, Callable, Container, Dict, List, Mapping, Optional, Sequence, Type

import optuna
from optuna.pruners import BasePruner, SuccessiveHalvingPruner
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from autokd_mm.errors import AutoKDError, ConfigError, nearest
from autokd_mm.search.reward import Outcome
from autokd_mm.study.study import INTERRUPTED


class CandidatePruned(AutoKDError):
    """Behind the others at the same epoch.

    Attributes:
        outcome: what was measured last.
        reward: of it, over the undistilled student behind the same epoch.
    """

    def __init__(self, message: str, outcome: Outcome, reward: float) -> None:
        super().__init__(message)
        self.outcome, self.reward = outcome, reward


def pruner_types() -> Dict[str, Type[BasePruner]]:
    """Every pruner that a config may name."""
    found = {name: getattr(optuna.pruners, name) for name in optuna.pruners.__all__}
    return {name: value for name, value in found.items() if not inspect.isabstract(value)}


def build_pruner(config: Any, epochs: int, key: str = 'pruner') -> Optional[BasePruner]:
    """Build a pruner of Optuna's from ``train_cfg.pruner``.

    Args:
        config: ``type`` and the arguments of that class; a pruner that takes another one
            (``wrapped_pruner``) takes it as such a dict too. ``True``: the default, successive
            halving. ``None``, ``False``: none.
        epochs: of the proxy. Optuna's own arguments for successive halving are made for long
            runs: behind the first epoch three of four would be gone, when a proxy says little
            about its end. Ours halve once, behind half of the proxy, unless the config says
            otherwise.

    Raises:
        ConfigError: names the key and the nearest valid value.
    """
    if config is None or config is False:
        return None
    if config is True:
        config = dict(type='SuccessiveHalvingPruner')
    if not isinstance(config, Mapping) or 'type' not in config:
        raise ConfigError(f"{key} must be a dict like dict(type='SuccessiveHalvingPruner') or "
                          f'None, got {config!r}')
    args = dict(config)
    name = args.pop('type')
    name = getattr(name, '__name__', str(name))
    types = pruner_types()
    if name not in types:
        raise ConfigError(f'{key}.type: {nearest(name, types, shown=len(types))}')
    parameters = inspect.signature(types[name]).parameters
    for arg, value in args.items():
        if arg not in parameters:
            raise ConfigError(f'{key}.{arg}: {nearest(arg, parameters, shown=len(parameters))}')
        if arg.endswith('pruner'):
            args[arg] = build_pruner(value, epochs, f'{key}.{arg}')
    for arg, parameter in parameters.items():
        if parameter.default is parameter.empty and arg not in args:
            raise ConfigError(f'{key}.{arg} is missing: {name} needs it')
    if name == 'SuccessiveHalvingPruner':
        args.setdefault('min_resource', (epochs + 1) // 2)
        args.setdefault('reduction_factor', 2)
    try:
        return types[name](**args)
    except (TypeError, ValueError) as error:
        reason = ' '.join(str(error).replace('`', '').split()) or type(error).__name__
        raise ConfigError(f'{key} ({name}): {reason}') from None


def looks(pruner: BasePruner, epochs: int) -> Optional[List[int]]:
    """Finished epochs, less than ``epochs``, behind which a pruner may end a run; None: behind any.

    Successive halving decides at its rungs only. A measurement between two of them costs a
    forward pass over the held-out images, of a detector also its predictions, for nothing.
    """
    if type(pruner) is not SuccessiveHalvingPruner or pruner._min_resource is None:
        return None
    factor, found = pruner._reduction_factor, []
    step = pruner._min_resource * factor ** pruner._min_early_stopping_rate
    while step < epochs:
        found.append(step)
        step *= factor
    return found


class Watch:
    """Called behind epochs but the last; ends a candidate that the pruner gives up.

    Optuna's steps are finished epochs here: ``min_resource=1`` of successive halving is the end of
    the first one.

    Args:
        study: with the pruner.
        trial: the running one.
        value: reward of an outcome behind an epoch (from 0) over the undistilled student there;
            None where the reward cannot be known yet.
        epochs: of the proxy.
    """

    def __init__(self, study: Study, trial: Trial,
                 value: Callable[[int, Outcome], Optional[float]], epochs: int) -> None:
        self.study, self.trial, self.value, self.epochs = study, trial, value, epochs

    def __call__(self, epoch: int, outcome: Outcome) -> None:
        """
        Raises:
            CandidatePruned: the end of this candidate.
        """
        value = self.value(epoch, outcome)
        if value is None:
            return
        self.trial.report(value, epoch + 1)
        trials = self.study.get_trials(deepcopy=False)
        if self.study.pruner.prune(_Counting(self.study, trials), trials[self.trial.number]):
            raise CandidatePruned(f'reward {value:+.4f} behind epoch {epoch + 1} of {self.epochs}',
                                  outcome, value)


class _Counting(Study):
    """A study as it was at one look, without the trials that do not count.

    The values of a trial whose worker died would be compared twice, because it runs again: a
    search that was killed would then prune others than one that was not.
    """

    def __init__(self, study: Study, trials: Sequence[FrozenTrial]) -> None:
        self.__dict__.update(study.__dict__)
        self._counting = [trial for trial in trials if not trial.user_attrs.get(INTERRUPTED)]

    def get_trials(self, deepcopy: bool = True,
                   states: Optional[Container[TrialState]] = None) -> List[FrozenTrial]:
        found = [trial for trial in self._counting if states is None or trial.state in states]
        return copy.deepcopy(found) if deepcopy else found
