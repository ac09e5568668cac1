"""The methods the literature made by hand, as points of the space.

The weights are those of the space's own lists that come nearest to the papers' after our change
of reductions (every loss here is a mean of order one); the papers' own constants are in the
docstrings of the losses. A connector is chosen by :func:`handcrafted`: identity where student and
teacher have the same shape, a 1x1 convolution elsewhere.
"""
from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, Mapping, Tuple, Union

from autokd_mm.errors import ConfigError, nearest
from autokd_mm.space.distiller_space import DistillerSpace
from autokd_mm.space.layerwise_space import LayerwiseSpace, Space
from autokd_mm.space.layerwise_spec import Spec, spec_from_dict
from autokd_mm.space.schedules import CONSTANT, SCHEDULE_LEVELS
from autokd_mm.space.shapes import of_teacher
from autokd_mm.space.spec import DistillerSpec
from autokd_mm.space.start import OWN, START_LEVELS
from autokd_mm.space.teachers import TEACHER_LEVELS, as_named

# What a method of warm_start may be given of its own: where it starts, whom it hears, how its
# weights change, and other numbers than those that its losses have.
_NUMBERS = ('temperature', 'feature_weight', 'logits_temperature', 'logits_weight',
            'prediction_weight', 'box_weight')
_BESIDE_METHOD = (*START_LEVELS, *TEACHER_LEVELS, *SCHEDULE_LEVELS, *_NUMBERS)


def _feature(distance: str, weight: float, transform: str = 'none', intra: str = 'none',
             inter: str = 'none', **options: Any) -> DistillerSpec:
    return DistillerSpec(transform=transform, connector='identity', intra=intra, inter=inter,
                         distance=distance, feature_weight=weight, **options)


def _logits(distance: str, temperature: float, weight: float) -> DistillerSpec:
    return DistillerSpec(transform='logits_only', logits=distance, logits_temperature=temperature,
                         logits_weight=weight)


HANDCRAFTED: Dict[str, DistillerSpec] = dict(
    # Hinton et al. 2015, sec. 2
    KD=_logits('kl', 4, 1),
    # Romero et al. 2015, eq. 3
    FitNet=_feature('l2', 1),
    # Zagoruyko & Komodakis 2017, eq. 2 with p = 2
    AT=_feature('l2', 5, transform='spatial_attention'),
    # Tung & Mori 2019, eq. 4
    SP=_feature('gram_l2', 5, inter='sample'),
    # Peng et al. 2019, correlation congruence by the Taylor series of the Gaussian kernel
    CC=_feature('correlation', 5, inter='sample'),
    # Park et al. 2019, sec. 3.2.1 (distances) and 3.2.2 (angles)
    **{'RKD-D': _feature('rkd_distance', 25, inter='sample'),
       'RKD-A': _feature('rkd_angle', 50, inter='sample')},
    # Liu et al. 2021, ICKD-C: inter-channel correlation of whole maps
    ICKD=_feature('gram_l2', 5, inter='channel'),
    # Shu et al. 2021, eq. 4 and 5
    CWD=_feature('kl', 1, inter='channel', temperature=4),
    # Cao et al. 2022: squared distance of standardised features, 1 - Pearson's correlation
    PKD=_feature('pearson', 5, inter='channel'),
    # Yang et al. 2022, eq. 4
    MGD=_feature('l2', 1, transform='random_mask', mask_ratio=0.5),
    # Zhang & Ma 2021, eq. 4
    FKD=_feature('l2', 1, transform='attention_mask'),
    # Li et al. 2020: correlations between the patches of one image
    LKD=_feature('local_correlation', 5, intra='local', patch_grid=4),
    # Huang et al. 2022: inter-class plus intra-class relation
    DIST=_logits('pearson_both', 4, 1),
    # Chen et al. 2021: the hierarchical context loss, without the fusion of stages
    **{'ReviewKD-pooling': _feature('l2', 1, intra='multi_scale')},
)

