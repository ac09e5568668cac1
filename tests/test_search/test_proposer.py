import random

import numpy as np
import pytest

from autokd_mm.search.node import Step
from autokd_mm.search.option_model import OptionModel
from autokd_mm.search.proposer import Proposer, _standardised
from autokd_mm.search.tree import Tree

NAMES = 'abcdefgh'


def steps_of(taken):
    """Where ``g`` is 1, ``h`` is not asked."""
    return [Step(name, (0, 1), one) for name, one in zip(NAMES, taken)
            if name != 'h' or not taken[6]]


def parity(taken):
    return float(taken[0] ^ taken[3])


def told(trials, order, value=parity):
    tree = Tree(model=OptionModel(gp_share=1.0))
    for number in order:
        tree.add(steps_of(trials[number]), value(trials[number]), number=number)
    return tree


def some(count=40, seed=0):
    rng = random.Random(seed)
    return [[rng.randrange(2) for _ in NAMES] for _ in range(count)]


def named(tree, paths):
    return [tuple(tree.model.key(feature) for feature in path[1:]) for path in paths]


def test_what_is_good_only_together():
    tree = told(some(), range(40))
    answers = list(map(dict, named(tree, tree._proposer.propose(random.Random(0)))))
    for region in '01':
        best = [one for one in answers if one['a'] == region][:10]
        assert len(best) == 10 and all(one['d'] != region for one in best)
        assert all(('h' in one) == (one['g'] == '0') for one in best)  # as it is asked


def test_the_order_of_finishing_does_not_matter():
    trials, order = some(150), list(range(150))
    first = told(trials, order)
    random.Random(1).shuffle(order)
    second = told(trials, order)
    propose = [named(tree, tree._proposer.propose(random.Random(7))) for tree in (first, second)]
    assert propose[0] == propose[1] and len(propose[0]) > 100


def test_a_plan_goes_where_nobody_was():
    trials = some(60)
    tree = told(trials, range(60))
    been = {tuple(trial) for trial in trials}
    rng = random.Random(3)
    for seed in range(20):
        plan, walk, taken = tree.plan(random.Random(seed), tree.root), tree.start(), []
        for name in NAMES:
            if name == 'h' and taken[6]:
                break
            taken.append(plan.choose(walk.nodes[-1], name, (0, 1), rng))
            tree.step(walk, Step(name, (0, 1), taken[-1]))
        assert not any(one[:len(taken)] == tuple(taken) for one in been)
        assert taken[0] != taken[3]


def test_so_many_are_asked():
    proposer, counts = Proposer(OptionModel()), {}
    for number in range(400):
        if number in (9, 10, 100, 399):
            counts[number] = sum(proposer.is_asked(0.3, random.Random(seed))
                                 for seed in range(2000))
        proposer.add((0, ), 0.0, number)
    assert counts[9] == 0 and not proposer.is_asked(0.0, random.Random(0))
    assert counts[10] == counts[100] and abs(counts[100] - 600) < 90
    assert abs(counts[399] - 150) < 50


@pytest.mark.parametrize('values', [
    [None] * 12, [1.0] * 12, [1e308, -1e308] * 6, [5e-324, 0.0] * 6, [None, 3.0] * 6,
    [0.1 * n for n in range(11)] + [1e30], [0.1 * n for n in range(11)] + [-1e30]])
def test_values_of_all_kinds(values):
    z = _standardised(values)
    assert np.isfinite(z).all() and abs(z.mean()) < 1e-9 and z.std() < 1 + 1e-9
    left = iter(values)
    tree = told(some(12), range(12), lambda taken: next(left))
    assert tree._proposer.propose(random.Random(0))


def test_one_spurious_value_hides_nothing():
    usual = [0.1 * n for n in range(20)]
    for wrong in (1e30, -1e30):
        z = _standardised(usual + [wrong])[:20]
        assert z[-1] - z[0] > 0.4
    assert _standardised([1.0, 2.0, 3.0, 4.0, None]).argmin() == 4


def test_what_failed_is_below_where_most_tie():
    z = _standardised([0.0] * 60 + [None] * 30 + [1.0] * 10)
    assert z[0] - z[60] > 0.5 * (z[-1] - z[0])
    assert z[0] > _standardised([0.0] * 60 + [1e30])[0] > -1.0


def test_questions_of_one_name_are_told_apart():
    """Layers that share their options' effects: two of four must be alike."""
    def value(taken):
        return float(taken[1] == taken[2])

    tree = Tree(model=OptionModel(shared_name=lambda name: 'layer'))
    rng = random.Random(0)
    for number in range(60):
        taken = [rng.randrange(3) for _ in range(4)]
        tree.add([Step(f'layer{n}', (0, 1, 2), one) for n, one in enumerate(taken)], value(taken),
                 number=number)
    best = [path for path in tree._proposer.propose(random.Random(1)) if len(path) == 5][:20]
    assert len(best) == 20
    assert np.mean([value(path[1:]) for path in best]) > 0.8  # by chance a third


@pytest.mark.parametrize('questions, level, asked', [(3, 0, True), (3, 1, False), (130, 0, False)])
def test_ranges_and_very_many_questions_are_left_to_the_draw(questions, level, asked):
    tree = Tree(model=OptionModel())
    for number in range(12):
        tree.add([Step(f'x{n}', (0, 1), number % 2, level=level * n) for n in range(questions)],
                 float(number), number=number)
    assert tree._proposer.is_asked(1.0, random.Random(0)) == asked


def test_accidents_say_nothing():
    tree = Tree(model=OptionModel(gp_share=1.0))
    tree.add(steps_of([0] * 8), None, complete=False, accident=True, number=0)
    tree.add(steps_of([1] * 8), 1.0, number=1)
    assert [one.number for one in tree._proposer._trials] == [1]
