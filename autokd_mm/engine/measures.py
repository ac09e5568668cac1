"""The numbers a reward is made of."""
from __future__ import annotations

import math

import torch
import torch.nn.functional as F


def linear_cka_gap(student: torch.Tensor, teacher: torch.Tensor) -> float:
    """1 - linear CKA of two feature matrices over the same N samples.

    CKA = ||S'T||_F^2 / (||S'S||_F ||T'T||_F) of the column-centred N x D matrices (Kornblith et
    al., ICML 2019, eq. 3). It is computed from the N x N Gram matrices, so the widths may differ
    and no connector is needed. 0: equal up to rotation and scale; 1: nothing in common, also for
    a feature that is constant over the samples. Not finite where a feature is not.

    Args:
        student, teacher: N x ...; flattened behind the first dimension.
    """
    grams = []
    for feature in (student, teacher):
        flat = feature.reshape(len(feature), -1).float()
        size = flat.norm()
        flat = flat - flat.mean(0, keepdim=True)
        if flat.norm() <= 1e-6 * size:  # rounding errors of a constant
            return 1.0
        grams.append(flat @ flat.t())
    s, t = grams
    return float(1 - (s * t).sum() / (s.norm() * t.norm()))


def calibrated_cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """min over T of the cross-entropy of softmax(logits / T), in nats.

    Temperature scaling (Guo et al., ICML 2017, sec. 4.2): a student whose logits are merely too
    large or too small is not punished for it. The loss is convex in 1/T, so T is found by ternary
    search over log T, from e^-12 to e^12 times the largest difference between two logits of a
    sample. It is never above log K, which T = infinity gives, but for the end of that range.

    Args:
        logits: N x K. labels: N.
    """
    logits = logits.double()
    logits = logits - logits.max(1, keepdim=True).values
    logits = logits / logits.abs().max().clamp(min=1e-300)
    low, high = -12.0, 12.0

    def loss(log_t: float) -> float:
        return float(F.cross_entropy(logits * math.exp(-log_t), labels))

    for _ in range(50):
        third = (high - low) / 3
        if loss(low + third) < loss(high - third):
            high -= third
        else:
            low += third
    return loss((low + high) / 2)
