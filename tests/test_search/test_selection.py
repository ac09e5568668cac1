import math
from collections import Counter
from random import Random

import pytest

from autokd_mm.search.selection import select, uct, uniform
from autokd_mm.search.tree import Option


def test_uct_by_hand():
    scores = uct([Option(3, 0.5, False), Option(1, 0.2, False)], exploration=0.5)
    assert scores == [pytest.approx(0.5 + 0.5 * math.sqrt(math.log(4) / 3)),
                      pytest.approx(0.2 + 0.5 * math.sqrt(math.log(4)))]
    # The same number as in the Auto-KD family: s sqrt(2 ln N / n), s = 1 / (2 sqrt 2).
    s = 1 / (2 * math.sqrt(2))
    assert scores[0] == pytest.approx(0.5 + s * math.sqrt(2 * math.log(4) / 3))


def test_uct_without_exploration_is_the_mean():
    assert uct([Option(3, 0.5, False), Option(0.5, 0.2, True)], exploration=0) == [0.5, 0.2]


def test_one_fractional_visit_has_no_negative_logarithm():
    assert uct([Option(0.25, 0.0, False)], exploration=1.0) == [0.0]


def picks(options, exploration=0.5, n=2000):
    rng = Random(0)
    return Counter(select(options, exploration, rng) for _ in range(n))


def test_unvisited_first_and_uniformly():
    got = picks([Option(9, 1.0, False), Option(0, 0.0, False), Option(0, 0.0, False)])
    assert set(got) == {1, 2} and abs(got[1] - 1000) < 150


def test_then_the_highest_score():
    assert set(picks([Option(9, 0.4, False), Option(9, 0.6, False)])) == {1}
    assert set(picks([Option(1, 0.4, False), Option(50, 0.6, False)])) == {0}
    assert set(picks([Option(1, 0.4, False), Option(50, 0.6, False)], exploration=0)) == {1}


def test_ties_are_broken_uniformly_and_rounding_makes_no_difference():
    got = picks([Option(2, 0.3, False), Option(2, 0.1 + 0.2, False), Option(2, 0.2, False)])
    assert set(got) == {0, 1} and abs(got[0] - 1000) < 150


def test_closed_options_are_left_out_but_count_as_visits_of_the_parent():
    options = [Option(9, 1.0, True), Option(9, 0.1, False), Option(2, 0.0, False)]
    assert set(picks(options, exploration=0)) == {1}
    assert set(picks([Option(9, 1.0, True), Option(0, 0.0, False)])) == {1}
    few, many = Option(1, 0.0, False), Option(4, 0.5, False)
    assert set(picks([few, many, Option(1, 1.0, True)])) == {1}  # 0.67 < 0.83 at N = 6
    assert set(picks([few, many, Option(1000, 1.0, True)])) == {0}  # 1.31 > 1.16 at N = 1005


def test_everything_closed_goes_on_as_usual():
    assert set(picks([Option(9, 0.4, True), Option(9, 0.6, True)])) == {1}


def test_uniform_leaves_out_closed_options():
    rng = Random(0)
    options = [Option(9, 1.0, True), Option(9, 0.0, False), Option(0, 0.0, False)]
    got = Counter(uniform(options, rng) for _ in range(2000))
    assert set(got) == {1, 2} and abs(got[1] - 1000) < 150
    assert {uniform([Option(1, 0, True)] * 2, rng) for _ in range(50)} == {0, 1}
