"""Which options mean something for given tensors, and which repeat another option.

A rule returns ``None`` when the option is fine and otherwise the reason in words. There are three
kinds of reasons: the option *cannot work* (a 4x4 grid on a 2x2 map), it *repeats* a distiller
that is offered elsewhere up to a constant factor (L2 after normalisation is twice the cosine
distance, supplement eq. 5-8), or it can be computed and *means something else* than it says (a
region's weights inside a softmax). None is offered by ``suggest``; a spec that merely repeats may
still be written by hand. ``tests/test_space/test_rules.py`` shows by numbers that each rule is
true. Two kinds of repetition hold in the usual case only: with patches of unequal size (a map
that the grid does not divide) the mean over patches weights positions a little differently than
the mean over the map, and the Gram matrix of single numbers is that of their signs as well, which
after a ReLU are all the same.
"""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Optional

from autokd_mm.space.spec import DistillerSpec

CANNOT = 'cannot work: '
REPEATS = 'repeats: '
OTHER = 'means something else: '

# Bins along each side of the features that are pooled from a box.
INSTANCE_SIDE = 7
# The number of boxes differs from batch to batch. The rules take it for as many as a relation
# needs; a batch with too few has a loss of 0.
_INSTANCES = 64


@dataclass(frozen=True)
class Shapes:
    """What the rules need to know of the tensors.

    Attributes:
        batch: samples per batch, N.
        channels, height, width: the teacher's feature, C x H x W (the student's after the
            connector). A feature of shape N x D counts as D x 1 x 1.
        classes: number of logits, K.
        same: the student's feature has the teacher's shape already.
        has_logits: teacher and student have logits that can be compared.
        student_positions: H W of the student's feature before the connector, if not the teacher's.
        boxes: the samples have ground-truth boxes. ``None`` where the task has none, and not
            False: the descriptions of studies from before there were regions then stay equal.
        logits_positions: H W of dense logits, whose positions count as samples.
    """
    batch: int = 64
    channels: int = 64
    height: int = 8
    width: int = 8
    classes: int = 100
    same: bool = True
    has_logits: bool = True
    student_positions: Optional[int] = None
    boxes: Optional[bool] = None
    logits_positions: Optional[int] = None

    @property
    def positions(self) -> int:
        return self.height * self.width


def transform_fault(transform: str, shapes: Shapes) -> Optional[str]:
    one_position = shapes.positions == 1
    if transform == 'logits_only' and not shapes.has_logits:
        return CANNOT + 'there are no logits to compare'
    if transform in ('spatial_attention', 'random_mask') and one_position:
        return CANNOT + 'the feature has one position'
    if transform == 'channel_attention' and one_position:
        return REPEATS + 'the feature has one position, its mean is the feature itself'
    if transform == 'attention_mask' and one_position and shapes.channels == 1:
        return REPEATS + 'the feature is one number, whose mask is 1'
    return None


def region_fault(region: str, transform: str, shapes: Shapes) -> Optional[str]:
    if region != 'foreground_background' and transform == 'teacher_attention_mask':
        return OTHER + 'the teacher\'s attention is that of FGD, region=foreground_background'
    if region == 'all':
        return None
    if not shapes.boxes:
        return CANNOT + 'the task has no boxes'
    if shapes.positions == 1:
        return CANNOT + 'the feature has one position'
    if region == 'foreground_background' and transform == 'channel_attention':
        return CANNOT + 'channel attention leaves one position'
    return None


def region_view(region: Optional[str], shapes: Shapes) -> Shapes:
    """The shapes that a region leaves: instances are samples of 7 x 7."""
    if region != 'instances':
        return shapes
    return replace(shapes, batch=_INSTANCES, height=INSTANCE_SIDE, width=INSTANCE_SIDE)


def weights_fault(distance: str, inter: str) -> Optional[str]:
    """Features times the root of a weight at each position: does the distance weight positions?

    Inner products over the positions of one map do: of differences (``l2``), of two maps
    (``cosine`` and the normalised ``l2`` of a channel), of two channels (``gram_l2``).
    """
    if distance == 'pearson':
        return OTHER + 'the mean that a correlation takes off is not a weighted one'
    if distance == 'kl':
        return OTHER + 'in a softmax the root of a weight is a temperature'
    if distance == 'local_correlation':
        return OTHER + 'two patches have their boxes in different places'
    if inter == 'sample':
        return OTHER + 'two samples have their boxes in different places'
    return None


