"""The measures against independent formulas in numpy and float64."""
import numpy as np
import pytest
import torch

from autokd_mm.engine.measures import calibrated_cross_entropy, linear_cka_gap

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
