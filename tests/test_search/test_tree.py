import random
from fractions import Fraction

import pytest

from autokd_mm.search.tree import Option, Step, Tree

AB, PQ = ('a', 'b'), ('p', 'q')


def x(index):
    return Step('x', AB, index)


def y(index):
    return Step('y', PQ, index)


def root_options(tree, name='x', choices=AB):
    return tree.options(tree.root, name, choices)


def child(tree, *steps):
    node = tree.root
    for step in steps:
        node = node.find(step.name, len(step.choices)).children[step.taken]
    return node


def test_backup_reaches_every_ancestor_and_nobody_else():
    tree = Tree()
    tree.add([x(0), y(0)], 1.0)
    tree.add([x(0), y(1)], 2.0)
    tree.add([x(1)], 4.0)
    for node, visits, total, best in ((tree.root, 3, 7, 4), (child(tree, x(0)), 2, 3, 2),
                                      (child(tree, x(0), y(0)), 1, 1, 1),
                                      (child(tree, x(0), y(1)), 1, 2, 2),
                                      (child(tree, x(1)), 1, 4, 4)):
        assert (node.visits, node.total, node.best) == (visits, total, best)
    # Three values: the lower quartile is the lowest one, low = 1, high = 4.
    # a: ((1 - 1) + (2 - 1)) / 3 / 2 = 1/6; b: (4 - 1) / 3 = 1.
    assert root_options(tree) == [Option(2, pytest.approx(1 / 6), True), Option(1, 1.0, True)]
    assert tree.options(child(tree, x(0)), 'y', PQ) == [Option(1, 0.0, True),
                                                       Option(1, pytest.approx(1 / 3), True)]


def test_a_choice_nobody_tried_has_no_visits():
    tree = Tree()
    tree.add([x(0)], 1.0)
    assert root_options(tree)[1] == Option(0, 0.0, False)
    assert root_options(tree, 'never asked', PQ) == [Option(0, 0.0, False)] * 2


def test_the_range_runs_from_the_lower_quartile_to_the_best():
    tree = Tree()
    for value in (0.0, 10.0, 20.0, 30.0, 40.0):  # quartile: position 0.25 * 4 = 1, so low = 10
        tree.add([x(0)], value)
    tree.add([x(1)], 25.0)  # six values, position int(1.25) = 1: low stays at 10
    a, b = root_options(tree)
    # 0 is clipped to 10: (0 + 0 + 10 + 20 + 30) / 30 / 5 visits.
    assert (a.visits, a.value) == (5, pytest.approx(0.4))
    assert (b.visits, b.value) == (1, pytest.approx(0.5))


def test_a_trial_without_value_is_a_visit_with_the_worst_value_also_when_that_moves():
    tree = Tree()
    tree.add([x(0)], None)
    tree.add([x(0)], 1.0)
    tree.add([x(1)], 2.0)
    assert root_options(tree)[0] == Option(2, 0.0, True)
    tree.add([x(1)], -1.0)  # now the worst: low = -1, high = 2
    a, b = root_options(tree)
    assert (a.visits, a.value) == (2, pytest.approx((0 + 2 / 3) / 2))
    assert (b.visits, b.value) == (2, pytest.approx((1 + 0) / 2))


def test_only_failures():
    tree = Tree()
    tree.add([x(0)], None)
    assert root_options(tree) == [Option(1, 0.0, True), Option(0, 0.0, False)]
    assert [row.mean for row in tree.rows()] == [None, None]


def test_equal_values_leave_nothing_to_prefer():
    tree = Tree()
    for index in (0, 0, 1):
        tree.add([x(index)], 3.0)
    assert [option.value for option in root_options(tree)] == [0.0, 0.0]


def test_best_and_second_best_stay_apart_when_most_values_tie_at_the_best():
    tree = Tree()
    for _ in range(9):
        tree.add([x(0)], 1.0)
    tree.add([x(1)], 0.5)
    tree.add([x(1)], -1e6)
    assert [option.value for option in root_options(tree)] == [1.0, 0.0]
    tree.add([x(1)], 2.0)  # a new best: the others tie below it now
    assert [option.value for option in root_options(tree)] == [0.0, pytest.approx(1 / 3)]


@pytest.mark.parametrize('outlier', [-1e6, -1e300])
def test_one_very_bad_value_does_not_squash_the_others(outlier):
    def values(last):
        tree = Tree()
        for i in range(20):
            tree.add([x(i % 2)], float(i))
        tree.add([x(0)], last)
        return [option.value for option in root_options(tree)]

    assert values(outlier) == values(-1.0)  # as bad as the next worse one, no worse
    assert abs(values(outlier)[1] - values(outlier)[0]) > 0.05


