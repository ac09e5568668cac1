"""From a point of the space to a plain ``mmrazor.ConfigurableDistiller`` config, and back."""
from __future__ import annotations

import copy
import math
import re
from dataclasses import replace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from autokd_mm.errors import ConfigError
from autokd_mm.models.distillers.layers import LayerPair, Layers
from autokd_mm.models.distillers.predictions import add_predictions, is_prediction, options_of
from autokd_mm.models.distillers.teachers import features_of, logits_of, number_of
from autokd_mm.space import DistillerSpec, LayerwiseSpec, Spec, rules
from autokd_mm.space.spec import LEFT_OUT, LOGITS_LEVELS

_FEATURE_ARGS = dict(transform='transform', mask_ratio='mask_ratio', region='region',
                     background_weight='background_weight', intra='intra',
                     patch_grid='patch_grid', inter='inter', distance='distance',
                     temperature='temperature', feature_weight='loss_weight')
_LOGITS_ARGS = dict(logits='distance', logits_temperature='temperature',
                    logits_weight='loss_weight')
_CONV_ARGS = dict(conv1x1=dict(kernel_size=1),
                  conv1x1_bn=dict(kernel_size=1, norm=True),
                  conv3x3=dict(kernel_size=3))
# How the weight of a loss changes is said beside the distiller, by the name of the loss.
_SCHEDULES = dict(loss_feature=dict(feature_schedule='schedule'),
                  loss_logits=dict(logits_schedule='schedule'))
# What the losses take where a config written by hand leaves them out.
_DEFAULTS = dict(loss_feature=dict(transform='none', intra='none', inter='none', distance='l2',
                                   loss_weight=1),
                 loss_logits=dict(distance='kl', temperature=4, loss_weight=1))
# Behind the name of a pair: the connector of its teacher's tensor.
_OF_TEACHER = '_teacher'
_LOSS_NAME = re.compile(r'(loss_feature|loss_logits)(?:_\d+)?')
_TYPES = dict(loss_feature='FeatureLoss', loss_logits='LogitsLoss')


def distiller_config(spec: Spec, layers: Layers) -> Dict[str, Any]:
    """The ``model.distiller`` of ``spec``: explicit numbers only, nothing left to infer.

    Each pair of layers has a loss of its own, whose ``loss_weight`` is the branch's weight times
    the pair's factor. Where all have the same options, pairs too small for them, as a 1 x 1 level
    of a pyramid is for attention over positions, are left out; the factors of the others are
    scaled to add up to 1 again. Where each has its own, a pair that is left out takes its share
    with it: what the others weigh is for their own options to say. Every ``type`` carries its
    scope, because MMRazor's recorders are not found by their bare name under another default
    scope.

    Raises:
        ConfigError: logits are distilled and there are none; or ``spec`` has options for other
            layers.
    """
    config: Dict[str, Any] = dict(type='mmrazor.ConfigurableDistiller', student_recorders={},
                                  teacher_recorders={}, connectors={}, distill_losses={},
                                  loss_forward_mappings={})

    def compare(pair: LayerPair, loss: Dict[str, Any],
                connector: Optional[Dict[str, Any]]) -> None:
        for who in ('student', 'teacher'):
            config[f'{who}_recorders'][pair.name] = pair.recorder(who)
        if pair.factor != 1:
            loss['loss_weight'] = loss['loss_weight'] * pair.factor
        config['distill_losses'][f'loss_{pair.name}'] = loss
        mapping = dict(student=pair.record('student'), teacher=pair.record('teacher'))
        config['loss_forward_mappings'][f'loss_{pair.name}'] = mapping
        for who, name, made in (('student', pair.name, connector),
                                ('teacher', f'{pair.name}{_OF_TEACHER}',
                                 _as_map(pair, 'teacher'))):
            if made:
                config['connectors'][name] = made
                mapping[who]['connector'] = name

    for pair, branch in _compared(spec, layers):
        loss = dict(type='mmrazor.FeatureLoss', **_present(branch, _FEATURE_ARGS))
        if branch.transform == 'random_mask':
            loss['channels'] = pair.teacher_shape[0]
        compare(pair, loss, _connector_config(str(branch.connector), pair))
    if spec.has_logits and not layers.logits:
        raise ConfigError('logits are distilled but no layers.student_logits and '
                          'layers.teacher_logits are named')
    for pair in logits_of(layers, spec.logits_teacher) if spec.has_logits else ():
        compare(pair, dict(type='mmrazor.LogitsLoss', **_present(spec, _LOGITS_ARGS)),
                _as_map(pair, 'student'))
    add_predictions(config, spec, layers.predictions)
    return config


