"""A distiller that was found for another pair, put on this one."""
from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from mmengine.config import ConfigDict

from autokd_mm.datasets.annotations import BOXES, LABEL
from autokd_mm.engine.config import load_config
from autokd_mm.errors import ConfigError
from autokd_mm.models.algorithms.inherited import parts_of, starts_of
from autokd_mm.models.distillers.from_spec import (distiller_config, loss_schedules,
                                                   spec_from_config)
from autokd_mm.optim import rates_fault
from autokd_mm.pairs.images import several
from autokd_mm.report.export import SCHEDULE_HOOK
from autokd_mm.report.start import set_start, start_levels
from autokd_mm.space import DistillerSpec, rules
from autokd_mm.space.start import in_words
from autokd_mm.zoo import writing
from autokd_mm.zoo.choosing import Choice
from autokd_mm.zoo.looking import Looked


class Recipe(NamedTuple):
    """A distiller for this pair.

    Attributes:
        spec: the point of the space that it is.
        config: ``model.distiller``.
        schedules: how the weights of its losses change, by name of the loss.
        words: one line.
        start: ``model.start``; ``None`` where the student begins as initialised.
        optim_wrapper: under which what it begins with learns at a rate of its own, if it does.
    """
    spec: DistillerSpec
    config: Dict[str, Any]
    schedules: Dict[str, str]
    words: str
    start: Optional[Dict[str, Any]] = None
    optim_wrapper: Optional[Dict[str, Any]] = None


def read(path: str, looked: Looked, choice: Choice) -> Recipe:
    """The distiller of the config at ``path`` with connectors that fit this pair.

    Raises:
        ConfigError: it has none of the search space, or the tensors of this pair do not fit it.
    """
    config = load_config(path, key='--distiller')
    given = (config.get('model') or {}).get('distiller')
    if not given or not given.get('distill_losses'):
        raise ConfigError(f'--distiller: {path} has no distiller with losses')
    schedules: Dict[str, str] = {}
    for hook in config.get('custom_hooks') or []:
        if str(hook.get('type')).split('.')[-1] == SCHEDULE_HOOK.split('.')[-1]:
            schedules.update(hook.get('schedules') or {})
    try:
        spec = spec_from_config(given, schedules=schedules)
    except ValueError as error:
        raise ConfigError(f'--distiller: {path}: {error}') from None
    assert isinstance(spec, DistillerSpec)
    said = ''
    if spec.has_feature and spec.connector == 'identity' and not choice.layers.same_shape:
        spec = replace(spec, connector='conv1x1')
        said = ' (a connector was added, the shapes of this pair differ)'
    if spec.has_feature and spec.has_logits and not choice.layers.logits:
        spec = spec.feature_branch
        said += ' (without its logits, of which this pair has none that can be compared)'
    start, optim_wrapper, why = _start(config, looked, f'--distiller: {path}: model.start')
    said += why
    if several(config.model.get('teacher')):
        said += ' (of its teachers, which are several, this pair has one)'
    fault = _fault(spec, looked, choice)
    if fault:
        raise ConfigError(f'--distiller: {path} ({spec.in_words()}) does not fit this pair: '
                          f'{fault}')
    return Recipe(spec, distiller_config(spec, choice.layers),
                  loss_schedules(spec, choice.layers), spec.in_words() + said, start,
                  optim_wrapper)


def _start(config: Any, looked: Looked, key: str) -> Tuple[Optional[Dict[str, Any]],
                                                           Optional[Dict[str, Any]], str]:
    """``model.start`` and ``optim_wrapper`` of :class:`Recipe`, and what is to be said of them."""
    levels = start_levels(config, key)
    if not levels:
        return None, None, ''
    name, rate = levels['start'], levels['start_lr']
    student, words = looked.model.architecture, in_words(name, rate)
    if name not in starts_of(student, looked.kind == LABEL):
        return None, None, f' (without {words}, which the student of this pair does not have)'
    parts = parts_of(student, looked.model.teacher, [name])
    if name not in parts.fitting:
        return None, None, f' (without {words}: {parts.faults[name]})'
    own, said = looked.bases[0].to_dict(), f' + {words}'
    fault = rates_fault(own['optim_wrapper'], own.get('param_scheduler'))
    if fault and rate not in (0, 1):
        rate, said = 1, f' + {in_words(name, 1)} (with no rate of its own: {fault})'
    made = ConfigDict(model={}, optim_wrapper=own['optim_wrapper'])
    set_start(made, DistillerSpec('logits_only', start=name, start_lr=rate), parts)
    return made.model.start, None if rate in (0, 1) else made.optim_wrapper, said


def _fault(spec: DistillerSpec, looked: Looked, choice: Choice) -> Optional[str]:
    """Why a distiller cannot work for the tensors of a pair; its numbers may be of any space."""
    if spec.region is not None and looked.kind != BOXES:
        return f'region={spec.region} needs boxes'
    if spec.has_logits and not choice.layers.logits:
        return 'it distils logits, and there are none that can be compared'
    shapes = [rules.Shapes(64, *pair.teacher_shape) for pair in choice.layers.pairs]
    faults = [rules.spec_fault(spec, one) for one in shapes] if spec.has_feature else [None]
    return faults[0] if all(faults) else None


def hooks(config: Any, recipe: Recipe) -> List[str]:
    """``custom_hooks`` where the recipe has schedules: a list in a config replaces its base's."""
    if not recipe.schedules:
        return []
    own = [hook.to_dict() if hasattr(hook, 'to_dict') else dict(hook)
           for hook in config.get('custom_hooks') or []]
    return [writing.assigned('custom_hooks', [
        *own, dict(type=SCHEDULE_HOOK, schedules=dict(recipe.schedules))])]