def test_options_equal_the_formula_on_random_trees():
    rng = random.Random(0)
    tree, data = Tree(), []
    for _ in range(200):
        value = None if rng.random() < 0.1 else rng.choice([rng.gauss(0, 1), -1e9, 0.5, 0.25])
        data.append((rng.randrange(2), value))
        tree.add([x(data[-1][0])], value)
        finite = sorted(v for _, v in data if v is not None)
        if not finite or finite[0] == finite[-1]:
            continue
        high, low = finite[-1], finite[int(0.25 * (len(finite) - 1))]
        if low == high:
            low = max(v for v in finite if v < high)
        for index, option in enumerate(root_options(tree)):
            mine = [v for i, v in data if i == index]
            scaled = [0 if v is None else max(v - low, 0) / (high - low) for v in mine]
            assert option.visits == len(mine)
            assert option.value == pytest.approx(sum(scaled) / max(len(mine), 1), abs=1e-12)


def test_the_order_of_finishing_does_not_matter_bit_for_bit():
    rng = random.Random(1)
    trials = [([x(rng.randrange(2)), y(rng.randrange(2))],
               rng.choice([None, rng.gauss(0, 1), rng.gauss(0, 1), -1e9 * rng.random()]))
              for _ in range(100)]
    trees = []
    for _ in range(3):
        tree = Tree()
        rng.shuffle(trials)
        for steps, value in trials:
            tree.add(steps, value)
        trees.append(tree)
    first = {(r.name, r.choice, r.depth, r.visits, r.mean, r.best) for r in trees[0].rows()}
    for tree in trees[1:]:
        assert {(r.name, r.choice, r.depth, r.visits, r.mean, r.best)
                for r in tree.rows()} == first
        assert root_options(tree) == root_options(trees[0])


def test_the_scale_of_the_values_does_not_matter():
    rng = random.Random(2)
    values = [rng.gauss(0, 1) for _ in range(50)] + [-1e3]
    one, other = Tree(), Tree()
    for i, value in enumerate(values):
        one.add([x(i % 2)], value)
        other.add([x(i % 2)], 1000 * value + 7)
    for left, right in zip(root_options(one), root_options(other)):
        assert left.value == pytest.approx(right.value, abs=1e-9)


def test_extreme_values_do_not_overflow():
    tree = Tree()
    for value in (-1.7e308, 0.0, 1.7e308):
        tree.add([x(0)], value)
    assert root_options(tree)[0].value == pytest.approx(0.5)


# ---------------------------------------------------------------------- running trials
def test_virtual_loss_is_a_visit_with_the_worst_value_and_can_be_taken_back():
    tree = Tree(virtual_loss=2)
    for step, value in ((x(0), 1.0), (x(0), 2.0), (x(1), 3.0)):
        tree.add([step, y(0)], value)
    before = root_options(tree)
    assert before[0] == Option(2, pytest.approx(0.25), False)  # (0 + 1/2) / 2
    walk = tree.start()
    tree.step(walk, x(0))
    tree.step(walk, y(1))
    assert root_options(tree) == [Option(4, pytest.approx(0.125), True), before[1]]
    assert tree.options(child(tree, x(0)), 'y', PQ)[1] == Option(2, 0.0, True)
    tree.drop(walk)
    assert root_options(tree) == before


def test_virtual_loss_zero_ignores_running_trials():
    tree = Tree(virtual_loss=0)
    walk = tree.start()
    tree.step(walk, x(0))
    assert [option.visits for option in root_options(tree)] == [0, 0]


# ---------------------------------------------------------------------- used up
def test_a_subtree_is_closed_when_all_its_leaves_are():
    tree = Tree()
    tree.add([x(0), y(0)], 1.0)
    assert not child(tree, x(0)).closed and child(tree, x(0), y(0)).closed
    tree.add([x(0), y(1)], None)
    assert child(tree, x(0)).closed and not tree.root.closed
    tree.add([x(1)], 1.0)
    assert tree.root.closed


def test_a_trial_that_fails_half_way_closes_its_node_until_something_is_seen_below():
    tree = Tree()
    tree.add([x(0)], None)
    assert child(tree, x(0)).closed
    tree.add([x(0), y(0)], 1.0)
    assert not child(tree, x(0)).closed


