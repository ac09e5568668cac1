"""Monte Carlo tree search as an Optuna sampler."""
import warnings
from datetime import datetime
from random import Random
from threading import RLock
from typing import Any, Callable, Dict, List, Optional, Sequence, Set
from weakref import WeakKeyDictionary

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages._heartbeat import BaseHeartbeat
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from autokd_mm.errors import AutoKDError, AutoKDWarning
from autokd_mm.search import selection
from autokd_mm.search.arguments import check
from autokd_mm.search.guide import PLAN
from autokd_mm.search.node import Option, Step
from autokd_mm.search.numeric import halving
from autokd_mm.search.option_model import OptionModel
from autokd_mm.search.prior import Prior
from autokd_mm.search.reading import ASKED, INTERRUPTED, REASON, UNASKED, different
from autokd_mm.search.remembered import prior_of
from autokd_mm.search.study_tree import StudyTree, only_direction

_KEEP_NO_ORDER = ('GrpcStorageProxy', )  # storages that forget in which order a trial was asked


class SpaceUsedUp(AutoKDError):
    """Everything has been tried, and the sampler is to stop then."""


class MCTSSampler(BaseSampler):
    """Monte Carlo tree search for any define-by-run objective.

    The tree is a view of the study: a node is the path of (parameter, choice) in the order in
    which the objective asks, and its statistics come from the trials in the storage alone (see
    :mod:`~autokd_mm.search.study_tree` for how failed, pruned and running ones count). Every
    question of the objective descends one level. Choices below which everything has been
    evaluated are left out while something new is left elsewhere. There are two policies:

    ``'thompson'``: statistics of an option are shared by the whole tree. For each trial the
    effects of all options are drawn from what a Bayesian linear model knows of them (see
    :mod:`~autokd_mm.search.option_model`), and the trial descends to the best new path under that
    draw (see :mod:`~autokd_mm.search.planning`). Workers spread because their draws differ,
    and the leaf that a trial plans to go to is taken for all others, in other processes too.

    ``'uct'``: each node knows its own trials only. A choice nobody has tried, otherwise the
    highest UCT score (see :mod:`~autokd_mm.search.selection`).

    The proposal depends on the seed, on the trials in the storage and on the ordinal of the trial
    (:meth:`~autokd_mm.search.study_tree.StudyTree.ordinal`), never on the state of a process: a
    search that was killed and taken up again goes on as if nothing had happened, provided that
    trials that died carry the user attribute ``interrupted=True`` and were enqueued again.

    Sources: Kocsis and Szepesvari, ECML 2006 (UCT); Su et al., "Prioritized Architecture Sampling
    with Monto-Carlo Tree Search" (MCT-NAS), CVPR 2021 (search over the choices of a network,
    uniform warm-up, statistics shared between sub-trees); Gelly and Silver, ICML 2007 (one
    statistic for a move wherever it is made); Li et al., "Auto-KD", ICCV 2023 (the choices are
    those of a distiller); Chaslot et al., CG 2008 (virtual loss). What each choice brings is
    measured in ``docs/benchmarks/samplers.md``.

    Args:
        seed: of all random choices; None draws one, and proposals then differ from run to run.
        policy: ``'thompson'`` or ``'uct'``.
        shrinkage: variance of the noise over that of the effect of an option, the ridge of the
            linear model; None takes the likeliest of five from 1 to 0.01 for each trial (empirical
            Bayes; Baptista and Poloczek, ICML 2018, put a prior on it).
        pairs: effects of pairs of options that follow each other too, as in the same paper,
            there for all pairs.
        draw: scale of the posterior's standard deviation in a draw: 1 is Thompson sampling
            (Thompson, Biometrika 1933; Agrawal and Goyal, ICML 2013), 0 goes by the means. With
            some hundred trials a half finds more (as Chapelle and Li, NIPS 2011, saw too).
        gp_share: of the trials behind the 10th, those that go where a Gaussian process over whole
            paths expects the largest improvement (see :mod:`~autokd_mm.search.proposer`): it sees
            what is no sum of effects. Behind 100 trials the share falls as 100 over their number.
        look_ahead: go by the best path below a choice, not by the effect of the choice alone.
        shared_name: parameters of which it says the same are one to the model: options of theirs
            that are equal share their statistics. By default only those of equal names do.
        exploration: the constant c of UCT, without unit: values are seen on a scale from the
            lower quartile to the best value so far (see :mod:`~autokd_mm.search.scale`). 0.5 is
            the constant of the family; smaller ones are greedier, good values from 0.1 to 0.3.
        n_warmup_trials: the first trials (by ordinal, those given by ``study.enqueue_trial``
            included) choose uniformly at each level. MCT-NAS warms up; drawn effects need not.
        virtual_loss: visits with the worst value that one running trial stands for, in UCT.
        stale_after: seconds after which the leaf of a trial that still runs is free for others, for
            workers that may have died. Where the storage has a heartbeat, that decides too.
        when_used_up: what to do where everything has been tried: ``'repeat'`` says so once (an
            ``AutoKDWarning``) and measures again what was measured least often, ``'stop'`` ends
            ``study.optimize``, and refuses ``study.ask``.
        independent_sampler: for numeric parameters, which are then no part of the tree. Without
            one they are: a range is halved again and again (see
            :mod:`~autokd_mm.search.numeric`). What is said above of proposals holds for another
            sampler's as far as it has no state of its own.

    Raises:
        ValueError: an argument is out of range, or the study has more than one objective.
        SpaceUsedUp: at ``study.ask``, with ``when_used_up='stop'``.
    """

    def __init__(self, *, seed: Optional[int] = None, policy: str = 'thompson',
                 shrinkage: Optional[float] = None, pairs: bool = False, draw: float = 0.5,
                 gp_share: float = 0.3, look_ahead: bool = True,
                 shared_name: Optional[Callable[[str], str]] = None, exploration: float = 0.15,
                 n_warmup_trials: int = 0, virtual_loss: float = 1.0,
                 stale_after: Optional[float] = None, when_used_up: str = 'repeat',
                 independent_sampler: Optional[BaseSampler] = None,
                 prior: Optional[Prior] = None) -> None:
        check(seed=seed, policy=policy, shrinkage=shrinkage, pairs=pairs, draw=draw,
              gp_share=gp_share, look_ahead=look_ahead, shared_name=shared_name,
              exploration=exploration, n_warmup_trials=n_warmup_trials, virtual_loss=virtual_loss,
              stale_after=stale_after, when_used_up=when_used_up,
              independent_sampler=independent_sampler, prior=prior)
        self._seed = Random().getrandbits(32) if seed is None else int(seed)
        self._policy = policy
        self._model: Dict[str, Any] = dict(pairs=pairs, shrinkage=shrinkage,
                                           draw=float(draw), gp_share=float(gp_share),
                                           look_ahead=look_ahead, shared_name=shared_name)
        self.shared_name, self.prior = shared_name, prior
        self._exploration = float(exploration)
        self._n_warmup_trials = int(n_warmup_trials)
        self._virtual_loss = float(virtual_loss)
        self._stale_after, self._when_used_up = stale_after, when_used_up
        self._independent_sampler = independent_sampler
        self._forget()

    # ------------------------------------------------------------------ Optuna's questions
    def infer_relative_search_space(self, study: Study,
                                    trial: FrozenTrial) -> Dict[str, BaseDistribution]:
        return {}  # What will be asked is known only when it is asked.

    def sample_relative(self, study: Study, trial: FrozenTrial,
                        search_space: Dict[str, BaseDistribution]) -> Dict[str, Any]:
        return {}

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        with self._lock:
            view = self._view_or_fail(study, trial)
            self._sync(study, trial, view)
            if not trial.state.is_finished():
                if self._when_used_up == 'stop' and view.used_up \
                        and not study._thread_local.in_optimize_loop:
                    for name in (INTERRUPTED, UNASKED):
                        study._storage.set_trial_user_attr(trial._trial_id, name, True)
                    study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
                    raise SpaceUsedUp('everything in the space has been tried')
                view.follow(trial)
                view.ordinal(trial)
        if self._independent_sampler is not None:
            self._independent_sampler.before_trial(study, trial)

    def _sync(self, study: Study, trial: FrozenTrial, view: StudyTree) -> None:
        # Straight from the storage: under Hyperband the study shows only one bracket.
        trials = study._storage.get_all_trials(study._study_id, deepcopy=False)
        view.sync(trials, self._stale(study, trials) - {trial._trial_id})

    def _view_or_fail(self, study: Study, trial: FrozenTrial) -> StudyTree:
        """The tree; a trial that cannot be asked anything does not stay RUNNING."""
        try:
            return self.view(study)
        except ValueError:
            study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
            raise

    def _stale(self, study: Study, trials: Sequence[FrozenTrial]) -> Set[int]:
        """Ids of running trials that nobody seems to work on."""
        stale: Set[int] = set()
        storage = study._storage
        if isinstance(storage, BaseHeartbeat) and storage.get_heartbeat_interval() is not None:
            stale.update(storage._get_stale_trial_ids(study._study_id))
        if self._stale_after is not None:
            now = datetime.now()
            stale.update(trial._trial_id for trial in trials
                         if trial.state == TrialState.RUNNING and trial.datetime_start is not None
                         and (now - trial.datetime_start).total_seconds() > self._stale_after)
        return stale

    def sample_independent(self, study: Study, trial: FrozenTrial, param_name: str,
                           param_distribution: BaseDistribution) -> Any:
        with self._lock:
            view = self.view(study)
            if not view.has_seen(trial):  # it was asked for by another sampler, in another process
                self._sync(study, trial, view)
            if type(study._storage).__name__ in _KEEP_NO_ORDER:
                study._storage.set_trial_system_attr(trial._trial_id, ASKED,
                                                     [*trial.params, param_name])
            view.meet(trial, param_name, param_distribution)
            view.follow(trial)
            if isinstance(param_distribution, CategoricalDistribution):
                choices = different(param_distribution)
                index = self._choose(study, view, trial, Step(param_name, choices, 0))
                view.answered(trial, param_name)
                return choices[index]
            number = halving(param_name, param_distribution, view.depth or 0, view.context(trial),
                             view.loose)
            if self._independent_sampler is None and number is not None:
                for name, choices, level in number.questions():
                    number.take(self._choose(study, view, trial, Step(name, choices, 0, level)))
                view.answered(trial, param_name, number.exact)
                return number.draw(self._rng(view.ordinal(trial), param_name))
        sampler = self._independent_sampler or RandomSampler(seed=self._seed)
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def _choose(self, study: Study, view: StudyTree, trial: FrozenTrial, question: Step) -> int:
        """Index of a choice, which the trial takes."""
        ordinal, name, choices = view.ordinal(trial), question.name, question.choices
        node, rng = view.follow(trial), self._rng(view.ordinal(trial), question.name)
        warm_up = ordinal < self._n_warmup_trials
        if view.shuffled:
            seed = None if warm_up or self._policy == 'uct' else f'{self._seed}/{ordinal}'
            return self._taken(study, view, trial, question,
                               *view.guide(trial).route(seed, name, choices, rng))
        guide = view.guide(trial)
        again, plan = guide.again(name, choices, f'{self._seed}/{ordinal}/again')
        if again is not None:
            index = again
        elif warm_up or self._policy == 'uct':
            def choose(name: str, options: List[Option]) -> int:
                rng = self._rng(ordinal, name)
                if warm_up:
                    return selection.uniform(options, rng)
                return selection.select(options, self._exploration, rng)

            index, plan = guide.descend(name, choices, choose)
        else:
            best, plan = guide.choose(f'{self._seed}/{ordinal}', name, choices, rng)
            index = best if best is not None else selection.uniform(
                view.tree.options(node, name, choices), rng)
        return self._taken(study, view, trial, question, index, plan)

    @staticmethod
    def _taken(study: Study, view: StudyTree, trial: FrozenTrial, question: Step, index: int,
               plan: List[Any]) -> int:
        if plan:
            study._storage.set_trial_system_attr(trial._trial_id, PLAN, plan)
        view.take(trial, question._replace(taken=index))
        return index

    def _rng(self, ordinal: int, name: str) -> Random:
        """A generator for each question, not one for each trial: a trial that is run again with a
        part of its parameters given gets the same answers for the rest."""
        return Random(f'{self._seed}/{ordinal}/{name}')

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState,
                    values: Optional[Sequence[float]]) -> None:
        # The tree reads the result from the storage, where results of other workers are too.
        with self._lock:
            view = self.view(study)
            if view.repeats(trial) and not view.told:
                view.told = True
                warnings.warn('everything in the space has been tried: from now on the least '
                              'certain is measured again', AutoKDWarning, stacklevel=2)
            if self._when_used_up == 'stop' and (state != TrialState.FAIL
                                                 or REASON in trial.user_attrs):
                view.sync(study._storage.get_all_trials(study._study_id, deepcopy=False))
                if view.used_up:
                    self._stop(study)
        if self._independent_sampler is not None:
            self._independent_sampler.after_trial(study, trial, state, values)

    @staticmethod
    def _stop(study: Study) -> None:
        try:
            study.stop()
        except RuntimeError:
            pass  # whoever asks and tells is refused at the next ask

    def reseed_rng(self) -> None:
        # Workers need no seeds of their own: every trial has its own generators.
        if self._independent_sampler is not None:
            self._independent_sampler.reseed_rng()

    # ------------------------------------------------------------------ the tree
    def view(self, study: Study) -> StudyTree:
        """The tree of ``study`` as of the last trial asked for, made when there is none."""
        views = self._views.setdefault(study._storage, {})
        if study._study_id not in views:
            direction = only_direction(study._storage.get_study_directions(study._study_id))
            model = None if self._policy == 'uct' else OptionModel(
                **self._model, prior=prior_of(study._storage, study._study_id, self.prior))
            views[study._study_id] = StudyTree(direction, self._virtual_loss, model,
                                               numbers=self._independent_sampler is None)
        return views[study._study_id]

    def _forget(self) -> None:
        self._lock = RLock()
        self._views: 'WeakKeyDictionary[Any, Dict[int, StudyTree]]' = WeakKeyDictionary()

    def __getstate__(self) -> Dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ('_lock', '_views')}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()