def loss_schedules(spec: Spec, layers: Layers) -> Dict[str, str]:
    """How the weights of the losses of a :func:`distiller_config` change, by name of the loss.

    Losses whose weight is constant are left out. The config itself has nothing of it: ``fade``
    applies them, in a full training as ``schedules`` of a ``DistillScheduleHook``.
    """
    found = {f'loss_{pair.name}': branch.feature_schedule
             for pair, branch in _compared(spec, layers)}
    if spec.has_logits:
        found.update((f'loss_{pair.name}', spec.logits_schedule)
                     for pair in logits_of(layers, spec.logits_teacher))
    return {name: schedule for name, schedule in found.items() if schedule is not None}


def _compared(spec: Spec, layers: Layers) -> List[Tuple[LayerPair, DistillerSpec]]:
    """The pairs of layers with a feature loss, and its options."""
    if isinstance(spec, DistillerSpec):
        pairs = features_of(layers, spec.feature_teacher)
        return [(pair, spec) for pair in _able(spec, pairs)] if spec.has_feature else []
    branches, names = dict(spec.layers), [pair.name for pair in layers.pairs]
    if list(branches) != names:
        raise ConfigError(f'the distiller has options for the layers {", ".join(branches)}; '
                          f'there are {", ".join(names)}')
    return [(pair, branches[pair.name]) for pair in layers.pairs
            if branches[pair.name].has_feature]


def _able(spec: DistillerSpec, pairs: Sequence[LayerPair]) -> List[LayerPair]:
    """The pairs whose tensors have enough positions and channels for a distiller."""
    able = [pair for pair in pairs
            if rules.spec_fault(spec, rules.Shapes(64, *pair.compared)) is None]
    total = math.fsum(pair.factor for pair in able)
    if len(able) in (0, len(pairs)) or total <= 0:
        return list(pairs)
    return [replace(pair, factor=pair.factor / total) for pair in able]


def for_bank(config: Dict[str, Any]) -> Dict[str, Any]:
    """A :func:`distiller_config` whose teacher's recorders are fed one tensor each.

    In a network the recorder of ``'neck[2]'`` gets all that the neck returns; a bank has the one
    tensor, under the recorder's name, as the map that is compared.
    """
    config = copy.deepcopy(config)
    for mapping in (config.get('loss_forward_mappings') or {}).values():
        for record in mapping.values():
            if record['from_student']:
                continue
            for place in ('data_idx', 'record_idx'):
                record.pop(place, None)
            (config.get('connectors') or {}).pop(record.pop('connector', None), None)
    return config


def spec_from_config(config: Dict[str, Any], layers: Optional[Layers] = None,
                     schedules: Optional[Mapping[str, str]] = None,
                     start: Optional[Mapping[str, Any]] = None) -> Spec:
    """Inverse of :func:`distiller_config`; the weight of a branch is the sum of its losses'.

    Args:
        layers: that the config was made for. Needed where each has its own options: the weight of
            a layer is that of its loss, over the layer's factor; and of several teachers, to know
            that some are not heard.
        schedules: of :func:`loss_schedules`, by name of the loss.
        start: options of the student's start by level, of
            :func:`~autokd_mm.report.start.start_levels`.

    Raises:
        ConfigError: the config has losses or connectors that are not of the space, or the losses
            of a branch differ in more than their weight although the layers share their options.
    """
    losses = config.get('distill_losses') or {}
    config = dict(config, distill_losses={
        name: dict(loss, schedule=(schedules or {}).get(name)) for name, loss in losses.items()})
    more = dict(start or {}, **_teachers(config, layers))
    if layers is not None and not layers.shared:
        return replace(_layerwise_from_config(config, layers), **more)
    return replace(_shared_from_config(config), **more)


def _teachers(config: Mapping[str, Any], layers: Optional[Layers]) -> Dict[str, Any]:
    """The teachers that are heard alone, by level."""
    if layers is None or not layers.several:
        return {}
    recorders, found = config.get('teacher_recorders') or {}, {}
    for level, kind, pairs in (('feature_teacher', 'feature', layers.pairs),
                               ('logits_teacher', 'logits', layers.logits)):
        offered = {number_of(pair.teacher) for pair in pairs}
        heard = {number_of(recorder['source']) for name, recorder in recorders.items()
                 if name.startswith(kind)}
        if len(heard) == 1 and offered != heard and (kind == 'logits' or layers.shared):
            found[level] = heard.pop()
    return found


def _layerwise_from_config(config: Dict[str, Any], layers: Layers) -> LayerwiseSpec:
    names = {f'loss_{pair.name}': pair for pair in layers.pairs}
    losses = config.get('distill_losses') or {}
    found = {}
    for name, pair in names.items():
        branch = DistillerSpec(LEFT_OUT)
        if name in losses:
            branch = _shared_from_config(dict(config, distill_losses={name: losses[name]}))
            if not pair.factor > 0:
                raise ConfigError(f'layers.factors: that of {pair.student} is {pair.factor}; the '
                                  f'weight of {name} says nothing of its options')
            if branch.feature_weight is None:
                raise ConfigError(f'model.distiller.distill_losses.{name}.loss_weight: must be a '
                                  'number, got None')
            weight = float(f'{branch.feature_weight / pair.factor:.12g}')
            branch = replace(branch, feature_weight=weight)
        found[pair.name] = branch
    rest = _shared_from_config(dict(config, distill_losses={
        name: loss for name, loss in losses.items() if name not in names}))
    if rest.has_feature:
        raise ConfigError(f'model.distiller.distill_losses: there are feature losses of other '
                          f'layers than {", ".join(found)}')
    return LayerwiseSpec(tuple(found.items()),
                         **{level: getattr(rest, level) for level in LOGITS_LEVELS})


