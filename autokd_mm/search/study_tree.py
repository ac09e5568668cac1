"""The Monte Carlo tree as a view of an Optuna study: trials in, statistics out.

How a trial counts:

============  =====================================================================================
COMPLETE      with its value; a value that is not finite (a bug, not a find) as the worst seen
PRUNED        with its value or last intermediate value; without one as the worst value seen
FAIL          with the user attribute ``reason`` as a visit with the worst value seen, so that a
              broken region is left; without one the worker may have been at fault: it counts as
              the worst until its leaf gives a value, and the leaf may be tried twice more
RUNNING       as virtual loss, on the path it has asked for so far; where it is going to by its
              plan (system attribute ``mcts:plan``) nobody else goes; not at all where it is stale
WAITING       not at all, until it runs
interrupted   not at all, in no state: the worker died (user attribute ``interrupted`` is True),
              which says nothing about the distiller, and its parameters will be tried again
============  =====================================================================================

The path is read from ``trial.params``: storages of Optuna >= 4 keep the order of asking (in memory
and journal by insertion, relational ones by row id), but for ``GrpcStorageProxy``, where the
sampler notes it (system attribute ``mcts:asked``). Whoever adds finished trials by hand
(``study.add_trial``) must give ``params`` in that order too.
"""
import math
from bisect import bisect_left, insort
from itertools import chain
from random import Random
from typing import Collection, Dict, Iterator, List, Mapping, Optional, Sequence, Set, Union

from optuna.distributions import BaseDistribution
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from autokd_mm.search.guide import PLAN, Guide, Running
from autokd_mm.search.node import Node, Step, unsure
from autokd_mm.search.numeric import Ranges, context_of, grain_of, is_coarse
from autokd_mm.search.option_model import OptionModel
from autokd_mm.search.order import Order
from autokd_mm.search.reading import INTERRUPTED, in_order, is_accident, planned, value_of
from autokd_mm.search.reading import steps_of as _steps
from autokd_mm.search.tree import Tree

