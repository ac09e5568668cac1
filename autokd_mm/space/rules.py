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

from dataclasses import replace
from typing import Optional

from autokd_mm.space.distance_rules import distance_fault, weights_fault
from autokd_mm.space.predictions import asked
from autokd_mm.space.reasons import CANNOT, OTHER, REPEATS
from autokd_mm.space.shapes import Shapes, after_transform, region_view
from autokd_mm.space.spec import DistillerSpec

__all__ = ['CANNOT', 'OTHER', 'REPEATS', 'Shapes', 'connector_fault', 'distance_fault',
           'intra_fault', 'logits_fault', 'patch_grid_fault', 'region_fault', 'region_view',
           'spec_fault', 'transform_fault', 'weights_fault']


def transform_fault(transform: str, shapes: Shapes) -> Optional[str]:
    one_position = shapes.positions == 1
    if transform == 'logits_only' and not shapes.has_logits and not asked(shapes):
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


def connector_fault(connector: str, shapes: Shapes) -> Optional[str]:
    positions = shapes.positions if shapes.student_positions is None else shapes.student_positions
    if connector == 'identity' and not shapes.same:
        return CANNOT + 'student and teacher differ in shape'
    if connector == 'conv1x1_bn' and shapes.batch * positions < 2:
        return CANNOT + 'one value per channel has no variance to normalise by'
    if connector == 'conv3x3' and positions == 1:
        return REPEATS + 'on one position only the middle of the kernel counts: conv1x1'
    return None


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


def logits_fault(logits: str, transform: str, shapes: Shapes) -> Optional[str]:
    if logits == 'none':
        alone = transform == 'logits_only' and not asked(shapes)
        return CANNOT + 'nothing would be distilled' if alone else None
    if not shapes.has_logits:
        return CANNOT + 'there are no logits to compare'
    # One channel is a class and the rest, see LogitsLoss.
    if logits in ('pearson_inter', 'pearson_both') and shapes.classes < 3:
        return CANNOT + 'a correlation over classes needs three classes'
    samples = shapes.batch * (shapes.logits_positions or 1)
    if logits in ('pearson_intra', 'pearson_both') and samples < 3:
        return CANNOT + 'a correlation over samples needs three samples'
    return None


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
