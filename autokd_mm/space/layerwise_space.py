"""The space of distillers whose layers have feature branches of their own."""
from __future__ import annotations

import logging
import math
from dataclasses import replace
from itertools import product
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

from autokd_mm.errors import ConfigError
from autokd_mm.space.distiller_space import DistillerSpace
from autokd_mm.space.layer_groups import Groups
from autokd_mm.space.layerwise_spec import LayerwiseSpec, Spec
from autokd_mm.space.offers import Offers
from autokd_mm.space.options import DEFAULT_OPTIONS, checked_options
from autokd_mm.space.predictions import without_predictions
from autokd_mm.space.shapes import Shapes
from autokd_mm.space.spec import LEFT_OUT, LOGITS_LEVELS, DistillerSpec
from autokd_mm.space.start import OWN
from autokd_mm.space.teachers import ALL, FEATURE_TEACHER

Options = Mapping[str, Sequence[Any]]


class LayerwiseSpace:
    """Every legal distiller for several pairs of layers, each compared in its own way.

    The same questions as :class:`DistillerSpace`, the feature's once for each layer: its name and
    a slash stand before those of the parameters (``feature_0/distance``). What would be a
    distiller of logits alone is here a layer that is left out, so ``transform`` offers
    ``'left_out'`` where the option list has ``'logits_only'``. Something is always distilled:
    where there are no logits the last layer that can be compared is, if all before it are left
    out. Layers are asked in their order, and the logits and the start behind the last.

    Args:
        options: replaces the option list of any level, for all layers.
        shapes: the tensors of each layer, by its name; they differ in the features only. A layer
            offers what its own tensors allow.
        log: called once for each option that is not offered, with one line that says why.
        groups: names of layers that are compared in the same way, as the levels of a pyramid. The
            largest is asked for all, under its name; those that are too small for the answer are
            left out. By default each layer is alone.

    Raises:
        ConfigError: an unknown level or option, an empty or repeating list; a layer that must be
            compared cannot, or nothing can be distilled.

    Attributes:
        shapes: of the layers that are asked for.
    """

    def __init__(self, options: Optional[Options], shapes: Mapping[str, Shapes],
                 log: Optional[Callable[[str], None]] = None,
                 groups: Sequence[Sequence[str]] = ()) -> None:
        self._groups = Groups(shapes, groups)
        self.shapes: Dict[str, Shapes] = self._groups.asked
        shapes = self.shapes
        self.options = dict(DEFAULT_OPTIONS, **checked_options(options or {}))
        log = log if log is not None else logging.getLogger(__name__).debug
        _refuse_teachers(options or {})
        self._layers = {name: _LayerSpace(name, options, one, log) for name, one in shapes.items()}
        any_shapes = next(iter(self.shapes.values()))
        # Behind a feature, and alone.
        self._logits = {feature: _LogitsSpace(options, any_shapes, feature, log)
                        for feature in (True, False)}
        for layer in self._layers.values():
            layer.refuse_hopeless()
        able = [name for name, layer in self._layers.items() if layer.able]
        if not able and not self._logits[False].able:
            raise ConfigError('space: these tensors allow no distance between features and none '
                              'between logits')
        self._last_chance = '' if self._logits[False].able else able[-1]

    def suggest(self, trial: Any) -> LayerwiseSpec:
        """Ask ``trial`` for one option after another and return the distiller they make.

        Raises:
            ConfigError: no legal option is left at some level.
        """
        found: List[Tuple[str, DistillerSpec]] = []
        compared = False
        for name, layer in self._layers.items():
            must = name == self._last_chance and not compared
            branch = (layer.compared if must else layer).suggest(_Named(trial, name))
            compared = compared or branch.has_feature
            found.append((name, branch))
        return self._joined(found, self._logits[compared].suggest(trial))

    def count(self) -> int:
        """Number of distillers: a product, only the branches are walked."""
        free = math.prod(layer.count() for layer in self._layers.values())
        none = int(all(layer.may_be_left_out for layer in self._layers.values()))
        count = (free - none) * self._logits[True].count() if free > none else 0
        return count + (none * self._logits[False].count() if self._logits[False].able else 0)

    def enumerate(self) -> Iterator[LayerwiseSpec]:
        """Every distiller once, in the order of the options."""
        logits = {feature: list(space.enumerate()) if space.able else []
                  for feature, space in self._logits.items()}
        for branches in product(*(layer.enumerate() for layer in self._layers.values())):
            for rest in logits[any(branch.has_feature for branch in branches)]:
                yield self._joined(list(zip(self._layers, branches)), rest)

    def params(self, spec: Spec) -> Dict[str, Any]:
        """The answers with which :meth:`suggest` returns ``spec`` (for ``study.enqueue_trial``).

        Raises:
            ConfigError: ``spec`` is not a point of this space; names the level and what it offers.
        """
        if not isinstance(spec, LayerwiseSpec):
            raise ConfigError('distiller options name no layer; the layers of this task are '
                              f'{", ".join(self._layers)}')
        if spec.names != tuple(self._groups.shapes):
            raise ConfigError(f'distiller options are of the layers {", ".join(spec.names)}; the '
                              f'layers of this task are {", ".join(self._groups.shapes)}')
        answers: Dict[str, Any] = {}
        compared = False
        for name, branch in self._groups.together(spec.layers):
            layer = self._layers[name]
            must = name == self._last_chance and not compared
            try:
                found = (layer.compared if must else layer).params(branch)
            except ConfigError as error:
                raise ConfigError(f'{name}: {error}') from None
            compared = compared or branch.has_feature
            answers.update((f'{name}/{key}', value) for key, value in found.items())
        return dict(answers, **self._logits[compared].params(spec.logits_branch))

    def validate(self, spec: LayerwiseSpec) -> None:
        """Raise ``ConfigError`` unless ``spec`` is a point of this space."""
        self.params(spec)

    def spread(self, specs: Sequence[DistillerSpec]) -> LayerwiseSpec:
        """The distiller whose i-th layer is compared as ``specs[i]`` says; their logits are equal.

        A layer that does not offer that is left out, as all are of a method of logits.

        Raises:
            ConfigError: no layer offers its feature branch.
        """
        found, refused = [], []
        for (name, layer), spec in zip(self._layers.items(), specs):
            branch = spec.feature_branch
            try:
                layer.validate(branch)
            except ConfigError as error:
                refused.append(f'{name}: {error}')
                branch = DistillerSpec(LEFT_OUT)
            found.append((name, branch))
        if len(refused) == len(found):
            raise ConfigError(refused[0])
        return self._joined(found, specs[0])

    def _joined(self, asked: Sequence[Tuple[str, DistillerSpec]],
                logits: DistillerSpec) -> LayerwiseSpec:
        return LayerwiseSpec(self._groups.apart(asked), **{level: getattr(logits, level)
                                                           for level in LOGITS_LEVELS})

    def levels(self) -> List[Tuple[str, Tuple[Any, ...]]]:
        """The levels with their options, those of the feature for each of the layers."""
        layer = next(iter(self._layers.values()))
        return ([(level, options) for level, options in layer.levels()
                 if level not in LOGITS_LEVELS]
                + [(level, options) for level, options in self._logits[True].levels()
                   if level in LOGITS_LEVELS])