def test_a_repeatable_path_is_never_closed():
    tree = Tree()
    tree.add([x(0)], 1.0, repeatable=True)
    assert not child(tree, x(0)).closed
    walk = tree.start()
    tree.step(walk, x(1))
    assert child(tree, x(1)).closed
    tree.set_repeatable(walk)
    assert not child(tree, x(1)).closed
    tree.step(walk, y(0))
    tree.drop(walk)
    assert not child(tree, x(1)).closed and child(tree, x(1), y(0)).ends == 0


def test_a_leaf_under_evaluation_is_closed_only_while_it_runs():
    tree = Tree()
    tree.add([x(0)], 1.0)
    walk = tree.start()
    tree.step(walk, x(1))
    assert tree.root.closed
    tree.drop(walk)
    assert not tree.root.closed and not child(tree, x(1)).closed


def test_the_first_trial_has_the_root_for_itself():
    tree = Tree()
    walk = tree.start()
    assert tree.root.closed and tree.root.ends == tree.root.running == 1
    tree.step(walk, x(0))
    assert not tree.root.closed and tree.root.ends == 0
    tree.drop(walk)
    assert tree.root.ends == tree.root.running == 0 and not child(tree, x(0)).closed


def test_a_planned_leaf_is_closed_before_the_trial_gets_there():
    tree = Tree()
    tree.add([x(0), y(0)], 1.0)
    walk = tree.start()
    tree.claim(walk, [x(0), y(1)])
    assert child(tree, x(0)).closed and not tree.root.closed
    assert child(tree, x(0)).running == 0  # virtual loss is where it has been
    for step in (x(0), y(1)):
        tree.step(walk, step)
        assert child(tree, x(0)).closed and child(tree, x(0), y(1)).closed
    tree.drop(walk)
    assert not child(tree, x(0)).closed


@pytest.mark.parametrize('leave', [
    lambda tree, walk: tree.drop(walk), lambda tree, walk: tree.step(walk, x(1)),
    lambda tree, walk: tree.claim(walk, [x(1)]), lambda tree, walk: tree.set_repeatable(walk)])
def test_what_was_planned_is_free_again_when_the_trial_does_not_go_there(leave):
    tree = Tree()
    tree.add([x(0), y(0)], 1.0)
    walk = tree.start()
    tree.claim(walk, [x(0), y(1)])
    leave(tree, walk)
    assert not child(tree, x(0)).closed and child(tree, x(0), y(1)).ends == 0


def test_where_all_is_taken_a_worker_who_may_find_more_paths_is_followed():
    """Of the last two options one is used up and the other has a trial on its way, which may be
    at a leaf (then the next one repeats it) or at a question that nobody has seen."""
    def closed(*paths):
        tree = Tree()
        for path in paths:
            tree.add(path, 1.0)
        tree.step(tree.start(), x(1))
        return [option.closed for option in root_options(tree)]

    assert closed([x(0), y(0)], [x(0), y(1)]) == [True, False]
    assert closed([x(0)]) == [True, True]
    assert closed([x(0), y(0)], [x(0), y(1)], [x(1)]) == [True, True]
    assert closed([x(0), y(0)], [x(0), y(1)], [x(1), y(1)]) == [True, False]


def test_two_parameters_at_one_node_are_two_branches():
    tree = Tree()
    tree.add([x(0)], 1.0)
    tree.add([y(0)], 0.0)
    assert [o.visits for o in root_options(tree)] == [1, 0]
    assert [o.visits for o in root_options(tree, 'y', PQ)] == [1, 0]
    tree.add([x(1)], 1.0)
    assert not tree.root.closed
    tree.add([y(1)], 1.0)
    assert tree.root.closed


# ---------------------------------------------------------------------- for reports
def test_rows_and_describe():
    tree = Tree()
    tree.add([x(0), y(0)], -1.0)
    tree.add([x(1)], -3.0)
    tree.add([x(1)], -2.0)
    tree.step(tree.start(), x(0))
    rows = list(tree.rows(max_depth=1, sign=-1))
    assert [(r.depth, r.name, r.choice, r.visits, r.running) for r in rows] == [
        (0, '', None, 3, 1), (1, 'x', 'b', 2, 0), (1, 'x', 'a', 1, 1)]
    assert [(r.mean, r.best) for r in rows] == [(2.0, 1.0), (2.5, 2.0), (1.0, 1.0)]
    assert [r.depth for r in tree.rows()] == [0, 1, 1, 2]
    text = tree.describe(sign=-1)
    assert 'all trials' in text and 'x=b (used up)' in text and len(text.splitlines()) == 5
    assert isinstance(tree.root.total, Fraction)
