"""Non-maximum suppression, and the groups of boxes that it makes.

In the order of falling scores, a box is kept unless its overlap with one that was kept before is
above the threshold t. With offset o, 1 where pixels are counted, and a box's size
``(x2 - x1 + o) (y2 - y1 + o)``::

    IoU(a, b) = |a and b| / (|a| + |b| - |a and b|)

Which of two equal scores is better is left to torch's sort, as in mmcv, while torchvision takes the
first in memory: of the thousands of proposals of a fresh detector some are equal, and training
would go another way.
"""
from typing import List

import torch
from torch import Tensor
from torchvision.ops import box_iou

from autokd_mm.ops.precision import counted_in, kernels, operation


@operation
def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Suppress boxes whose IoU with a better one is above the threshold.

    Args:
        boxes: (N, 4), corners.
        scores: (N, ).
        iou_threshold: t.
        offset: o, 0 or 1.

    Returns:
        Indices of the boxes that are kept, (M, ), in the order of falling scores.
    """
    boxes, scores = counted_in(boxes, scores)
    if offset:  # with both far corners moved by one, the sizes without an offset are these
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    return kernels.nms(boxes, _ranks(scores), iou_threshold)


def _ranks(scores: Tensor) -> Tensor:
    """Different numbers in the order of the scores, as large as there are scores."""
    ranks = torch.empty_like(scores)
    ranks[scores.sort(0, descending=True).indices] = torch.arange(
        len(scores), 0, -1, dtype=scores.dtype, device=scores.device)
    return ranks


@operation
def nms_match(dets: Tensor, iou_threshold: float) -> List[List[int]]:
    """Each kept box with those that it suppressed: of an IoU of t or above (here t itself, too).

    Args:
        dets: (N, 5), corners and scores.
        iou_threshold: t.

    Returns:
        One list of indices for each kept box: its own, then those of the suppressed boxes in the
        order of falling scores.
    """
    dets = counted_in(dets)[0]
    order = dets[:, 4].sort(0, descending=True).indices
    boxes = dets[order, :4]
    left = torch.ones(len(order), dtype=torch.bool, device=dets.device)
    groups = []
    for place in range(len(order)):
        if not left[place]:
            continue
        matched = left & (box_iou(boxes[place:place + 1], boxes)[0] >= iou_threshold)
        matched[:place + 1] = False
        left &= ~matched
        groups.append([int(order[place]), *order[matched].tolist()])
    return groups
