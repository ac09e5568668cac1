from collections import Counter
from random import Random

import pytest

from autokd_mm.search.node import Step
from autokd_mm.search.option_model import OptionModel
from autokd_mm.search.planning import Plan, normal
from autokd_mm.search.tree import Tree

AB, PQ, VW = ('a', 'b'), ('p', 'q'), ('v', 'w')


def tree_of(*paths, **model):
    tree = Tree(model=OptionModel(**model))
    for path in paths:
        tree.add([Step(name, choices, choices.index(taken)) for name, choices, taken in path], 1.0)
    return tree


def x(taken):
    return ('x', AB, taken)


def y(taken):
    return ('y', PQ, taken)


def z(taken):
    return ('z', VW, taken)


def plan_of(tree, prior=0.0, **effects):
    """Effects by option, e.g. ``a=1``; those of pairs as ``ap=1``."""
    numbers = []
    for key in tree.model._keys:
        numbers.append(effects.get(''.join(option.strip("'") for option in key[1::2]), 0.0))
    return Plan(tree.model, numbers, prior)


def choose(plan, tree, name='x', choices=AB, node=None, seed=0):
    return plan.choose(node or tree.root, name, choices, Random(seed))


def test_the_larger_effect():
    tree = tree_of([x('a')])
    assert choose(plan_of(tree_of([x('a'), y('p')]), b=1), tree_of([x('a'), y('p')])) == 1
    assert choose(plan_of(tree, a=1), tree) == 1  # a is a leaf that was evaluated


def test_it_looks_below_the_option():
    tree = tree_of([x('a'), y('p')], [x('b'), z('v')])
    # a leads to y, whose best is worth 3; b is better by 2, but z gives nothing.
    assert choose(plan_of(tree, b=2, q=3), tree) == 0
    assert choose(plan_of(tree, b=4, q=3), tree) == 1
    near = tree_of([x('a'), y('p')], [x('b'), z('v')], look_ahead=False)
    assert choose(plan_of(near, b=2, q=3), near) == 1


def test_paths_that_were_taken_are_passed_over():
    tree = tree_of([x('a'), y('p')], [x('b'), y('q')])
    # The best path, a-p, was taken: b-p is the best new one, 5 + 1 against 2 + 2 of a-q.
    assert choose(plan_of(tree, a=2, b=1, p=5, q=2), tree) == 1
    assert choose(plan_of(tree, a=2, b=1, p=2, q=2), tree) == 0
    used = tree_of([x('a'), y('p')], [x('a'), y('q')], [x('b'), y('p')])
    assert choose(plan_of(used, a=100), used) == 1
    tree.add([Step('x', AB, 0), Step('y', PQ, 1)], 1.0)
    tree.add([Step('x', AB, 1), Step('y', PQ, 0)], 1.0)
    assert choose(plan_of(tree, a=1), tree) is None


def test_running_trials_are_passed_over_too():
    tree = tree_of([x('a'), y('p')], [x('b'), y('q')])
    walk = tree.start()
    tree.step(walk, Step('x', AB, 1))
    tree.step(walk, Step('y', PQ, 0))
    assert choose(plan_of(tree, b=1, p=5), tree) == 0
    tree.drop(walk)
    assert choose(plan_of(tree, b=1, p=5), tree) == 1


def test_what_is_planned_below_a_node():
    tree = tree_of([x('a'), y('p'), z('v')], [x('b'), y('p')])
    plan = plan_of(tree, a=3, q=1, v=2)
    assert choose(plan, tree) == 0
    ahead = plan.ahead(tree.root)
    assert ahead == [Step('x', AB, 0), Step('y', PQ, 1)]  # what follows q nobody has seen
    first, second = tree.root.branches[0].children
    assert plan.ahead(first) == ahead[1:] and plan.ahead(second) == []


def test_what_follows_an_option_here_is_guessed_from_elsewhere():
    tree = tree_of([x('a'), y('p'), z('v')], [x('b'), y('q'), z('v')])
    # b-p was never taken, but after p came z elsewhere: b-p-w is worth 1 + 9, a-p-w one less.
    assert choose(plan_of(tree, a=-1, p=1, w=9), tree) == 1
    assert choose(plan_of(tree, a=1, p=1, w=9), tree) == 0


def test_an_option_nobody_took_is_thought_to_lead_as_far_as_its_neighbours():
    tree = tree_of([x('a'), y('p')], [x('a'), y('q')])
    assert choose(plan_of(tree, q=4, a=0.5), tree) == 1  # a is used up
    wide = ('a', 'b', 'c')
    tree = tree_of([('x', wide, 'a'), y('p')])
    assert choose(plan_of(tree, q=4, a=0.5), tree, 'x', wide) == 0
    assert choose(plan_of(tree, q=4, b=0.5), tree, 'x', wide) == 1  # 0.5 + 4 against 4


def test_pairs_count_where_one_follows_the_other():
    tree = tree_of([x('a'), y('p')], [x('b'), y('q')], pairs=True)
    assert choose(plan_of(tree, a=1, bp=3), tree) == 1
    node = tree.root.branches[0].children[1]
    assert choose(plan_of(tree, q=1, bp=3), tree, 'y', PQ, node) == 0


def test_a_trial_that_goes_elsewhere_is_planned_anew():
    """The best path is a-p. Behind b, which somebody else has chosen, q is better."""
    tree = tree_of([x('a'), y('q')], [x('b'), y('p'), z('v')], pairs=True)
    tree.add([Step('x', AB, 1), Step('y', PQ, 1), Step('z', VW, 0)], 1.0)
    plan = plan_of(tree, a=1, ap=3, bq=2)
    first, second = tree.root.branches[0].children
    assert choose(plan, tree) == 0 and choose(plan, tree, 'y', PQ, first) == 0
    assert choose(plan, tree, 'y', PQ, second) == 1


def test_a_plan_past_a_node_with_two_questions():
    tree = tree_of([x('a'), y('p')], [x('a'), z('v')], [x('b')])
    plan = plan_of(tree, a=3, w=5)
    assert choose(plan, tree) == 0
    assert plan.ahead(tree.root) == [Step('x', AB, 0), Step('z', VW, 1)]


def test_options_never_seen_anywhere_are_drawn_from_the_prior():
    tree = tree_of([x('a')])
    picks = Counter(choose(plan_of(tree, prior=1.0), tree, 'new', PQ, seed=s) for s in range(400))
    assert set(picks) == {0, 1} and abs(picks[0] - 200) < 60


def test_options_that_another_worker_found_since_the_draw_are_no_error():
    tree = tree_of([x('a')])
    plan = plan_of(tree, a=1)
    tree.add([Step('x', AB, 1), Step('y', PQ, 0)], 1.0)
    node = tree.root.branches[0].children[1]
    assert choose(plan, tree, 'y', PQ, node) == 1


@pytest.mark.parametrize('seed', range(3))
def test_normal_is_normal(seed):
    rng = Random(seed)
    numbers = [normal(rng) for _ in range(4000)]
    mean = sum(numbers) / 4000
    assert abs(mean) < 0.06 and abs(sum(n * n for n in numbers) / 4000 - 1) < 0.1
