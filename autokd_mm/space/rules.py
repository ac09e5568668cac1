"""Which options mean something for given tensors, and which repeat another option.

A rule returns ``None`` when the option is fine and otherwise the reason in words. There are two
kinds of reasons: the option *cannot work* (a 4x4 grid on a 2x2 map), or it *repeats* a distiller
that is offered elsewhere up to a constant factor (L2 after normalisation is twice the cosine
distance, supplement eq. 5-8). Neither is offered by ``suggest``; a spec that merely repeats may
still be written by hand.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

CANNOT = 'cannot work: '
REPEATS = 'repeats: '


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
    """
    batch: int = 64
    channels: int = 64
    height: int = 8
    width: int = 8
    classes: int = 100
    same: bool = True
    has_logits: bool = True

    @property
    def positions(self) -> int:
        return self.height * self.width


def transform_fault(transform: str, shapes: Shapes) -> Optional[str]:
    one_position, one_channel = shapes.positions == 1, shapes.channels == 1
    if transform == 'logits_only' and not shapes.has_logits:
        return CANNOT + 'there are no logits to compare'
    if transform in ('spatial_attention', 'random_mask') and one_position:
        return CANNOT + 'the feature has one position'
    if transform == 'channel_attention' and one_position:
        return REPEATS + 'the feature has one position, its mean is the feature itself'
    if transform == 'channel_attention' and one_channel:
        return CANNOT + 'the feature has one channel'
    if transform == 'attention_mask' and one_position and one_channel:
        return CANNOT + 'the feature is one number'
    return None


def connector_fault(connector: str, shapes: Shapes) -> Optional[str]:
    if connector == 'identity' and not shapes.same:
        return CANNOT + 'student and teacher differ in shape'
    return None


def after_transform(transform: str, shapes: Shapes) -> Shapes:
    """The shapes behind a global transform."""
    from dataclasses import replace
    if transform == 'spatial_attention':
        return replace(shapes, channels=1)
    if transform == 'channel_attention':
        return replace(shapes, height=1, width=1)
    return shapes


def intra_fault(intra: str, transform: str, shapes: Shapes) -> Optional[str]:
    view = after_transform(transform, shapes)
    if intra == 'multi_scale' and min(view.height, view.width) < 2:
        return CANNOT + 'a map with one row or column has one scale'
    if intra == 'local' and min(view.height, view.width) < 2:
        return CANNOT + 'a map with one row or column has no patches'
    return None


def patch_grid_fault(grid: int, transform: str, shapes: Shapes) -> Optional[str]:
    view = after_transform(transform, shapes)
    if min(view.height, view.width) < grid:
        return CANNOT + f'a {grid}x{grid} grid needs a map of at least {grid}x{grid}'
    return None


def distance_fault(distance: str, transform: str, intra: str, patch_grid: Optional[int],
                   inter: str, shapes: Shapes) -> Optional[str]:
    """The rule for one distance under everything that was chosen before it."""
    view = after_transform(transform, shapes)
    channels, positions = view.channels, view.positions
    if intra == 'local' and patch_grid:
        positions = (view.height // patch_grid) * (view.width // patch_grid)
    local = intra == 'local'
    # Spatial attention leaves maps of equal norm, as long as nothing pools or cuts them.
    equal_norms = transform == 'spatial_attention' and intra == 'none'
    if inter == 'none':
        return _plain_fault(distance, channels, positions, local, equal_norms)
    if inter == 'sample':
        return _sample_fault(distance, channels, positions, local, shapes.batch)
    return _channel_fault(distance, channels, positions, equal_norms)


def _plain_fault(distance: str, channels: int, positions: int, local: bool,
                 equal_norms: bool) -> Optional[str]:
    size = channels * positions
    if distance == 'l2':
        return REPEATS + 'the mean over patches is the mean over the map' if local else None
    if distance == 'cosine':
        if size < 2:
            return CANNOT + 'one number has no direction'
        return REPEATS + 'l2 of maps of equal norm is twice the cosine' if equal_norms else None
    if distance == 'pearson':
        return CANNOT + 'a correlation needs three numbers' if size < 3 else None
    if distance == 'kl':
        if channels < 2:
            return CANNOT + 'a softmax over one channel is constant'
        return REPEATS + 'a softmax at each position knows no patches' if local else None
    if distance == 'local_correlation':
        return None if local else CANNOT + 'it compares the patches of intra=local'
    return CANNOT + 'it compares relations: inter=sample or channel'


def _sample_fault(distance: str, channels: int, positions: int, local: bool,
                  batch: int) -> Optional[str]:
    if batch < 2:
        return CANNOT + 'a batch of one has no relations between samples'
    if distance == 'l2':
        return REPEATS + 'units are normalised one by one, patches change nothing' if local \
            else None
    if distance == 'cosine':
        return REPEATS + 'l2 after normalisation is twice the cosine (supplement eq. 5-8)'
    if distance == 'pearson':
        if batch < 3:
            return CANNOT + 'a correlation needs three samples'
        return REPEATS + 'units are normalised one by one, patches change nothing' if local \
            else None
    if distance == 'kl':
        if channels * positions < 2:
            return CANNOT + 'a softmax over one number is constant'
        if positions == 1:
            return REPEATS + 'at one position it is the softmax over channels of inter=none'
        return None
    if distance in ('gram_l2', 'correlation'):
        return None
    if distance in ('rkd_distance', 'rkd_angle'):
        return CANNOT + 'it needs three samples' if batch < 3 else None
    return CANNOT + 'it compares the patches of one sample: inter=none'


def _channel_fault(distance: str, channels: int, positions: int,
                   equal_norms: bool) -> Optional[str]:
    if distance == 'l2':
        if positions == 1:
            return REPEATS + 'at one position it is inter=sample'
        return REPEATS + 'the maps have equal norms already' if equal_norms else None
    if distance == 'cosine':
        return REPEATS + 'l2 after normalisation is twice the cosine (supplement eq. 5-8)'
    if distance == 'pearson':
        return REPEATS + 'at one position it is inter=sample' if positions == 1 else None
    if distance == 'kl':
        if positions < 2:
            return CANNOT + 'a softmax over one position is constant'
        return REPEATS + 'of one channel it is the kl of inter=sample' if channels == 1 else None
    if distance == 'gram_l2':
        if channels < 2:
            return CANNOT + 'the Gram matrix of one channel is constant after normalisation'
        return REPEATS + 'at one position it knows the direction only, as cosine does' \
            if positions == 1 else None
    return CANNOT + 'it compares relations between samples'


def logits_fault(logits: str, transform: str, shapes: Shapes) -> Optional[str]:
    if logits == 'none':
        return CANNOT + 'nothing would be distilled' if transform == 'logits_only' else None
    if not shapes.has_logits:
        return CANNOT + 'there are no logits to compare'
    if logits in ('pearson_inter', 'pearson_both') and shapes.classes < 3:
        return CANNOT + 'a correlation over classes needs three classes'
    if logits in ('pearson_intra', 'pearson_both') and shapes.batch < 3:
        return CANNOT + 'a correlation over samples needs three samples'
    return None