def _refuse_teachers(options: Options) -> None:
    if checked_options(options).get(FEATURE_TEACHER, (ALL, )) != (ALL, ):
        _refuse_teacher(f'space.{FEATURE_TEACHER}={list(options[FEATURE_TEACHER])}')


def _refuse_teacher(said: str) -> None:
    raise ConfigError(f'{said}: every layer has options of its own, and a teacher is left out '
                      f"where its layers are; did you mean '{ALL}'?")


class _LayerSpace(DistillerSpace):
    """The feature branch of one layer, or that it is left out.

    Attributes:
        compared: the same without leaving it out.
    """

    def __init__(self, name: str, options: Optional[Options], shapes: Shapes,
                 log: Callable[[str], None], must: bool = False) -> None:
        super().__init__(without_predictions(options),
                         replace(shapes, predictions=None, feature_teachers=None), log)
        shapes = self.shapes
        self.options['transform'] = tuple(LEFT_OUT if option == 'logits_only' else option
                                          for option in self.options['transform'])
        self.options['logits'], self.options['start'] = ('none', ), (OWN, )
        self.name = name
        self._offers = Offers(self.options, shapes, lambda line: log(f'{name}: {line}'),
                              (LEFT_OUT, ) if must else ())
        self.compared = self
        if not must:
            self.compared = _LayerSpace(name, options, shapes, log, True)
            self.compared._offers.share_log(self._offers)

    def params(self, spec: Spec) -> Dict[str, Any]:
        if isinstance(spec, DistillerSpec) and spec.feature_teacher is not None:
            _refuse_teacher(f'distiller option {FEATURE_TEACHER}={spec.feature_teacher!r}')
        return super().params(spec)

    @property
    def may_be_left_out(self) -> bool:
        return LEFT_OUT in self.options['transform']

    @property
    def able(self) -> bool:
        """Its tensors can be compared in some way."""
        return self.compared._offers.any_left('transform', {})

    def refuse_hopeless(self) -> None:
        """Raise ``ConfigError`` if it can neither be compared nor left out."""
        if not self.able and not self.may_be_left_out:
            reasons = self._offers.faults('transform', {})
            raise ConfigError(f'space.transform: {list(self.options["transform"])} cannot be used '
                              f"at {self.name} ({reasons}); with 'logits_only' it may be left out")


class _LogitsSpace(DistillerSpace):
    """The logits branch, beside features or alone."""

    def __init__(self, options: Optional[Options], shapes: Shapes, feature: bool,
                 log: Callable[[str], None]) -> None:
        super().__init__(options, shapes, log)
        # One option is not asked.
        self.options['transform'] = (LEFT_OUT if feature else 'logits_only', )

    @property
    def able(self) -> bool:
        return self._offers.any_left('transform', {})


class _Named:
    """A trial that hears the name of the layer before every question."""

    def __init__(self, trial: Any, name: str) -> None:
        self._trial, self._name = trial, name

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._trial.suggest_categorical(f'{self._name}/{name}', choices)


Space = Union[DistillerSpace, LayerwiseSpace]