class StudyTree:
    """Keeps a :class:`~autokd_mm.search.tree.Tree` equal to what the trials of a study say.

    A finished trial is read once, so that :meth:`sync` costs what is new or unfinished.

    Args:
        direction: of the study; the tree itself always maximises.
        virtual_loss, model: see :class:`~autokd_mm.search.tree.Tree`.
        numbers: whether numeric parameters are part of the tree, see
            :mod:`~autokd_mm.search.numeric`. Their grain depends on the trials: where that moves
            it, all are read anew.
    """

    def __init__(self, direction: StudyDirection, virtual_loss: float = 1.0,
                 model: Optional[OptionModel] = None, numbers: bool = True) -> None:
        self.sign = -1 if direction == StudyDirection.MINIMIZE else 1
        self._virtual_loss, self._model = virtual_loss, model
        self._grain = grain_of(0, 1) if numbers else None
        self._n_numbers = 0  # fewest in a trial that has any; 0 as long as none has
        self._interrupted: List[int] = []
        self._ordinals: Dict[int, int] = {}  # of running trials
        self.told = False  # that nothing new is left
        self._order, self._ranges = Order(), Ranges()
        self._trials: Sequence[FrozenTrial] = ()
        self._begin()

    def _begin(self) -> None:
        model = self._model.anew() if self._model is not None else None
        room = math.inf if self._grain is None else self._grain.room
        self.tree = Tree(self._virtual_loss, model, room)
        self._n_seen = 0
        self._unfinished: List[int] = []
        self._running: Dict[int, Running] = {}

    @property
    def depth(self) -> Optional[int]:
        """How often the range of a number is halved; None: not at all."""
        return self._grain.depth if self._grain is not None else None

    @classmethod
    def of(cls, study: Study, virtual_loss: float = 1.0) -> 'StudyTree':
        """The tree of a study, for reports.

        Raises:
            ValueError: the study has more than one objective.
        """
        view = cls(only_direction(study.directions), virtual_loss)
        view.sync(study.get_trials(deepcopy=False))
        return view

    def sync(self, trials: Sequence[FrozenTrial], stale: Collection[int] = ()) -> None:
        """Take in what is new.

        Args:
            trials: all trials of the study ordered by number, as storages return them.
            stale: ids of those whose worker is probably dead: they do not count while they run.
        """
        self._trials = trials
        new = [in_order(trials[position])
               for position in chain(self._unfinished, range(self._n_seen, len(trials)))]
        # A list, so that all are looked at.
        moved = [self._meet(tuple(trial.params), trial.distributions) for trial in new]
        if self._grain is not None and self._regrain(trials) or any(moved):
            self._begin()
        unfinished = []
        for position in chain(self._unfinished, range(self._n_seen, len(trials))):
            trial = trials[position]
            if trial.state.is_finished():
                self._leave(trial)
                # One that was asked nothing says nothing of any option, or of what is left.
                if not self._is_interrupted(trial) and trial.params:
                    steps = list(self._steps_of(trial))
                    self.tree.add([step for step in steps if isinstance(step, Step)],
                                  value_of(trial, self.sign), None in steps,
                                  trial.state == TrialState.COMPLETE, is_accident(trial),
                                  trial.number)
                continue
            unfinished.append(position)
            if self._is_interrupted(trial) or trial._trial_id in stale:
                self._leave(trial)
            elif trial.state == TrialState.RUNNING:
                self.follow(trial)
        self._unfinished = unfinished
        self._n_seen = len(trials)

    def has_seen(self, trial: FrozenTrial) -> bool:
        """Whether :meth:`sync` has been shown the trial, in whatever state."""
        return trial.number < self._n_seen

    def _regrain(self, trials: Sequence[FrozenTrial]) -> bool:
        """See how fine numbers are to be told apart; whether that has changed for this tree."""
        for position in chain(self._unfinished, range(self._n_seen, len(trials))):
            if trials[position].state == TrialState.COMPLETE:
                count = sum(not distribution.single() and is_coarse(distribution)
                            for distribution in trials[position].distributions.values())
                self._n_numbers = min(filter(None, (self._n_numbers, count)), default=0)
        before, self._grain = self._grain, grain_of(len(trials), max(self._n_numbers, 1))
        return self._n_numbers > 0 and self._grain != before

    def follow(self, trial: FrozenTrial) -> Node:
        """Lead a running trial along the parameters it has; the node where it stands now."""
        running = self._running.get(trial._trial_id)
        if running is None:
            running = self._running[trial._trial_id] = Running(self.tree.start())
        if len(running.asked) < len(trial.params):
            for step in self._steps_of(trial, running.asked):
                if self._order.shuffled and step is not None:
                    running.given[step.name] = step.taken
                elif step is None:
                    self.tree.set_repeatable(running.walk)
                else:
                    self.tree.step(running.walk, step)
            running.asked.update(trial.params)
        ahead = trial.system_attrs.get(PLAN)
        if ahead is not None and ahead != running.ahead:
            running.ahead = ahead
            steps = {step.name: step.taken for step in self._steps_of(trial)
                     if step is not None and not self._order.shuffled}
            self.tree.claim(running.walk, planned(steps, ahead, running.walk.nodes[-1]))
        return running.walk.nodes[-1]

    def take(self, trial: FrozenTrial, step: Step) -> None:
        """A choice was made for a running trial: seen by other workers of this process at once."""
        running = self._running[trial._trial_id]
        if self._order.shuffled:
            running.given[step.name] = step.taken  # the walk waits for all answers
        else:
            self.tree.step(running.walk, step)

    def _meet(self, names: Sequence[str], distributions: Mapping[str, BaseDistribution]) -> bool:
        """See what a trial is asked; whether what is known must be read anew."""
        loosened = [self._ranges.add(name, one) for name, one in distributions.items()]
        return self._order.add(names) or any(loosened)

    def meet(self, trial: FrozenTrial, name: str, distribution: BaseDistribution) -> None:
        """A running trial is asked for ``name``."""
        if self._meet((*trial.params, name), {name: distribution}):
            self._begin()
            self.sync(self._trials)

    @property
    def shuffled(self) -> bool:
        """Whether questions have no order."""
        return self._order.shuffled

    @property
    def loose(self) -> Collection[str]:
        """Numbers whose ranges depend on something."""
        return self._ranges.loose

    def context(self, trial: FrozenTrial) -> str:
        """What the effects of a number depend on that a running trial is asked for now."""
        return '' if self._order.shuffled else context_of(
            [(name, value, trial.distributions[name]) for name, value in trial.params.items()],
            self.loose)

    def guide(self, trial: FrozenTrial) -> Guide:
        """Who answers the questions of a running trial that is followed."""
        return Guide(self.tree, self._running[trial._trial_id], self._order.shuffled)

    def repeats(self, trial: FrozenTrial) -> bool:
        """Whether a running trial was sent where others had been because nothing new is left."""
        return trial._trial_id in self._running and self.guide(trial).repeats()

    def _steps_of(self, trial: FrozenTrial, asked: Union[Set[str], Sequence[str]] = ()
                  ) -> Iterator[Optional[Step]]:
        return _steps(trial, asked, self.depth, self._order if self._order.shuffled else None,
                      self.loose)

    def answered(self, trial: FrozenTrial, name: str, exact: bool = True) -> None:
        """A running trial has a parameter, before the storage says so.

        Args:
            exact: the choices taken leave no more than one value.
        """
        running = self._running[trial._trial_id]
        running.asked.add(name)
        if not exact:
            self.tree.set_repeatable(running.walk)

    @property
    def used_up(self) -> bool:
        """Nothing new is left in the whole space, what runs included."""
        root = self.tree.root
        if not root.branches and not root.visits:
            return False  # nobody has been asked anything yet
        return root.closed and not unsure(root) and not self.tree.again(root, Random(0))[1]

    def ordinal(self, trial: FrozenTrial) -> int:
        """How many trials come before this one, interrupted ones not counted.

        It is the number the trial has in a run that nobody interrupts: a trial that died and its
        second attempt have the same ordinal, and so have all that follow. It is fixed when a
        running trial first asks for it.
        """
        ordinal = self._ordinals.get(trial._trial_id)
        if ordinal is None:
            ordinal = trial.number - bisect_left(self._interrupted, trial.number)
            if trial._trial_id in self._running:
                self._ordinals[trial._trial_id] = ordinal
        return ordinal

    def features_of(self, trial: FrozenTrial) -> List[int]:
        """What a finished trial of the tree took, as the model counts it; the first is the mean of
        all."""
        model = self.tree.model
        assert model is not None
        taken = (model.features(step.name, step.choices)[step.taken]
                 for step in self._steps_of(trial) if step is not None)
        return [0, *(feature for feature in taken if feature is not None)]

    def seen(self, trial: FrozenTrial) -> float:
        """The value of a finished trial on the scale of the tree."""
        return self.tree.on_scale(value_of(trial, self.sign))

    def describe(self, max_depth: Optional[int] = 2) -> str:
        """The tree as lines of text, values in the unit and direction of the study."""
        return self.tree.describe(max_depth, self.sign)

    def _leave(self, trial: FrozenTrial) -> None:
        running = self._running.pop(trial._trial_id, None)
        self._ordinals.pop(trial._trial_id, None)
        if running is not None:
            self.tree.drop(running.walk)

    def _is_interrupted(self, trial: FrozenTrial) -> bool:
        if trial.user_attrs.get(INTERRUPTED) is not True:
            return False
        place = bisect_left(self._interrupted, trial.number)
        if self._interrupted[place:place + 1] != [trial.number]:
            insort(self._interrupted, trial.number)
        return True

def only_direction(directions: Sequence[StudyDirection]) -> StudyDirection:
    """The direction of a study with one objective, which is all that a mean value can serve."""
    if len(directions) != 1:
        raise ValueError('a Monte Carlo tree needs a study with one objective, '
                         f'this one has {len(directions)}')
    return directions[0]
