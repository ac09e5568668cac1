"""The rules of the distances: they see all that was chosen before them (see
:mod:`autokd_mm.space.rules`)."""
from __future__ import annotations

from dataclasses import replace
from typing import Optional

from autokd_mm.space.reasons import CANNOT, OTHER, REPEATS
from autokd_mm.space.shapes import Shapes, after_transform


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
