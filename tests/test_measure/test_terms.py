"""The measures against independent formulas in numpy and float64."""
import numpy as np
import pytest
import torch

from autokd_mm.measure.terms import (calibrated_cross_entropy, debiased_cka_gap, linear_cka_gap,
                                     linear_gap, mse_gap, relation_gap)
from tools.benchmarks.parts.turns import peak_bytes

RNG = np.random.default_rng(0)


def cka(x, y):
    """Kornblith et al. 2019, eq. 3 and the text above, with the feature-space Gram matrices."""
    x, y = (a.reshape(len(a), -1).astype(np.float64) for a in (x, y))
    x, y = x - x.mean(0), y - y.mean(0)
    return np.sum((y.T @ x)**2) / np.sqrt(np.sum((x.T @ x)**2) * np.sum((y.T @ y)**2))


@pytest.mark.parametrize('shapes', [((40, 16, 2, 2), (40, 32, 2, 2)), ((9, 5), (9, 3)),
                                    ((7, 50), (7, 2, 3, 3))])
def test_linear_cka(shapes):
    x, y = (RNG.normal(1, 2, shape).astype(np.float32) for shape in shapes)
    y.reshape(len(y), -1)[:, :2] += x.reshape(len(x), -1)[:, :2] * 3
    gap = linear_cka_gap(torch.from_numpy(x), torch.from_numpy(y))
    assert gap == pytest.approx(1 - cka(x, y), abs=1e-5)


def test_cka_knows_no_rotation_no_scale_no_shift():
    x = torch.randn(30, 12, generator=torch.Generator().manual_seed(1))
    rotation = torch.linalg.qr(torch.randn(12, 12)).Q
    assert linear_cka_gap(x, 7 * x @ rotation + 3) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize('value', [0.0, 0.1, -123.4])
def test_cka_of_a_constant_feature_is_nothing_in_common(value):
    assert linear_cka_gap(torch.full((20, 8), value), torch.randn(20, 8)) == 1.0


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_cka_does_not_hide_what_is_not_finite(value):
    x = torch.randn(20, 8)
    x[3, 2] = value
    assert not np.isfinite(linear_cka_gap(x, torch.randn(20, 8)))


def hsic_by_definition(one, other):
    """Mean over all quadruples of different samples (Song et al. 2012, eq. 4 expanded)."""
    from itertools import permutations
    total = [one[i, j] * (other[i, j] + other[q, r] - 2 * other[i, q])
             for i, j, q, r in permutations(range(len(one)), 4)]
    return np.mean(total)


def test_debiased_cka_by_definition():
    x, y = RNG.normal(1, 1, (14, 9)), RNG.normal(2, 1, (14, 4, 2, 1))
    y[:, 0, 0, 0] += 3 * x[:, 0]
    sums = np.zeros(3)
    for rows in (slice(0, 7), slice(7, 14)):
        one, two = (a[rows].reshape(7, -1) @ a[rows].reshape(7, -1).T for a in (x, y))
        sums += [hsic_by_definition(*pair) for pair in ((one, two), (one, one), (two, two))]
    expected = 1 - sums[0] / np.sqrt(sums[1] * sums[2])
    found = debiased_cka_gap(*(torch.from_numpy(a).float() for a in (x, y)), batch=7)
    assert found == pytest.approx(expected, abs=1e-5)


def test_debiased_cka_of_unrelated_wide_features_is_one_where_the_biased_is_not():
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(64, 4000, generator=generator) for _ in range(2))
    assert linear_cka_gap(x, y) < 0.1
    assert debiased_cka_gap(x, y) == pytest.approx(1, abs=0.05)


def test_debiased_cka_of_the_same_feature_and_of_a_constant_one():
    x = torch.randn(40, 6)
    assert debiased_cka_gap(x, 3 * x + 1, batch=16) == pytest.approx(0, abs=1e-4)
    assert debiased_cka_gap(torch.ones(40, 3), x) == debiased_cka_gap(x, torch.ones(40, 3)) == 1
    assert np.isnan(debiased_cka_gap(x[:3], x[:3]))


