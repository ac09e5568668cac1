"""Which steps a budget of a final round pays for."""
import itertools

import pytest

from autokd_mm.study.ladder import Step, cheapest, cost, halved, kept, ladder, possible


def test_the_better_half_goes_on_and_two_to_the_end():
    assert [kept(n, last=False) for n in (8, 7, 3, 2, 1)] == [4, 4, 2, 2, 1]
    assert [kept(n, last=True) for n in (8, 3, 1)] == [2, 2, 1]


def test_cost():
    """The undistilled student runs on each step, and runs of an earlier one are not run again."""
    assert cost(5, [Step(4, 2)]) == 6 * 4 * 2
    assert cost(5, [Step(4, 1), Step(4, 2)]) == 6 * 4 + 3 * 4
    assert cost(6, [Step(1, 1), Step(2, 1), Step(4, 2)]) == 7 + 4 * 2 + 3 * 4 * 2
    assert cost(1, [Step(1, 1), Step(2, 1)]) == 2 + 4


@pytest.mark.parametrize('budget, steps', [
    (56, [(4, 2)]), (55, [(4, 1), (4, 2)]), (40, [(4, 1), (4, 2)]), (39, [(2, 1), (4, 2)]),
    (38, [(2, 1), (4, 2)]), (37, None)])
def test_as_long_a_beginning_as_the_budget_allows(budget, steps):
    assert ladder(6, 4, 2, budget) == steps
    assert cheapest(6, 4, 2) == 38


def test_one_seed():
    assert ladder(6, 4, 1, 30) == [(4, 1)]
    assert ladder(6, 4, 1, 27) == [(2, 1), (4, 1)]
    assert ladder(9, 8, 1, 64) == [(4, 1), (8, 1)]
    assert ladder(9, 8, 1, 62) == [(1, 1), (2, 1), (4, 1), (8, 1)]


def test_never_above_the_budget_and_never_shorter_than_it_must_be():
    for entrants, length, seeds in itertools.product(range(1, 12), range(1, 9), (1, 2, 3)):
        before = 0
        for budget in range(1, 200, 7):
            steps = ladder(entrants, length, seeds, budget)
            assert (steps is None) == (budget < cheapest(entrants, length, seeds))
            if steps:
                assert cost(entrants, steps) <= budget and steps[-1] == (length, seeds)
                assert steps == sorted(steps) and steps[0].length >= before
                assert set(steps) <= set(possible(halved(length)[::-1], seeds))
                before = steps[0].length
