"""Soft-NMS: overlapping boxes lose score instead of their place (Bodla et al., ICCV 2017).

The best box b is taken, every box a behind it is weighted, and what falls below ``min_score`` is
left out; then the next best is taken. With o = IoU(a, b), sizes ``(x2 - x1 + offset)``::

    method 0, naive:     s(a) <- 0             where o >= t
    method 1, linear:    s(a) <- s(a) (1 - o)  where o >= t
    method 2, gaussian:  s(a) <- s(a) exp(-o^2 / sigma)

Two boxes without an inside do not overlap; mmcv's extension makes the score of one of them NaN in
method 2.
"""
import torch
from torch import Tensor

from autokd_mm.ops.precision import counted_in, operation


@operation
def softnms(boxes: Tensor, scores: Tensor, dets: Tensor, iou_threshold: float, sigma: float,
            min_score: float, method: int, offset: int) -> Tensor:
    """Order boxes by their decayed scores.

    Args:
        boxes: (N, 4), corners.
        scores: (N, ).
        dets: (N, 5); its first M rows become the boxes with their decayed scores.
        iou_threshold: t.
        sigma: of method 2.
        min_score: what is left out.
        method: see above.
        offset: 0 or 1.

    Returns:
        Indices of the boxes that stay, (M, ).
    """
    boxes, scores = counted_in(boxes, scores)
    # one column a box, so that all of it is moved at once
    rows = torch.cat([boxes.t(), scores[None], _areas(boxes.t(), offset)[None]]).contiguous()
    indices = torch.arange(len(scores), device=boxes.device)
    done, count = 0, len(scores)
    while done < count:
        best = done + int(rows[4, done:count].argmax())
        _swap(rows, done, best)
        _swap(indices, done, best)
        behind = rows[:, done + 1:count]
        overlap = _iou(rows[:, done], behind, offset)
        behind[4] *= _weight(overlap, iou_threshold, sigma, method)
        done, count = done + 1, done + 1 + _close_ranks(
            behind, indices[done + 1:count], behind[4] >= min_score)
    dets[:count] = rows[:5, :count].t().to(dets.dtype)
    return indices[:count]


def _areas(rows: Tensor, offset: int) -> Tensor:
    return (rows[2] - rows[0] + offset) * (rows[3] - rows[1] + offset)


def _iou(box: Tensor, rows: Tensor, offset: int) -> Tensor:
    """Of one box (6, ) with each of (6, K): corners, score, area."""
    near, far = torch.maximum(box[:2, None], rows[:2]), torch.minimum(box[2:4, None], rows[2:4])
    width, height = (far - near + offset).clamp_(min=0)
    both = width * height
    return (both / (box[5] + rows[5] - both)).nan_to_num_(0)  # two boxes without an inside


def _weight(overlap: Tensor, threshold: float, sigma: float, method: int) -> Tensor:
    if method == 2:
        return (-overlap * overlap / sigma).exp()
    return torch.where(overlap >= threshold, 1 - overlap if method == 1 else 0 * overlap,
                       torch.ones_like(overlap))


def _swap(values: Tensor, one: int, other: int) -> None:
    if one != other:
        values[..., [one, other]] = values[..., [other, one]]


def _close_ranks(rows: Tensor, indices: Tensor, stays: Tensor) -> int:
    """Move what stays to the front, the last into the first gap, as mmcv does: where scores are
    equal, the order decides who is next. Returns how many stay."""
    count = int(stays.sum())
    if count < len(stays):
        gaps = (~stays[:count]).nonzero()[:, 0]
        last = (count + stays[count:].nonzero()[:, 0]).flip(0)
        rows[:, gaps], indices[gaps] = rows[:, last], indices[last]
    return count
