"""The numbers a reward is made of."""
from __future__ import annotations

import math

import torch
import torch.nn.functional as F


def _scaled(feature: torch.Tensor) -> torch.Tensor:
    """Times a power of two, which changes no digit of what is invariant to scale: the largest
    number becomes one, and squares of 1e-20 or 1e20 would not be numbers of float32."""
    return torch.ldexp(feature, -torch.frexp(feature.abs().max()).exponent)


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
        flat = _scaled(feature.reshape(len(feature), -1).float())
        size = flat.norm()
        flat = flat - flat.mean(0, keepdim=True)
        if flat.norm() <= 1e-6 * size:  # rounding errors of a constant
            return 1.0
        grams.append(flat @ flat.t())
    s, t = grams
    return float(1 - (s * t).sum() / (s.norm() * t.norm()))


def debiased_cka_gap(student: torch.Tensor, teacher: torch.Tensor, batch: int = 128) -> float:
    """1 - linear CKA with the unbiased estimator of HSIC, averaged over minibatches.

    HSIC_1(K, L) = [tr(KL) + 1'K1 1'L1 / ((n-1)(n-2)) - 2/(n-2) 1'KL1] / (n(n-3)) of the Gram
    matrices with zero diagonals (Song et al., JMLR 2012, eq. 5); the three HSIC of CKA are averaged
    over batches of ``batch`` samples first (Nguyen et al., ICLR 2021, sec. 2). Without the bias,
    which grows with width / samples, wide and narrow features are seen alike. Noise may take it
    a little above 1. A feature that is constant over the samples has 1.

    Args:
        student, teacher: N x ...; flattened behind the first dimension. NaN below 4 samples.
    """
    totals, batches = [0.0, 0.0, 0.0], 0
    student, teacher = (_scaled(feature.float()) for feature in (student, teacher))
    for start in range(0, len(student) - 3, batch):
        grams = []
        for feature in (student, teacher):
            flat = feature[start:start + batch].flatten(1)
            flat = flat - flat.mean(0, keepdim=True)  # changes nothing but rounding
            grams.append((flat @ flat.t()).double().fill_diagonal_(0))
        if len(grams[0]) < 4:
            continue
        s, t = grams
        for place, (one, other) in enumerate(((s, t), (s, s), (t, t))):
            totals[place] += _hsic_1(one, other)
        batches += 1
    if not batches or not all(math.isfinite(total) for total in totals):
        return math.nan
    below = totals[1] * totals[2]
    return 1.0 if totals[1] <= 0 or totals[2] <= 0 else 1 - totals[0] / math.sqrt(below)


def _hsic_1(one: torch.Tensor, other: torch.Tensor) -> float:
    n = len(one)
    trace = (one * other).sum()
    sums = one.sum() * other.sum() / ((n - 1) * (n - 2))
    cross = (one.sum(0) @ other.sum(1)) * 2 / (n - 2)
    return float((trace + sums - cross) / (n * (n - 3)))


def mse_gap(student: torch.Tensor, teacher: torch.Tensor) -> float:
    """Mean over samples of ``||s/|s| - t/|t|||^2 / 4`` of the flattened features, 0 (same) to 1
    (opposite). NaN where the two have different shapes.

    Args:
        student, teacher: N x C x H x W or N x D.
    """
    if student.shape != teacher.shape:
        return math.nan
    s, t = (F.normalize(_scaled(feature.reshape(len(feature), -1).float()), dim=1)
            for feature in (student, teacher))
    return float((s - t).pow(2).sum(1).mean() / 4)


def linear_gap(student: torch.Tensor, teacher: torch.Tensor) -> float:
    """Share of the teacher's variance that no 1x1 convolution of the student's feature explains.

    1 - R^2 of the least-squares fit t(p) = A s(p) + b over all samples and positions p: what a
    trained 1x1 connector would have left over. The student's map is pooled or interpolated to the
    teacher's size. 0: the teacher's feature can be read off; 1: nothing of it. NaN where a feature
    is not finite.

    Args:
        student, teacher: N x C x H x W (C and size may differ) or N x D.
    """
    s, t = (_scaled(feature.float() if feature.dim() == 4
                    else feature.float().flatten(1)[..., None, None])
            for feature in (student, teacher))
    if s.shape[2:] != t.shape[2:]:
        size = (t.shape[2], t.shape[3])
        s = F.adaptive_avg_pool2d(s, size) if s.shape[2] >= t.shape[2] else F.interpolate(
            s, size, mode='bilinear', align_corners=False)
    s, t = (feature.movedim(1, -1).flatten(0, -2) for feature in (s, t))
    s = s - s.mean(0)  # one after the other: a search needs most memory here
    t = t - t.mean(0)
    covariance, cross = (s.t() @ s).double(), (s.t() @ t).double()
    total = t.double().pow_(2).sum()
    if not (torch.isfinite(covariance).all() and torch.isfinite(cross).all()
            and torch.isfinite(total)):
        return math.nan
    if total <= 0:
        return 1.0
    # A little ridge: dead channels of the student make the matrix singular.
    ridge = 1e-6 * covariance.diagonal().mean().clamp(min=1e-30)
    solved = torch.linalg.solve(
        covariance + ridge * torch.eye(len(covariance), dtype=torch.double,
                                       device=covariance.device), cross)
    explained = 2 * (solved * cross).sum() - (solved * (covariance @ solved)).sum()
    return float((1 - explained / total).clamp(0, 1))


def relation_gap(student: torch.Tensor, teacher: torch.Tensor) -> float:
    """1 - Pearson's correlation of the cosine similarities between all pairs of samples.

    Representational similarity analysis (Kriegeskorte et al., 2008) with the similarities that SP
    compares. 0: the same relations between samples; 1: unrelated; a constant feature has 1.

    Args:
        student, teacher: N x ...; flattened behind the first dimension. NaN below 3 samples.
    """
    if len(student) < 3:
        return math.nan
    relations = []
    for feature in (student, teacher):
        flat = F.normalize(_scaled(feature.reshape(len(feature), -1).float()), dim=1)
        above = torch.triu_indices(len(flat), len(flat), 1, device=flat.device)
        pairs = (flat @ flat.t())[above[0], above[1]].double()
        relations.append(pairs - pairs.mean())
    s, t = relations
    below = s.norm() * t.norm()
    if not bool(torch.isfinite(below)):
        return math.nan
    return 1.0 if below <= 1e-12 * len(s) else float(1 - (s @ t) / below)


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