# The same for tasks with ground-truth boxes.
WITH_BOXES: Dict[str, DistillerSpec] = {
    # Yang et al. 2022, sec. 3.1: the feature loss. beta / alpha is 0.5 in all of its settings;
    # alpha C, the factor of ours, is 0.26 for RetinaNet's 256 channels.
    'FGD-focal': _feature('l2', 1, transform='teacher_attention_mask',
                          region='foreground_background', background_weight=0.5),
}

# The same for detectors whose dense heads are compared.
WITH_HEADS: Dict[str, DistillerSpec] = dict(
    # Zheng et al. 2022, eq. 3, with the weight of its configs; every anchor counts as much as the
    # teacher is sure of it, where the paper takes those near an object
    LD=DistillerSpec('logits_only', box='kl', box_by='confidence', box_weight=0.25),
    # Yang et al. 2023, eq. 5 to 10, with the weights of its configs
    BCKD=DistillerSpec('logits_only', prediction='weighted_bce', prediction_weight=1, box='giou',
                       box_by='difference', box_weight=4),
    # Wang et al. 2024, sec. 3.2 and 3.3, with the losses and weights of RetinaNet's configs
    CrossKD=DistillerSpec('logits_only', prediction='weighted_bce', prediction_weight=1, box='giou',
                          box_by='confidence', box_weight=1, prediction_head='cross'),
)

# The same for classifiers as wide as their teacher.
WITH_CLASSIFIER: Dict[str, DistillerSpec] = {
    # Chen et al. 2022, eq. 3, beside the student's own loss and without the projector, which has
    # nothing to fit; the layer that is compared should be the last before the classifier
    'SimKD-direct': _feature('l2', 1, start='classifier', start_lr=0),
}

# Methods the seeds name that are more than a point of the space, and why.
NOT_IN_SPACE: Dict[str, str] = dict(
    CRD='contrasts every sample with a memory bank of others that lives across batches',
    ReviewKD='fuses several student stages with attention before its pooling; the pooling alone '
             'is ReviewKD-pooling',
    FGD='adds a loss between attention maps and one between global contexts to its feature loss; '
        'the feature loss alone is FGD-focal',
    SimKD='puts a projector of three convolutions between the student and the frozen classifier, '
          "and leaves the student's own loss out; for equal widths the same without the projector, "
          'beside that loss, is SimKD-direct',
)


def handcrafted(name: str, same_shape: bool = True) -> DistillerSpec:
    """The point of the space that is the method ``name``.

    Args:
        name: a key of :data:`HANDCRAFTED`, :data:`WITH_BOXES`, :data:`WITH_HEADS` or
            :data:`WITH_CLASSIFIER`.
        same_shape: student and teacher features have the same shape.

    Raises:
        ValueError: unknown name, or a method that is not in the space.
    """
    if name in NOT_IN_SPACE:
        raise ConfigError(f'warm_start: {name} is not in the space: it {NOT_IN_SPACE[name]}')
    known = {**HANDCRAFTED, **WITH_BOXES, **WITH_HEADS, **WITH_CLASSIFIER}
    if name not in known:
        raise ConfigError(f'warm_start: {nearest(name, known)}')
    spec = known[name]
    if spec.has_feature and not same_shape:
        spec = replace(spec, connector='conv1x1')
    return spec


