"""Soft-NMS: overlapping boxes lose score instead of their place (Bodla et al., ICCV 2017).

The best box b is taken, every box a behind it is weighted, and what falls below ``min_score`` is
left out; then the next best is taken. With o = IoU(a, b), sizes ``(x2 - x1 + offset)``::

    method 0, naive:     s(a) <- 0             where o >= t
    method 1, linear:    s(a) <- s(a) (1 - o)  where o >= t
    method 2, gaussian:  s(a) <- s(a) exp(-o^2 / sigma)

Two boxes without an inside do not overlap; mmcv's extension makes the score of one of them NaN in
method 2.
"""
import numpy as np
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
    boxes, scores = counted_in(boxes.cpu(), scores.cpu())
    # NumPy: its calls cost a third of torch's, and hardly anything else is done here. One column a
    # box, so that all of it is moved at once.
    corners = boxes.numpy().T
    rows = np.concatenate([corners, scores.numpy()[None], _areas(corners, offset)[None]])
    indices = np.arange(len(scores))
    done, count = 0, len(indices)
    while done < count:
        best = done + rows[4, done:count].argmax()
        if best != done:
            rows[:, [done, best]] = rows[:, [best, done]]
            indices[[done, best]] = indices[[best, done]]
        behind = rows[:, done + 1:count]
        _decay(behind[4], _iou(rows[:, done], behind, offset), iou_threshold, sigma, method)
        done, count = done + 1, done + 1 + _close_ranks(
            behind, indices[done + 1:count], behind[4] >= min_score)
    dets[:count] = torch.from_numpy(rows[:5, :count].T).to(dets.dtype)
    return torch.from_numpy(indices[:count])


def _areas(rows: np.ndarray, offset: int) -> np.ndarray:
    return (rows[2] - rows[0] + offset) * (rows[3] - rows[1] + offset)


def _iou(box: np.ndarray, rows: np.ndarray, offset: int) -> np.ndarray:
    """Of one box (6, ) with each of (6, K): corners, score, area."""
    far = np.minimum(box[2:4, None], rows[2:4])
    width, height = np.maximum(far - np.maximum(box[:2, None], rows[:2]) + offset, 0)
    both = width * height
    return both / np.where(both > 0, box[5] + rows[5] - both, 1)


def _decay(scores: np.ndarray, overlap: np.ndarray, threshold: float, sigma: float,
           method: int) -> None:
    if method == 2:
        scores *= np.exp(-overlap * overlap / sigma)
    else:
        near = overlap >= threshold
        scores[near] *= 1 - overlap[near] if method == 1 else 0


def _close_ranks(rows: np.ndarray, indices: np.ndarray, stays: np.ndarray) -> int:
    """Move what stays to the front, the last into the first gap, as mmcv does: where scores are
    equal, the order decides who is next. Returns how many stay."""
    count = int(np.count_nonzero(stays))
    if count < len(stays):
        gaps = np.flatnonzero(~stays[:count])
        last = count + np.flatnonzero(stays[count:])[::-1]
        rows[:, gaps], indices[gaps] = rows[:, last], indices[last]
    return count
