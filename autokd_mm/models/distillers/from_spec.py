"""From a point of the space to a plain ``mmrazor.ConfigurableDistiller`` config, and back."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple

from autokd_mm.space import DistillerSpec
from autokd_mm.space.errors import ConfigError

_FEATURE_ARGS = dict(transform='transform', mask_ratio='mask_ratio', region='region',
                     background_weight='background_weight', intra='intra',
                     patch_grid='patch_grid', inter='inter', distance='distance',
                     temperature='temperature', feature_weight='loss_weight')
_LOGITS_ARGS = dict(logits='distance', logits_temperature='temperature',
                    logits_weight='loss_weight')
_CONV_ARGS = dict(conv1x1=dict(kernel_size=1),
                  conv1x1_bn=dict(kernel_size=1, norm=True),
                  conv3x3=dict(kernel_size=3))
# What the losses take where a config written by hand leaves them out.
_DEFAULTS = dict(loss_feature=dict(transform='none', intra='none', inter='none', distance='l2',
                                   loss_weight=1),
                 loss_logits=dict(distance='kl', temperature=4, loss_weight=1))
_TYPES = dict(loss_feature='FeatureLoss', loss_logits='LogitsLoss')


@dataclass(frozen=True)
class Layers:
    """Where the distiller listens, and the shapes it finds there.

    Attributes:
        student, teacher: names of the modules whose output is the feature.
        student_logits, teacher_logits: names of the modules whose output is the logits.
        student_shape, teacher_shape: C x H x W of the features (D x 1 x 1 for vectors).
    """
    student: str
    teacher: str
    student_logits: Optional[str]
    teacher_logits: Optional[str]
    student_shape: Tuple[int, int, int]
    teacher_shape: Tuple[int, int, int]

    @property
    def same_shape(self) -> bool:
        return self.student_shape == self.teacher_shape


def distiller_config(spec: DistillerSpec, layers: Layers) -> Dict[str, Any]:
    """The ``model.distiller`` of ``spec``: explicit numbers only, nothing left to infer.

    Every ``type`` carries its scope, because MMRazor's recorders are not found by their bare name
    under another default scope.
    """
    recorders: Dict[str, Dict[str, Any]] = dict(student={}, teacher={})
    connectors: Dict[str, Any] = {}
    losses: Dict[str, Any] = {}
    mappings: Dict[str, Any] = {}

    def compare(name: str, student: str, teacher: str, loss: Dict[str, Any]) -> None:
        recorders['student'][name] = dict(type='mmrazor.ModuleOutputs', source=student)
        recorders['teacher'][name] = dict(type='mmrazor.ModuleOutputs', source=teacher)
        losses[f'loss_{name}'] = loss
        mappings[f'loss_{name}'] = dict(student=dict(recorder=name, from_student=True),
                                        teacher=dict(recorder=name, from_student=False))

    if spec.has_feature:
        loss = dict(type='mmrazor.FeatureLoss', **_present(spec, _FEATURE_ARGS))
        if spec.transform == 'random_mask':
            loss['channels'] = layers.teacher_shape[0]
        compare('feature', layers.student, layers.teacher, loss)
        if spec.connector != 'identity':
            connectors['feature'] = _connector_config(str(spec.connector), layers)
            mappings['loss_feature']['student']['connector'] = 'feature'
    if spec.has_logits:
        if not (layers.student_logits and layers.teacher_logits):
            raise ConfigError('logits are distilled but no layers.student_logits and '
                             'layers.teacher_logits are named')
        compare('logits', layers.student_logits, layers.teacher_logits,
                dict(type='mmrazor.LogitsLoss', **_present(spec, _LOGITS_ARGS)))
    return dict(type='mmrazor.ConfigurableDistiller',
                student_recorders=recorders['student'],
                teacher_recorders=recorders['teacher'],
                connectors=connectors,
                distill_losses=losses,
                loss_forward_mappings=mappings)


def spec_from_config(config: Dict[str, Any]) -> DistillerSpec:
    """Inverse of :func:`distiller_config`.

    Raises:
        ValueError: the config has losses or connectors that are not of the space.
    """
    losses = config.get('distill_losses') or {}
    foreign = sorted(set(losses) - {'loss_feature', 'loss_logits'})
    if foreign:
        raise ConfigError(f'model.distiller.distill_losses: {foreign} are not of the search space')
    for name, loss in losses.items():
        if str(loss.get('type')).split('.')[-1] != _TYPES[name]:
            raise ConfigError(f'model.distiller.distill_losses.{name}: {loss.get("type")} is not '
                              f'of the search space, {_TYPES[name]} is')
    values: Dict[str, Any] = dict(transform='logits_only')
    for name, names in (('loss_feature', _FEATURE_ARGS), ('loss_logits', _LOGITS_ARGS)):
        if name in losses:
            loss = dict(_DEFAULTS[name], **losses[name])
            values.update({field: loss[arg] for field, arg in names.items()
                           if loss.get(arg) is not None})
    if 'loss_feature' in losses:
        values['connector'] = _connector_name((config.get('connectors') or {}).get('feature'))
    return DistillerSpec.from_dict(values)


def _present(spec: DistillerSpec, names: Dict[str, str]) -> Dict[str, Any]:
    return {arg: getattr(spec, field) for field, arg in names.items()
            if getattr(spec, field) is not None}


def _connector_config(name: str, layers: Layers) -> Dict[str, Any]:
    config = dict(type='mmrazor.ConvConnector', in_channels=layers.student_shape[0],
                  out_channels=layers.teacher_shape[0], **_CONV_ARGS[name])
    if layers.student_shape[1:] != layers.teacher_shape[1:]:
        config['size'] = tuple(layers.teacher_shape[1:])
    return config


def _connector_name(config: Optional[Dict[str, Any]]) -> str:
    if config is None:
        return 'identity'
    found = config.get('kernel_size', 1), bool(config.get('norm'))
    for name, args in _CONV_ARGS.items():
        if (str(config.get('type')).split('.')[-1] == 'ConvConnector'
                and found == (args['kernel_size'], bool(args.get('norm')))):
            return name
    raise ConfigError(f'model.distiller.connectors.feature: {config} is not of the search space')