def connector_fault(connector: str, shapes: Shapes) -> Optional[str]:
    positions = shapes.positions if shapes.student_positions is None else shapes.student_positions
    if connector == 'identity' and not shapes.same:
        return CANNOT + 'student and teacher differ in shape'
    if connector == 'conv1x1_bn' and shapes.batch * positions < 2:
        return CANNOT + 'one value per channel has no variance to normalise by'
    if connector == 'conv3x3' and positions == 1:
        return REPEATS + 'on one position only the middle of the kernel counts: conv1x1'
    return None


def after_transform(transform: str, shapes: Shapes) -> Shapes:
    """The shapes behind a global transform."""
    if transform == 'spatial_attention':
        return replace(shapes, channels=1)
    if transform == 'channel_attention':
        return replace(shapes, height=1, width=1)
    return shapes


def intra_fault(intra: str, transform: str, shapes: Shapes) -> Optional[str]:
    if intra == 'none':
        return None
    if transform == 'channel_attention':
        return CANNOT + 'channel attention leaves one position'
    if min(shapes.height, shapes.width) < 2:
        return (REPEATS + 'a map with one row or column has one scale' if intra == 'multi_scale'
                else CANNOT + 'a map with one row or column has no patches')
    return None


def patch_grid_fault(grid: int, transform: str, shapes: Shapes) -> Optional[str]:
    view = after_transform(transform, shapes)
    if min(view.height, view.width) < grid:
        return CANNOT + f'a {grid}x{grid} grid needs a map of at least {grid}x{grid}'
    return None