def starting_point(item: Union[str, Mapping[str, Any]], space: Space) -> Spec:
    """A distiller of ``warm_start``.

    Args:
        item: the name of a method, options by level, or ``method`` with a start, a teacher,
            schedules, weights or temperatures of its own (``dict(method='FGD-focal', start='head',
            start_lr=0.1)``, ``dict(method='KD', logits_teacher='0')``, ``dict(method='CWD',
            feature_weight=25, feature_schedule='cosine')``). A weight that the space lets change
            in one way alone changes in that way where ``item`` does not say, and a connector that
            it does not offer is one that it does.
            Where every layer has its own options and ``item`` names no layer, all layers get the
            same ones; those that do not offer them are left out.
        space: that the search is about.

    Raises:
        ValueError: as :func:`handcrafted`; or an unknown level; or no layer offers the options.
    """
    if not isinstance(item, (str, Mapping)):
        raise ConfigError(f"warm_start: {item!r} is neither the name of a method nor a dict of "
                          f"options; did you mean '{next(iter(HANDCRAFTED))}'?")
    if isinstance(item, str) or 'method' in item:
        method, own = _method(item)
        if isinstance(space, DistillerSpace):
            same = of_teacher(own.get('feature_teacher'), space.shapes).same
            return _with(own, handcrafted(method, same), space)
        return space.spread([_with(own, handcrafted(method, one.same), space)
                             for one in space.shapes.values()])
    if isinstance(space, LayerwiseSpace):
        spec = spec_from_dict(item)
        return space.spread([spec] * len(space.shapes)) if isinstance(spec, DistillerSpec) else spec
    return DistillerSpec.from_dict(dict(item))


def first_params(item: Union[str, Mapping[str, Any]], space: Space) -> Dict[str, Any]:
    """The parameters of a distiller of ``warm_start`` in a space.

    Raises:
        ConfigError: as :func:`starting_point`; or the space does not offer it. Names the item, of
            which the config may be inherited and then names neither.
    """
    try:
        return space.params(starting_point(item, space))
    except ConfigError as error:
        if str(error).startswith('warm_start'):
            raise
        told = item if isinstance(item, str) else item.get('method', dict(item))
        raise ConfigError(f'warm_start: {told}: {error}') from None


def _method(item: Union[str, Mapping[str, Any]]) -> Tuple[str, Dict[str, Any]]:
    """The name of a method, and what it is given of its own."""
    if isinstance(item, str):
        return item, {}
    own = dict(item)
    method = own.pop('method')
    if not isinstance(method, str):
        raise ConfigError(f'warm_start: method={method!r} must be the name of a method; did you '
                          f"mean '{next(iter(HANDCRAFTED))}'?")
    for level in own:
        if level not in _BESIDE_METHOD:
            raise ConfigError(f'warm_start: beside method={method!r} '
                              f'{nearest(level, _BESIDE_METHOD)}')
        if level in TEACHER_LEVELS:
            own[level] = as_named(own[level])
    _refuse_numbers(method, own)
    if 'start_lr' in own and own.get('start', OWN) == OWN:
        raise ConfigError(f"warm_start: start_lr={own['start_lr']!r} beside method={method!r} is "
                          "of what is copied, and nothing is; did you mean start='head'?")
    return method, own


def _with(own: Mapping[str, Any], spec: DistillerSpec, space: Space) -> DistillerSpec:
    only = {level: space.options[level][0] for level in SCHEDULE_LEVELS
            if len(space.options[level]) == 1 and space.options[level] != (CONSTANT, )
            and getattr(spec, _weight(level)) is not None}
    connectors = space.options['connector']
    if spec.connector is not None and spec.connector not in connectors:
        only['connector'] = 'conv1x1' if 'conv1x1' in connectors else connectors[0]
    return replace(spec, **{**only, **own})


def _weight(level: str) -> str:
    """Of which a schedule is."""
    return level.replace('schedule', 'weight')


def _refuse_numbers(method: str, own: Mapping[str, Any]) -> None:
    """Weights, their schedules and temperatures of losses that the method does not have."""
    has = [level for level in _NUMBERS if getattr(handcrafted(method), level) is not None]
    for level, value in own.items():
        number = _weight(level) if level in SCHEDULE_LEVELS else level
        if number in _NUMBERS and number not in has:
            raise ConfigError(f'warm_start: method={method!r} has no {level}, but '
                              f'{" and ".join(has)}')
        if level in _NUMBERS and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise ConfigError(f'warm_start: {level}={value!r} beside method={method!r}: must be a '
                              'number')