def test_mse_gap():
    s, t = RNG.normal(0, 1, (5, 4, 2, 2)), RNG.normal(0, 1, (5, 4, 2, 2))
    unit = [a.reshape(5, -1) / np.linalg.norm(a.reshape(5, -1), axis=1)[:, None] for a in (s, t)]
    expected = ((unit[0] - unit[1])**2).sum(1).mean() / 4
    s, t = torch.from_numpy(s).float(), torch.from_numpy(t).float()
    assert mse_gap(s, t) == pytest.approx(expected, rel=1e-5)
    assert mse_gap(s, 9 * s) == pytest.approx(0, abs=1e-6) and mse_gap(s, -s) == pytest.approx(1)
    assert np.isnan(mse_gap(s, t[:, :3]))


def test_linear_gap_is_what_least_squares_leaves():
    s = RNG.normal(3, 1, (30, 5, 2, 3))
    t = np.einsum('oc,nchw->nohw', RNG.normal(0, 1, (7, 5)), s) + RNG.normal(0, 1.5, (30, 7, 2, 3))
    flat = [np.moveaxis(a, 1, -1).reshape(-1, a.shape[1]) for a in (s, t)]
    design = np.c_[flat[0], np.ones(len(flat[0]))]
    left = flat[1] - design @ np.linalg.lstsq(design, flat[1], rcond=None)[0]
    expected = (left**2).sum() / ((flat[1] - flat[1].mean(0))**2).sum()
    s, t = torch.from_numpy(s).float(), torch.from_numpy(t).float()
    assert linear_gap(s, t) == pytest.approx(expected, abs=1e-4)
    assert linear_gap(t, 2 * t + 1) == pytest.approx(0, abs=1e-4)


def test_linear_gap_of_other_sizes_dead_channels_and_vectors():
    t = torch.randn(20, 3, 2, 2)
    wide = torch.nn.functional.interpolate(t, scale_factor=2)  # pools back to t
    assert linear_gap(wide, t) == pytest.approx(0, abs=1e-4)
    assert linear_gap(torch.zeros(20, 5, 2, 2), t) == 1
    assert linear_gap(t[:, :, 0, 0], t[:, :, 0, 0] * 2) == pytest.approx(0, abs=1e-4)
    assert linear_gap(t, torch.ones(20, 2, 2, 2)) == 1


def test_relation_gap():
    s, t = RNG.normal(1, 1, (8, 6)), RNG.normal(1, 1, (8, 3, 2, 2))
    pairs = []
    for a in (s, t):
        flat = a.reshape(8, -1) / np.linalg.norm(a.reshape(8, -1), axis=1)[:, None]
        pairs.append([flat[i] @ flat[j] for i in range(8) for j in range(i + 1, 8)])
    s, t = torch.from_numpy(s).float(), torch.from_numpy(t).float()
    assert relation_gap(s, t) == pytest.approx(1 - np.corrcoef(*pairs)[0, 1], abs=1e-4)
    assert relation_gap(s, 2 * s) == pytest.approx(0, abs=1e-6)
    assert relation_gap(torch.ones(8, 2), t) == 1 and np.isnan(relation_gap(s[:2], t[:2]))


@pytest.mark.parametrize('measure', [debiased_cka_gap, mse_gap, linear_gap, relation_gap])
def test_no_gap_hides_what_is_not_finite(measure):
    x = torch.randn(20, 8)
    x[3, 2] = float('nan')
    assert not np.isfinite(measure(x, torch.randn(20, 8)))


@pytest.mark.parametrize('measure', [linear_cka_gap, debiased_cka_gap, mse_gap, linear_gap,
                                     relation_gap])
@pytest.mark.parametrize('scale', [1e-30, 1e-4, 1e3, 1e30])
def test_gaps_know_no_scale(measure, scale):
    s, t = (torch.from_numpy(RNG.normal(0, 1, (40, 6))).float() for _ in range(2))
    t += s
    assert 0.02 < measure(s, t) < 0.98 and type(measure(s, t)) is float
    for pair in ((scale * s, t), (s, scale * t), (scale * s, scale * t)):
        assert measure(*pair) == pytest.approx(measure(s, t), abs=1e-4)


@pytest.mark.parametrize('measure', [linear_cka_gap, debiased_cka_gap, mse_gap, linear_gap,
                                     relation_gap])
