"""The operations that a feature loss is made of, by their names in the search space."""
from __future__ import annotations

from typing import Any, Collection, Dict, Mapping, Optional, Tuple, Type, Union

from torch import nn

from autokd_mm.errors import ConfigError, nearest
from autokd_mm.models.distances import (CorrelationDistance, CosineDistance, Distance,
                                        GramL2Distance, KLDistance, L2Distance,
                                        LocalCorrelationDistance, PearsonDistance, RKDAngle,
                                        RKDDistance)
from autokd_mm.models.transforms import (AttentionMaskTransform, ChannelAttentionTransform,
                                         ForegroundBackgroundTransform, InstancesTransform,
                                         LocalTransform, MultiScaleTransform, RandomMaskTransform,
                                         SpatialAttentionTransform, TeacherAttentionMaskTransform)
from autokd_mm.registry import MODELS
from autokd_mm.space import rules

TRANSFORMS: Dict[str, Optional[Type[nn.Module]]] = {
    'none': None,
    'spatial_attention': SpatialAttentionTransform,
    'channel_attention': ChannelAttentionTransform,
    'attention_mask': AttentionMaskTransform,
    'random_mask': RandomMaskTransform,
    'teacher_attention_mask': TeacherAttentionMaskTransform,
}
REGIONS: Dict[str, Optional[Type[nn.Module]]] = {
    'all': None,
    'foreground_background': ForegroundBackgroundTransform,
    'instances': InstancesTransform,
}
INTRAS: Dict[str, Optional[Type[nn.Module]]] = {
    'none': None,
    'multi_scale': MultiScaleTransform,
    'local': LocalTransform,
}
DISTANCES: Dict[str, Type[Distance]] = {
    'l2': L2Distance,
    'cosine': CosineDistance,
    'pearson': PearsonDistance,
    'kl': KLDistance,
    'gram_l2': GramL2Distance,
    'rkd_distance': RKDDistance,
    'rkd_angle': RKDAngle,
    'correlation': CorrelationDistance,
    'local_correlation': LocalCorrelationDistance,
}
INTERS = ('none', 'sample', 'channel')
DEFAULT_MASK_RATIO, DEFAULT_PATCH_GRID, DEFAULT_TEMPERATURE = 0.65, 2, 1.0
DEFAULT_BACKGROUND_WEIGHT = 0.5

Operation = Union[str, Dict[str, Any]]


def check_name(key: str, name: Operation, table: Collection[str]) -> None:
    """Refuse a name that is not in the table, or a dict where only names may stand."""
    if isinstance(name, dict):
        only_names = key in ('inter', 'region')
        if only_names or 'type' not in name:
            raise ConfigError(f'FeatureLoss.{key}: expects one of {", ".join(table)}'
                              f'{"" if only_names else " or a dict with a type"}, got {name!r}')
    elif not isinstance(name, str) or name not in table:
        raise ConfigError(f'FeatureLoss.{key}: {nearest(name, table)}')


def check_only(value: Optional[float], key: str, level: str, owner: str,
               chosen: Operation) -> None:
    """Refuse an argument that belongs to an operation that was not chosen."""
    if value is not None and chosen != owner:
        raise ConfigError(f'FeatureLoss.{key} means something only with {level}={owner!r}, got '
                          f'{value!r} with {level}={chosen!r}')


def check_weighted(transform: Operation, inter: str, distance: Operation) -> None:
    """Refuse what has no meaning with weighted positions."""
    fault = rules.weights_fault(distance, inter) if isinstance(distance, str) else None
    if fault:
        raise ConfigError(f"FeatureLoss.region: 'foreground_background' with inter={inter!r} and "
                          f'distance={distance!r} {fault}')
    if transform == 'channel_attention':
        raise ConfigError("FeatureLoss.region: 'foreground_background' needs a map, but "
                          "transform='channel_attention' leaves 1 x 1; use 'instances' or 'all'")


def given(condition: bool, **arguments: Any) -> Dict[str, Any]:
    """Arguments that are passed on where ``condition`` holds."""
    return arguments if condition else {}


def build(key: str, operation: Operation, table: Mapping[str, Optional[Type[nn.Module]]],
          **arguments: Any) -> Optional[nn.Module]:
    """The module of a name or of a dict; ``None`` where the name says that nothing is done."""
    if isinstance(operation, dict):
        return _registered(key, operation)
    made = table[operation]
    return None if made is None else made(**arguments)


def _registered(key: str, operation: Dict[str, Any]) -> nn.Module:
    # Bare names are looked up in MMRazor's registry (and MMEngine's above it) whatever the default
    # scope of the task's config is.
    with MODELS.switch_scope_and_registry('mmrazor') as registry:
        name = operation['type']
        if isinstance(name, str) and registry.get(name) is None:
            raise ConfigError(f'FeatureLoss.{key}.type: {nearest(name, registry.module_dict)}')
    return MODELS.build(dict(_scope_='mmrazor', **operation))


def build_distance(distance: Operation, inter: str, temperature: Optional[float]) -> nn.Module:
    """The distance, told what it reads as one vector."""
    if isinstance(distance, dict):
        if inter != 'none':
            raise ConfigError("FeatureLoss.inter: a distance given as a dict brings its own inter, "
                              f"write it there; got {inter!r}")
        return _registered('distance', distance)
    inters: Tuple[str, ...] = tuple(DISTANCES[distance].inters)
    if inter not in inters:
        raise ConfigError(f'FeatureLoss.inter: distance={distance!r} needs one of '
                          f'{", ".join(map(repr, inters))}, got {inter!r}')
    arguments: Dict[str, Any] = dict(inter=inter) if len(inters) > 1 else {}
    if distance == 'kl':
        arguments['temperature'] = DEFAULT_TEMPERATURE if temperature is None else temperature
    return DISTANCES[distance](**arguments)
