import math

import numpy as np
import pytest

from autokd_mm.search import extrapolation
from autokd_mm.search.extrapolation import expected_gain


def logit(metric):
    return math.log(metric / (1 - metric))


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def test_formula(monkeypatch):
    """Where nothing is unsure it is the plain formula."""
    for name in ('RUN', 'SPREAD', 'UNSURE'):
        monkeypatch.setattr(extrapolation, name, 0.0)
    found = expected_gain({100: 0.4, 400: 0.7}, {100: 0.3, 400: 0.6}, 4000, 10 ** 9)
    further, growth = math.log(10), (logit(0.6) - logit(0.3)) / math.log(4)
    slowing = extrapolation.SLOWING
    base = logit(0.6) + growth * (1 - math.exp(-slowing * further)) / slowing
    ahead = (logit(0.7) - logit(0.6)) * math.exp(-extrapolation.FADE * further)
    assert found.gain == pytest.approx(sigmoid(base + ahead) - sigmoid(base), abs=1e-9)
    assert found.spread == pytest.approx(0, abs=1e-4) and found.times == 10


def test_middle_and_spread_are_those_of_many_draws():
    found = expected_gain({100: 0.4, 400: 0.7}, {100: 0.3, 400: 0.6}, 4000, 10 ** 9)
    random, further = np.random.default_rng(0), math.log(10)
    growth = (logit(0.6) - logit(0.3)) / math.log(4)
    added = growth * (1 - math.exp(-extrapolation.SLOWING * further)) / extrapolation.SLOWING
    base = random.normal(logit(0.6) + added, extrapolation.UNSURE * added, 400000)
    ahead = random.normal(
        (logit(0.7) - logit(0.6)) * math.exp(-extrapolation.FADE * further),
        math.sqrt(extrapolation.RUN ** 2 + extrapolation.SPREAD ** 2 * further), 400000)
    gains = 1 / (1 + np.exp(-base - ahead)) - 1 / (1 + np.exp(-base))
    middle = [1 / (1 + np.exp(-np.median(one))) for one in (base + ahead, base)]
    assert found.gain == pytest.approx(middle[0] - middle[1], abs=5e-4)
    assert found.spread == pytest.approx(1.2816 * gains.std(), rel=0.02)


def test_few_images_make_it_less_sure():
    spreads = [expected_gain({100: 0.75}, {100: 0.7}, 100, images).spread
               for images in (100, 1000, 10000, 10 ** 9)]
    assert spreads == sorted(spreads, reverse=True) and spreads[0] > 1.3 * spreads[-1]


def test_the_longer_the_training_the_smaller_and_the_less_sure():
    found = [expected_gain({100: 0.75}, {100: 0.6}, times * 100, 2000) for times in (1, 3, 10, 30)]
    gains = [one.gain for one in found]
    assert gains == sorted(gains, reverse=True) and gains[-1] > 0
    assert gains[0] == pytest.approx(0.15, abs=0.01)
    relative = [one.spread / one.gain for one in found]
    assert relative == sorted(relative)


def test_the_longest_common_length_counts():
    student, undistilled = {100: 0.5, 200: 0.6}, {100: 0.3, 200: 0.5, 300: math.nan, 400: 0.7}
    assert expected_gain(student, undistilled, 800, 500).times == 4
    # The undistilled student's growth is that up to there.
    same = expected_gain(student, {100: 0.3, 200: 0.5}, 800, 500)
    assert expected_gain(student, undistilled, 800, 500) == same


def test_a_training_shorter_than_what_was_measured():
    found = expected_gain({400: 0.7}, {100: 0.3, 400: 0.6}, 200, 500)
    assert found.times == 0.5 and found.gain > 0.05


def test_metrics_of_nothing_and_of_everything():
    for student, undistilled in ((1.0, 0.9), (0.0, 0.0), (0.02, 0.0), (1.0, 1.0)):
        found = expected_gain({100: student}, {100: undistilled}, 1000, 100)
        assert math.isfinite(found.gain) and 0 < found.spread < 1


@pytest.mark.parametrize('student, undistilled', [
    ({}, {100: 0.5}), ({100: math.nan}, {100: 0.5}), ({100: 0.5}, {200: 0.5}),
    ({100: 0.5}, {100: math.nan}),
    ({100: 45.0}, {100: 44.0})])
def test_nothing_to_compare(student, undistilled):
    assert expected_gain(student, undistilled, 1000, 100) is None


@pytest.mark.parametrize('metric', [0.0, 0.02, 0.5, 1.0])
def test_equal_students_are_not_expected_to_gain(metric):
    """Next to 0 or 1 what is unsure lies to one side, and its mean would be a gain."""
    found = expected_gain({100: metric}, {100: metric}, 3200, 10)
    assert found.gain == 0 and found.spread > 0.05