def distance_fault(distance: str, transform: str, intra: str, patch_grid: Optional[int],
                   inter: str, shapes: Shapes, region: Optional[str] = None) -> Optional[str]:
    """The rule for one distance under everything that was chosen before it.

    ``shapes`` are those of :func:`region_view`.
    """
    weighted = region == 'foreground_background'
    if weighted and weights_fault(distance, inter) is not None:
        return weights_fault(distance, inter)
    view, local = after_transform(transform, shapes), intra == 'local'
    if distance == 'local_correlation':
        return _local_correlation_fault(view, patch_grid if local else None, inter)
    if local and patch_grid:
        # On a map that the grid does not divide patches differ in size; those on which the
        # distance says nothing are left out of the loss, so the largest one decides.
        view = replace(view, height=-(-view.height // patch_grid),
                       width=-(-view.width // patch_grid))
        if weighted and inter == 'channel' and view.positions == 1 and distance != 'gram_l2':
            return weights_fault(distance, 'sample')
    # Spatial attention leaves maps of equal norm, as long as nothing pools, cuts or weights them.
    equal_norms = transform == 'spatial_attention' and intra == 'none' and not weighted
    fault = _fault(distance, inter, view, local, equal_norms)
    if fault is None and intra == 'multi_scale' and min(view.height, view.width) == 2:
        # The one coarser scale is 1x1.
        coarse = _fault(distance, inter, replace(view, height=1, width=1), local, equal_norms)
        if coarse is not None and coarse.startswith(CANNOT):
            return REPEATS + 'on the one coarser scale, 1x1, it says nothing: intra=none'
    return fault


def _local_correlation_fault(view: Shapes, patch_grid: Optional[int],
                             inter: str) -> Optional[str]:
    if patch_grid is None or inter != 'none':
        return CANNOT + 'it compares the patches of one sample: intra=local, inter=none'
    # Relations need patches of one size: the map is cropped.
    if view.channels * (view.height // patch_grid) * (view.width // patch_grid) < 2:
        return CANNOT + 'a patch of one number has no direction'
    return None


def _fault(distance: str, inter: str, view: Shapes, local: bool,
           equal_norms: bool) -> Optional[str]:
    if inter == 'none':
        return _plain_fault(distance, view, local, equal_norms)
    if inter == 'sample':
        return _sample_fault(distance, view, local)
    return _channel_fault(distance, view, equal_norms)


def _plain_fault(distance: str, view: Shapes, local: bool, equal_norms: bool) -> Optional[str]:
    size = view.channels * view.positions
    if distance == 'l2':
        return REPEATS + 'the mean over patches is the mean over the map' if local else None
    if distance == 'cosine':
        if size < 2:
            return CANNOT + 'one number has no direction'
        return REPEATS + 'l2 of maps of equal norm is twice the cosine' if equal_norms else None
    if distance == 'pearson':
        return CANNOT + 'a correlation needs three numbers' if size < 3 else None
    if distance == 'kl':
        if view.channels < 2:
            return CANNOT + 'a softmax over one channel is constant'
        return REPEATS + 'a softmax at each position knows no patches' if local else None
    return CANNOT + 'it compares relations: inter=sample or channel'


def _sample_fault(distance: str, view: Shapes, local: bool) -> Optional[str]:
    size = view.channels * view.positions
    if distance == 'kl':
        if size < 2:
            return CANNOT + 'a softmax over one number is constant'
        if view.positions == 1:
            return REPEATS + 'at one position it is the softmax over channels of inter=none'
        return None
    if view.batch < 2:
        return CANNOT + 'a batch of one has no relations between samples'
    if distance == 'cosine':
        return REPEATS + 'l2 after normalisation is twice the cosine (supplement eq. 5-8)'
    if distance in ('l2', 'pearson'):
        if distance == 'pearson' and view.batch < 3:
            return CANNOT + 'a correlation needs three samples'
        return REPEATS + 'units are normalised one by one, patches change nothing' if local \
            else None
    if distance == 'gram_l2':
        return REPEATS + 'of one number per sample its rows are the batch, as in l2' \
            if size < 2 else None
    if distance in ('rkd_distance', 'rkd_angle') and view.batch < 3:
        return CANNOT + 'it needs three samples'
    return CANNOT + 'one number has no direction' if size < 2 else None


def _channel_fault(distance: str, view: Shapes, equal_norms: bool) -> Optional[str]:
    if distance == 'kl':
        if view.positions < 2:
            return CANNOT + 'a softmax over one position is constant'
        return REPEATS + 'of one channel it is the kl of inter=sample' if view.channels == 1 \
            else None
    if distance == 'gram_l2':
        if view.channels < 2:
            return CANNOT + 'the Gram matrix of one channel is constant after normalisation'
        # Up to signs: rows of channels of unlike sign jump by the same vector.
        return REPEATS + 'at one position its rows are the feature itself, as in cosine' \
            if view.positions == 1 else None
    if distance not in ('l2', 'cosine', 'pearson'):
        return CANNOT + 'it compares relations between samples'
    length = view.batch * view.positions
    if length < (3 if distance == 'pearson' else 2):
        return CANNOT + f'a channel has {length} value{"s"[:length > 1]} in the batch'
    if distance == 'cosine':
        return REPEATS + 'l2 after normalisation is twice the cosine (supplement eq. 5-8)'
    if view.positions == 1:
        return REPEATS + 'at one position it is inter=sample'
    if view.batch == 1 and view.channels == 1:
        return REPEATS + 'of one sample and one channel it is inter=none'
    return REPEATS + 'the maps have equal norms already' if distance == 'l2' and equal_norms \
        else None


def spec_fault(spec: DistillerSpec, shapes: Shapes) -> Optional[str]:
    """Why the feature branch of a distiller cannot work for these tensors; ``None`` if it can.

    What merely repeats another option can be computed, and is no fault here.
    """
    view, boxes = region_view(spec.region, shapes), replace(shapes, boxes=True)
    transform, intra, grid = spec.transform, str(spec.intra), spec.patch_grid
    faults = [transform_fault(transform, shapes),
              region_fault(spec.region or 'all', transform, boxes),
              intra_fault(intra, transform, view),
              patch_grid_fault(grid, transform, view) if grid else None,
              distance_fault(str(spec.distance), transform, intra, grid, str(spec.inter), view,
                             spec.region)]
    return next((fault for fault in faults if fault and fault.startswith(CANNOT)), None)


def logits_fault(logits: str, transform: str, shapes: Shapes) -> Optional[str]:
    if logits == 'none':
        return CANNOT + 'nothing would be distilled' if transform == 'logits_only' else None
    if not shapes.has_logits:
        return CANNOT + 'there are no logits to compare'
    if shapes.classes < 2:
        return CANNOT + 'a softmax over one class is constant'
    if logits in ('pearson_inter', 'pearson_both') and shapes.classes < 3:
        return CANNOT + 'a correlation over classes needs three classes'
    samples = shapes.batch * (shapes.logits_positions or 1)
    if logits in ('pearson_intra', 'pearson_both') and samples < 3:
        return CANNOT + 'a correlation over samples needs three samples'
    return None
