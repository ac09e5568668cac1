"""The space as a function of a trial."""
from __future__ import annotations

import heapq
import logging
from functools import partial
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from autokd_mm.errors import ConfigError
from autokd_mm.space.answers import answers_of
from autokd_mm.space.layerwise_spec import Spec
from autokd_mm.space.offers import Offers
from autokd_mm.space.options import BOX_LEVELS, BOX_TRANSFORMS, DEFAULT_OPTIONS, checked_options
from autokd_mm.space.predictions import (HEAD_LEVEL, PREDICTION_LEVELS, levels_of, refuse_unmet,
                                         suggest_predictions)
from autokd_mm.space.schedules import SCHEDULE_LEVELS
from autokd_mm.space.shapes import Shapes
from autokd_mm.space.spec import LEVELS, NO_FEATURE, UNNAMED, DistillerSpec
from autokd_mm.space.start import OWN, START_LEVELS
from autokd_mm.space.teachers import TEACHER_LEVELS, offered_teachers
from autokd_mm.space.walk import walk

# Levels of which a study knows nothing where they have their one usual option.
_LATER = (*SCHEDULE_LEVELS, *TEACHER_LEVELS, HEAD_LEVEL, 'start')


class DistillerSpace:
    """Every legal distiller for given tensors, as a define-by-run function of a trial.

    :meth:`suggest` is the only description of which option depends on which; counting,
    enumerating and validating all walk it. It asks any object with Optuna's
    ``suggest_categorical(name, choices)``. A parameter is called after its level; where the
    tensors or earlier choices leave only a part of the level's options, the remaining options are
    written behind the name (``distance(l2|pearson)``), because a study keeps one list of choices
    per parameter name. A level with a single option left is not asked. Without boxes the space
    knows nothing of regions: neither their levels nor the transform that is offered for one only.
    Schedules of the weights are offered where ``options`` names them, and the levels of
    predictions are asked where two dense heads have something in common. A start with a part of
    the teacher is offered where ``shapes`` says that it fits; it may be all that there is, without
    a loss. Which teacher is heard is asked where ``shapes`` says that there are several.

    Args:
        options: replaces the option list of any level, e.g. ``dict(temperature=(1, 2, 4))``.
        shapes: the tensors that will be compared. Defaults to N=64, 64 x 8 x 8, 100 classes.
        log: called once for each option that is not offered, with one line that says why.

    Raises:
        ValueError: an unknown level or option, an empty or repeating list.
    """

    def __init__(self,
                 options: Optional[Mapping[str, Sequence[Any]]] = None,
                 shapes: Optional[Shapes] = None,
                 log: Optional[Callable[[str], None]] = None) -> None:
        self.shapes = shapes or Shapes()
        self.options: Dict[str, Tuple[Any, ...]] = dict(DEFAULT_OPTIONS)
        if not self.shapes.boxes:
            self.options['transform'] = tuple(
                name for name in DEFAULT_OPTIONS['transform'] if name not in BOX_TRANSFORMS)
        given = checked_options(options or {})
        self.options.update(given)
        if not self.shapes.boxes and 'all' not in self.options['region']:
            raise ConfigError(f"space.region: {list(self.options['region'])} need boxes, which "
                              "this task has not; did you mean 'all'?")
        refuse_unmet(self.options, self.shapes)
        self._leave_out_starts()
        self.options.update(offered_teachers(given, self.shapes))
        self._offers = Offers(self.options, self.shapes,
                              log if log is not None else logging.getLogger(__name__).debug)

    def _leave_out_starts(self) -> None:
        """Those of which no part of the teacher fits; a study knows its space without them."""
        given, fitting = self.options['start'], (OWN, *(self.shapes.starts or ()))
        self.options['start'] = tuple(start for start in given if start in fitting)
        if not self.options['start']:
            raise ConfigError(f"space.start: no part of the teacher fits the student in "
                              f"{list(given)}; did you mean '{OWN}'?")

    # -- the space itself ---------------------------------------------------------------------
    def suggest(self, trial: Any) -> DistillerSpec:
        """Ask ``trial`` for one option after another and return the distiller they make.

        Raises:
            ValueError: no legal option is left at some level.
        """
        values = self._suggest_feature(trial)
        values.update(self._suggest_logits(trial, values['transform']))
        return DistillerSpec(**values)

    def _suggest_feature(self, trial: Any) -> Dict[str, Any]:
        chosen: Dict[str, Any] = {}
        if self._ask(trial, 'transform', chosen) in NO_FEATURE:
            return chosen
        if chosen['transform'] == 'random_mask':
            self._ask(trial, 'mask_ratio', chosen)
        self._ask(trial, 'feature_teacher', chosen)
        self._ask(trial, 'connector', chosen)
        if self.shapes.boxes and \
                self._ask(trial, 'region', chosen) == 'foreground_background':
            self._ask(trial, 'background_weight', chosen)
        if self._ask(trial, 'intra', chosen) == 'local':
            self._ask(trial, 'patch_grid', chosen)
        self._ask(trial, 'inter', chosen)
        if self._ask(trial, 'distance', chosen) == 'kl':
            self._ask(trial, 'temperature', chosen)
        self._ask(trial, 'feature_weight', chosen)
        self._ask(trial, 'feature_schedule', chosen)
        return chosen

    def _suggest_logits(self, trial: Any, transform: str) -> Dict[str, Any]:
        chosen = dict(transform=transform)
        if self._ask(trial, 'logits', chosen) != 'none':
            self._ask(trial, 'logits_teacher', chosen)
            self._ask(trial, 'logits_temperature', chosen)
            self._ask(trial, 'logits_weight', chosen)
            self._ask(trial, 'logits_schedule', chosen)
        suggest_predictions(lambda level: self._ask(trial, level, chosen), self.shapes)
        if self._ask(trial, 'start', chosen) != OWN:
            self._ask(trial, 'start_lr', chosen)
        del chosen['transform']
        return chosen

    def _ask(self, trial: Any, level: str, chosen: Dict[str, Any]) -> Any:
        name, offered = self._offers.question(level, chosen)
        value = offered[0] if len(offered) == 1 else trial.suggest_categorical(name, offered)
        chosen[level] = value
        return value

    # -- walks over it ------------------------------------------------------------------------
    def count(self) -> int:
        """Number of distillers: the leaves of the walk over :meth:`suggest`.

        The levels of the logits and of the start depend on those of the feature through
        ``transform`` only, so the two halves are walked apart.
        """
        leaves: Dict[str, int] = {}
        for values in walk(self._suggest_feature):
            leaves[values['transform']] = leaves.get(values['transform'], 0) + 1
        return sum(number * sum(1 for _ in walk(partial(self._suggest_logits, transform=name)))
                   for name, number in leaves.items())

    def enumerate(self) -> Iterator[DistillerSpec]:
        """Every distiller once, in the order of the options."""
        for values in walk(self._suggest_feature):
            rest = partial(self._suggest_logits, transform=values['transform'])
            for logits in walk(rest):
                yield DistillerSpec(**values, **logits)

    def leading(self, worth: Callable[[str, Any], float], count: int) -> List[DistillerSpec]:
        """The distillers whose options are worth most in sum, best first; of equal ones the first
        of :meth:`enumerate`. Walks the two halves apart, as :meth:`count` does.

        Args:
            worth: of an option, by its level and value.
            count: so many.
        """
        def ranked(leaves: Iterator[Dict[str, Any]]) -> Iterator[Tuple[float, int, Dict[str, Any]]]:
            for place, values in enumerate(leaves):
                yield sum(worth(*option) for option in values.items()), -place, values

        best: Dict[str, List[Tuple[float, int, Dict[str, Any]]]] = {}

        def joined() -> Iterator[Tuple[float, int, int, Dict[str, Any]]]:
            for total, place, values in ranked(walk(self._suggest_feature)):
                transform = values['transform']
                if transform not in best:
                    rest = walk(partial(self._suggest_logits, transform=transform))
                    best[transform] = heapq.nlargest(count, ranked(rest), key=lambda one: one[:2])
                for more, second, logits in best[transform]:
                    yield total + more, place, second, {**values, **logits}

        return [DistillerSpec(**values) for *_, values in
                heapq.nlargest(count, joined(), key=lambda one: one[:3])]

    def params(self, spec: Spec) -> Dict[str, Any]:
        """The answers with which :meth:`suggest` returns ``spec`` (for ``study.enqueue_trial``).

        Raises:
            ValueError: ``spec`` is not a point of this space; names the level and what it offers.
        """
        if not isinstance(spec, DistillerSpec):
            raise ConfigError(f'distiller options are of the layers {", ".join(spec.names)}; the '
                              'layers of this space have the same options')
        return answers_of(spec, self.suggest, self._offers, self.options, self.shapes)

    def validate(self, spec: Spec) -> None:
        """Raise ``ValueError`` unless ``spec`` is a point of this space."""
        self.params(spec)

    def levels(self) -> List[Tuple[str, Tuple[Any, ...]]]:
        """The levels with their options, in the order in which they are asked.

        Without those of schedules where all weights are constant, of teachers where all are heard,
        and of starts where there is but the student's own: a study knows its space by them.
        """
        unnamed = {level for level in _LATER if self.options[level] == (UNNAMED[level], )}
        if 'start' in unnamed:
            unnamed.update(START_LEVELS)
        return [(level, self.options[level]) for level in LEVELS
                if level not in unnamed
                and (self.shapes.boxes or level not in BOX_LEVELS)
                and (level not in PREDICTION_LEVELS or level in levels_of(self.shapes))]