def _shared_from_config(config: Mapping[str, Any]) -> DistillerSpec:
    predictions = options_of(config)
    losses = {name: loss for name, loss in (config.get('distill_losses') or {}).items()
              if not is_prediction(name)}
    branches: Dict[str, List[str]] = {}
    foreign = []
    for name in losses:
        found = _LOSS_NAME.fullmatch(name)
        if found:
            branches.setdefault(found.group(1), []).append(name)
        else:
            foreign.append(name)
    if foreign:
        raise ConfigError(f'model.distiller.distill_losses: {sorted(foreign)} are not of the '
                          'search space')
    values: Dict[str, Any] = dict(transform='logits_only', **predictions)
    for branch, names in (('loss_feature', _FEATURE_ARGS), ('loss_logits', _LOGITS_ARGS)):
        for name in branches.get(branch, ()):
            loss = losses[name]
            if str(loss.get('type')).split('.')[-1] != _TYPES[branch]:
                raise ConfigError(f'model.distiller.distill_losses.{name}: {loss.get("type")} is '
                                  f'not of the search space, {_TYPES[branch]} is')
        values.update(_branch_values(branch, branches.get(branch, []), losses,
                                     dict(names, **_SCHEDULES[branch])))
    connectors = config.get('connectors') or {}
    kinds = {_connector_name(connectors.get(name[len('loss_'):]), name[len('loss_'):])
             for name in branches.get('loss_feature', ())}
    if len(kinds) > 1:
        raise ConfigError(f'model.distiller.connectors: the pairs of layers have {sorted(kinds)}; '
                          'a point of the search space has one kind for all')
    if kinds:
        values['connector'] = kinds.pop()
    return DistillerSpec.from_dict(values)


def _branch_values(branch: str, found: List[str], losses: Mapping[str, Any],
                   names: Mapping[str, str]) -> Dict[str, Any]:
    """Options of a branch by level."""
    options: List[Dict[str, Any]] = []
    weights = []
    for name in found:
        loss = dict(_DEFAULTS[branch], **losses[name])
        weights.append(loss['loss_weight'])
        options.append({field: loss[arg] for field, arg in names.items()
                        if arg != 'loss_weight' and loss.get(arg) is not None})
    if not found:
        return {}
    for name, other in zip(found, options):
        if other != options[0]:
            raise ConfigError(f'model.distiller.distill_losses.{name}: differs from {found[0]} in '
                              'more than its weight; a point of the search space does not where '
                              'the layers share their options')
    # Rounded where factors were multiplied in; a single weight stays as it is.
    weight = weights[0] if len(weights) == 1 else float(f'{math.fsum(weights):.12g}')
    return dict(options[0], **{field: weight for field, arg in names.items()
                               if arg == 'loss_weight'})


def _present(spec: Spec, names: Dict[str, str]) -> Dict[str, Any]:
    return {arg: getattr(spec, field) for field, arg in names.items()
            if getattr(spec, field) is not None}


def _connector_config(name: str, pair: LayerPair) -> Optional[Dict[str, Any]]:
    if name == 'identity':
        return _as_map(pair, 'student')
    config = dict(pair.connector('student'), type='mmrazor.ConvConnector',
                  in_channels=pair.student_shape[0], out_channels=pair.teacher_shape[0],
                  **_CONV_ARGS[name])
    if pair.strides is None and pair.student_shape[1:] != pair.teacher_shape[1:]:
        config['size'] = tuple(pair.teacher_shape[1:])
    return config


def _as_map(pair: LayerPair, who: str) -> Optional[Dict[str, Any]]:
    """What reads a tensor as the map that is compared; nothing where it is that map."""
    arguments = pair.connector(who)
    return dict(type='mmrazor.IdentityConnector', **arguments) if arguments else None


def _connector_name(config: Optional[Dict[str, Any]], pair: str) -> str:
    if config is None or str(config.get('type')).split('.')[-1] == 'IdentityConnector':
        return 'identity'
    found = config.get('kernel_size', 1), bool(config.get('norm'))
    for name, args in _CONV_ARGS.items():
        if (str(config.get('type')).split('.')[-1] == 'ConvConnector'
                and found == (args['kernel_size'], bool(args.get('norm')))):
            return name
    raise ConfigError(f'model.distiller.connectors.{pair}: {config} is not of the search space')
