import math

import numpy as np
import pytest

from autokd_mm.search.gaussian_process import GaussianProcess


def parity(count=60, seed=0, noise=0.1):
    """Answers to eight questions, of which the first and the fourth count, and only together."""
    rng = np.random.RandomState(seed)
    answers = rng.randint(0, 2, (count, 8))
    values = (answers[:, 0] ^ answers[:, 3]) + noise * rng.standard_normal(count)
    return answers, (values - values.mean()) / values.std()


def test_the_gradient():
    process = GaussianProcess(*parity(20))
    logs = np.random.RandomState(1).standard_normal(len(process.logs)) - 1.0
    _, gradient = process.loss(logs)
    for place in range(len(logs)):
        step = np.zeros(len(logs))
        step[place] = 1e-5
        numeric = (process.loss(logs + step)[0] - process.loss(logs - step)[0]) / 2e-5
        assert gradient[place] == pytest.approx(numeric, rel=1e-5, abs=1e-6)


def test_the_likelihood_is_that_of_a_normal_distribution():
    """The difference between two sets of logs, but for their prior, as numpy has the density."""
    answers, values = parity(6)
    process = GaussianProcess(answers, values)

    def reference(logs):
        weights, (noise, joint, linear) = np.exp(logs[:-3]), np.exp(logs[-3:])
        covariance = np.zeros((6, 6))
        for i in range(6):
            for j in range(6):
                differ = answers[i] != answers[j]
                covariance[i, j] = joint * math.exp(-weights[differ].sum()) \
                    + linear * (~differ).mean() + noise * (i == j)
        return 0.5 * values @ np.linalg.inv(covariance) @ values \
            + 0.5 * math.log(np.linalg.det(covariance))

    def prior(logs):
        off = (logs - process._usual) / process._spread
        return 0.5 * off @ off

    one, other = process._usual, process._usual + 0.3
    assert process.loss(other)[0] - prior(other) - process.loss(one)[0] + prior(one) \
        == pytest.approx(reference(other) - reference(one), rel=1e-9)


def test_it_sees_which_questions_count_together():
    answers, values = parity()
    process = GaussianProcess(answers, values)
    weights = np.exp(process.logs[:8])
    assert min(weights[[0, 3]]) > 3 * max(np.delete(weights, [0, 3]))
    unseen = np.random.RandomState(5).randint(0, 2, (200, 8))
    mean, _ = process.predict(unseen)
    assert np.corrcoef(mean, unseen[:, 0] ^ unseen[:, 3])[0, 1] > 0.9


def test_what_is_far_is_less_certain():
    answers, values = parity(30)
    process = GaussianProcess(answers, values)
    _, near = process.predict(answers[:1])
    _, far = process.predict(np.full((1, 8), 7))
    assert near[0] < 0.8 * far[0]
    assert far[0]**2 == pytest.approx(np.exp(process.logs[-2:]).sum(), rel=0.01)


def test_expected_improvement():
    """Against the mean of many draws."""
    answers, values = parity(12, noise=1.0)
    process = GaussianProcess(answers, values)
    candidates = np.random.RandomState(3).randint(0, 2, (5, 8))
    mean, deviation = process.predict(candidates)
    draws = mean + deviation * np.random.RandomState(4).standard_normal((400_000, 5))
    expected = np.maximum(draws - process.best, 0.0).mean(0)
    np.testing.assert_allclose(process.expected_improvement(candidates), expected, rtol=0.05,
                               atol=2e-3)


@pytest.mark.parametrize('answers, values', [
    (np.zeros((3, 1), int), np.zeros(3)), (np.zeros((2, 0), int), np.array([1.0, -1.0])),
    (np.arange(400).reshape(2, 200), np.array([1.0, -1.0]))])
def test_little_to_learn_from(answers, values):
    process = GaussianProcess(answers, values)
    assert np.isfinite(process.expected_improvement(answers)).all()