def test_gaps_of_rounded_features_are_not_rounded(measure):
    s, t = (torch.from_numpy(RNG.normal(0, 1, (40, 6, 2, 2))).bfloat16() for _ in range(2))
    t[:, :3] += s[:, :3]
    assert measure(s, t) == measure(s.float(), t.float())


def test_debiased_cka_over_several_batches():
    """128 samples a batch; of the rest only 4 or more count."""
    x = torch.from_numpy(RNG.normal(0, 1, (260, 5))).float()
    y = x + torch.from_numpy(RNG.normal(0, 2, (260, 5))).float()
    assert debiased_cka_gap(x, y) == debiased_cka_gap(x, y, batch=128)
    assert debiased_cka_gap(x, y) != debiased_cka_gap(x[:256], y[:256])
    assert debiased_cka_gap(x[:259], y[:259]) == debiased_cka_gap(x[:256], y[:256])
    assert np.isfinite(debiased_cka_gap(x[:4], y[:4]))
    assert np.isnan(debiased_cka_gap(x[:3], y[:3]))


def test_relations_of_three_samples():
    """The least that has a correlation; of two there is one similarity only."""
    s = torch.tensor([[1., 0.], [1., 1.], [0., 1.]])
    assert relation_gap(s, s) == pytest.approx(0, abs=1e-6) and np.isnan(relation_gap(s[:2], s[:2]))


def test_linear_gap_of_a_smaller_map_interpolates_it():
    """Bilinear, corners not aligned, as MMSegmentation does it; pooled where the map is larger."""
    s = torch.from_numpy(RNG.normal(0, 1, (20, 3, 2, 4))).float()
    larger = torch.nn.functional.interpolate(s, (4, 8), mode='bilinear', align_corners=False)
    assert linear_gap(s, larger) == pytest.approx(0, abs=1e-4)
    assert linear_gap(larger, s) == pytest.approx(
        linear_gap(torch.nn.functional.adaptive_avg_pool2d(larger, (2, 4)), s), abs=1e-6)
    wide = torch.from_numpy(RNG.normal(0, 1, (20, 3, 2, 6))).float()
    narrow = torch.nn.functional.adaptive_avg_pool2d(wide, (2, 2))  # as many rows, fewer columns
    assert linear_gap(wide, narrow) == pytest.approx(0, abs=1e-4)


def cross_entropy(logits, labels, temperature):
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(1, keepdims=True)
    log_p = scaled - np.log(np.exp(scaled).sum(1, keepdims=True))
    return -log_p[np.arange(len(labels)), labels].mean()


@pytest.mark.parametrize('scale', [1e-3, 0.3, 1, 20, 1e6])
def test_calibrated_cross_entropy(scale):
    labels = RNG.integers(0, 10, 60)
    logits = RNG.normal(0, 1, (60, 10)) + 2 * np.eye(10)[labels]
    best = min(cross_entropy(logits, labels, t) for t in np.exp(np.linspace(-4, 4, 4001)))
    found = calibrated_cross_entropy(torch.from_numpy(logits * scale).float(),
                                     torch.from_numpy(labels))
    assert found == pytest.approx(best, abs=2e-5)


def test_calibration_is_never_worse_than_guessing():
    labels = torch.arange(40) % 10
    wrong = 1e7 * torch.nn.functional.one_hot((labels + 1) % 10, 10).float()
    assert calibrated_cross_entropy(wrong, labels) == pytest.approx(np.log(10), abs=1e-3)
    assert calibrated_cross_entropy(torch.zeros(40, 10), labels) == pytest.approx(np.log(10))


def test_calibration_does_not_hide_nan():
    logits = torch.zeros(4, 3)
    logits[1, 1] = float('nan')
    assert not np.isfinite(calibrated_cross_entropy(logits, torch.zeros(4).long()))


def test_what_no_map_explains_takes_little_memory():
    """A search needs most memory here: copies of both features, and of one in double."""
    student, teacher = (torch.randn(100, 16, 8, 8) for _ in range(2))
    assert peak_bytes(lambda: linear_gap(student, teacher), 'cpu') < 4.5 * 4 * teacher.numel()
