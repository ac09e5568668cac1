"""The numbers a reward is made of."""
from __future__ import annotations

import torch
import torch.nn.functional as F


def linear_cka_gap(student: torch.Tensor, teacher: torch.Tensor) -> float:
    """1 - linear CKA of two feature matrices over the same N samples.

    CKA = ||S'T||_F^2 / (||S'S||_F ||T'T||_F) of the column-centred N x D matrices (Kornblith et
    al., ICML 2019, eq. 3). It is computed from the N x N Gram matrices, so the widths may differ
    and no connector is needed. 0: equal up to rotation and scale; 1: nothing in common, also for
    a feature that is constant over the samples.

    Args:
        student, teacher: N x ...; flattened behind the first dimension.
    """
    grams = []
    for feature in (student, teacher):
        flat = feature.reshape(len(feature), -1).float()
        flat = flat - flat.mean(0, keepdim=True)
        grams.append(flat @ flat.t())
    s, t = grams
    norm = s.norm() * t.norm()
    if not norm > 0:
        return 1.0
    return float(1 - (s * t).sum() / norm)


def calibrated_cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """min over T of the cross-entropy of softmax(logits / T), in nats.

    Temperature scaling (Guo et al., ICML 2017, sec. 4.2): a student whose logits are merely too
    large or too small is not punished for it. T is found by ternary search over log T, in which
    the loss has one minimum.

    Args:
        logits: N x K. labels: N.
    """
    logits = logits.double()
    low, high = -5.0, 5.0

    def loss(log_t: float) -> float:
        return float(F.cross_entropy(logits * (2.718281828459045**-log_t), labels))

    for _ in range(40):
        third = (high - low) / 3
        if loss(low + third) < loss(high - third):
            high -= third
        else:
            low += third
    return loss((low + high) / 2)
