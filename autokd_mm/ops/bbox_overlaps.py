"""Overlaps of boxes: with sizes ``(x2 - x1 + offset) (y2 - y1 + offset)``::

    mode 0, IoU: |a and b| / (|a| + |b| - |a and b|)        mode 1, IoF: |a and b| / |a|
"""
import torch
from torch import Tensor

from autokd_mm.ops.precision import counted_in, operation


@operation
def bbox_overlaps(bboxes1: Tensor, bboxes2: Tensor, ious: Tensor, mode: int, aligned: bool,
                  offset: int) -> None:
    """
    Args:
        bboxes1: (M, 4), corners.
        bboxes2: (N, 4).
        ious: (M, N), or (M, ) if ``aligned``. Written.
        mode, offset: see above.
        aligned: each box with the one of the same number; M = N.
    """
    boxes, others = counted_in(bboxes1, bboxes2)
    if not aligned:
        boxes = boxes[:, None]
    near = torch.maximum(boxes[..., :2], others[..., :2])
    far = torch.minimum(boxes[..., 2:], others[..., 2:])
    both = (far - near + offset).clamp(min=0).prod(-1)
    size, other = ((some[..., 2:] - some[..., :2] + offset).prod(-1) for some in (boxes, others))
    base = (size + other - both) if mode == 0 else size.expand_as(both)
    ious.copy_(both / base.clamp(min=offset) if offset else both / base)
