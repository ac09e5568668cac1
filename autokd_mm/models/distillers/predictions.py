"""The losses on what two dense heads say, in a distiller's config and back."""
from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple

from autokd_mm.errors import ConfigError
from autokd_mm.models.distillers.cross_heads import add_cross_head, prediction_head
from autokd_mm.models.distillers.layers import LayerPair, Predictions
from autokd_mm.models.losses.boxes_loss import maps_of_weights
from autokd_mm.models.losses.levels import BOXES, CLASSES, QUALITY
from autokd_mm.space.predictions import PREDICTION_LEVELS

# Behind ``loss_``: the loss, and its arguments by level of the space.
_LOSSES: Dict[str, Tuple[str, Dict[str, str]]] = {
    CLASSES: ('ClassMapsLoss', dict(prediction='distance', prediction_weight='loss_weight')),
    BOXES: ('BoxesLoss', dict(box='distance', box_by='by', box_weight='loss_weight')),
    QUALITY: ('QualityLoss', dict(quality_weight='loss_weight')),
}


def add_predictions(config: Dict[str, Any], spec: Any, found: Optional[Predictions]) -> None:
    """Put the losses of a spec's predictions into a distiller's config.

    Raises:
        ConfigError: they are distilled, and the heads have nothing of the kind in common, or the
            student's features do not fit into the teacher's head.
    """
    if spec.prediction_head and found is not None and found.cross_fault:
        raise ConfigError(f'distiller option prediction_head={spec.prediction_head!r} cannot be '
                          f'used: {found.cross_fault}')
    for what, (name, arguments) in _LOSSES.items():
        level = next(iter(arguments)) if what != QUALITY else 'quality'
        if getattr(spec, level, None) is None:
            continue
        if found is None or not found.of(what):
            raise ConfigError(f'{what} of dense heads are distilled, but layers.student_predictions'
                              f' and layers.teacher_predictions have none in common')
        loss = dict(type=f'mmrazor.{name}', classes=found.numbers,
                    **{argument: getattr(spec, one) for one, argument in arguments.items()},
                    **_of_heads(what, found))
        config['distill_losses'][f'loss_{what}'] = loss
        mapping: Dict[str, Any] = {}
        for who, kinds in _read(what, loss).items():
            for kind in kinds:
                cross = found.cross.get(kind) if spec.prediction_head and who == 'student' else None
                for level_, pair in enumerate(found.of(kind)):
                    argument = f'{who}_{kind}_{level_}'
                    if cross is not None:
                        mapping[argument] = add_cross_head(config, kind, level_, cross)
                        continue
                    config[f'{who}_recorders'][pair.name] = pair.recorder(who)
                    mapping[argument] = pair.record(who)
        config['loss_forward_mappings'][f'loss_{what}'] = mapping


def _of_heads(what: str, found: Predictions) -> Dict[str, Any]:
    """Arguments of a loss that say how the heads speak."""
    more: Dict[str, Any] = {}
    if found.objectness and found.quality:
        more['objectness'] = True
    if what != CLASSES and found.exclusive:
        more['exclusive'] = True
    if what == BOXES and found.coding is not None:
        more['coding'] = found.coding.to_dict()
    return more


def _read(what: str, loss: Mapping[str, Any]) -> Dict[str, List[str]]:
    """What a loss reads of each network; what it is about comes first."""
    read = {who: [what] for who in ('student', 'teacher')}
    objectness = bool(loss.get('objectness'))
    if what == BOXES:
        for who, kinds in maps_of_weights(loss['by'], objectness).items():
            read[who] += kinds
    elif what == CLASSES and objectness:
        read['teacher'].append(QUALITY)
    elif what == QUALITY and not objectness:
        read['teacher'].append(CLASSES)
    return read


def options_of(config: Mapping[str, Any]) -> Dict[str, Any]:
    """The inverse of :func:`add_predictions`: options by level of a distiller's config.

    Raises:
        ConfigError: a loss of another type.
    """
    losses = config.get('distill_losses') or {}
    found: Dict[str, Any] = {}
    for what, (name, arguments) in _LOSSES.items():
        loss = losses.get(f'loss_{what}')
        if loss is None:
            continue
        if str(loss.get('type')).split('.')[-1] != name:
            raise ConfigError(f'model.distiller.distill_losses.loss_{what}: {loss.get("type")} is '
                              f'not of the search space, {name} is')
        usual = dict(distance=dict(classes='weighted_bce').get(what, 'giou'), by='confidence',
                     loss_weight=1)
        found.update((level, loss.get(argument, usual[argument]))
                     for level, argument in arguments.items())
        if what == QUALITY:
            found['quality'] = 'bce'
    if found:
        found['prediction_head'] = prediction_head(config)
    return {level: found[level] for level in PREDICTION_LEVELS if found.get(level) is not None}


def is_prediction(name: str) -> bool:
    """Whether a loss of a distiller is one of these, by its name."""
    return name in [f'loss_{what}' for what in _LOSSES]


def named(what: str, pairs: Iterable[LayerPair]) -> Tuple[LayerPair, ...]:
    """The pairs with the names of their recorders."""
    return tuple(replace(pair, name=f'{what}_{level}') for level, pair in enumerate(pairs))
