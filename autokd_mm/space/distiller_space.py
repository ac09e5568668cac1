"""The space as a function of a trial."""
from __future__ import annotations

import logging
from functools import partial
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from autokd_mm.errors import ConfigError
from autokd_mm.space.layerwise_spec import Spec
from autokd_mm.space.offers import Offers
from autokd_mm.space.options import BOX_LEVELS, BOX_TRANSFORMS, DEFAULT_OPTIONS, checked_options
from autokd_mm.space.predictions import (FIRST_LEVELS, HEAD_LEVEL, HEADS, OWN_HEAD,
                                         PREDICTION_LEVELS, levels_of, refuse_unmet,
                                         suggest_predictions)
from autokd_mm.space.reasons import CANNOT
from autokd_mm.space.schedules import CONSTANT, SCHEDULE_LEVELS, check_schedule
from autokd_mm.space.shapes import Shapes
from autokd_mm.space.spec import LEVELS, NO_FEATURE, DistillerSpec
from autokd_mm.space.start import OWN, START_LEVELS, check_start
from autokd_mm.space.teachers import ALL, TEACHER_LEVELS, check_teacher, offered_teachers
from autokd_mm.space.walk import GuidedTrial, NotOffered, walk

# What the levels are asked that are None in a spec of this option.
UNNAMED = dict(dict.fromkeys(SCHEDULE_LEVELS, CONSTANT), region='all', start=OWN,
               prediction_head=OWN_HEAD, **dict.fromkeys(FIRST_LEVELS, 'none'),
               **dict.fromkeys(TEACHER_LEVELS, ALL))


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

    def params(self, spec: Spec) -> Dict[str, Any]:
        """The answers with which :meth:`suggest` returns ``spec`` (for ``study.enqueue_trial``).

        Raises:
            ValueError: ``spec`` is not a point of this space; names the level and what it offers.
        """
        if not isinstance(spec, DistillerSpec):
            raise ConfigError(f'distiller options are of the layers {", ".join(spec.names)}; the '
                              'layers of this space have the same options')
        for level in SCHEDULE_LEVELS:
            check_schedule(getattr(spec, level), f'distiller option {level}')
        for level in PREDICTION_LEVELS:  # what follows would blame what they leave to distil
            if getattr(spec, level) is not None and level not in levels_of(self.shapes):
                if level == HEAD_LEVEL and spec.prediction_head in HEADS:
                    raise ConfigError(f'distiller option {level}={spec.prediction_head!r} is not '
                                      f'offered here; space.{level}={list(HEADS)} does, where the '
                                      "student's features fit into the teacher's head")
                raise ConfigError(f'distiller option {level}={getattr(spec, level)!r} needs dense '
                                  'heads that are both understood (layers.student_predictions and '
                                  'layers.teacher_predictions); leave it out')
        for level in TEACHER_LEVELS:
            check_teacher(getattr(spec, level), self.options[level], f'distiller option {level}')
        check_start(spec.start, 'distiller option start')
        if spec.start is not None and spec.start not in self.options['start']:
            raise ConfigError(f'distiller option start={spec.start!r} is not offered here (that '
                              'part of the teacher does not fit, or space.start leaves it out). '
                              f'Valid: {", ".join(self.options["start"])}')
        guided = GuidedTrial(dict(UNNAMED, **spec.to_dict()))
        try:
            reached = self.suggest(guided)
        except NotOffered as error:
            if error.level == 'start_lr' and spec.start is None:  # a start alone is not asked
                copied = ', '.join(start for start in self.options['start'] if start != OWN)
                raise ConfigError("distiller option start='own' is not offered here. Valid: "
                                  f'{copied} ({CANNOT}nothing would be distilled)') from None
            reason = None
            if error.value in self.options[error.level] + DEFAULT_OPTIONS[error.level]:
                reason = self._offers.fault(error.level, error.value, spec.to_dict())
            raise ConfigError(f'{error}{f" ({reason})" if reason else ""}') from None
        for level in LEVELS:
            wanted, only = getattr(spec, level), getattr(reached, level)
            if only != wanted:
                if only is None and level in SCHEDULE_LEVELS and \
                        getattr(reached, f'has_{level.split("_")[0]}'):
                    only = CONSTANT
                if wanted is None and level in (*TEACHER_LEVELS, HEAD_LEVEL):
                    wanted = UNNAMED[level]
                raise ConfigError(
                    f'distiller option {level}={wanted!r} ' +
                    ('needs boxes, which this task has not; leave it out'
                     if level in BOX_LEVELS and not self.shapes.boxes else
                     'means nothing beside the other options; leave it out' if only is None else
                     f'is not a point of this space; it offers {only!r} there'))
        return guided.params

    def validate(self, spec: Spec) -> None:
        """Raise ``ValueError`` unless ``spec`` is a point of this space."""
        self.params(spec)

    def levels(self) -> List[Tuple[str, Tuple[Any, ...]]]:
        """The levels with their options, in the order in which they are asked.

        Without those of schedules where all weights are constant, of teachers where all are heard,
        and of starts where there is but the student's own: a study knows its space by them.
        """
        return [(level, self.options[level]) for level in LEVELS
                if (self.shapes.boxes or level not in BOX_LEVELS)
                and (level not in PREDICTION_LEVELS or level in levels_of(self.shapes))
                and not (level == HEAD_LEVEL and self.options[level] == (OWN_HEAD, ))
                and not (level in SCHEDULE_LEVELS and self.options[level] == (CONSTANT, ))
                and not (level in TEACHER_LEVELS and self.options[level] == (ALL, ))
                and not (level in START_LEVELS and self.options['start'] == (OWN, ))]

