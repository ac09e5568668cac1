import random

import numpy as np
import pytest

from autokd_mm.search.node import Step
from autokd_mm.search.option_model import OptionModel
from autokd_mm.search.posterior import SHRINKAGES
from autokd_mm.search.tree import Tree
from autokd_mm.space import level_of

AB, PQ = ('a', 'b'), ('p', 'q')


def x(index, name='x'):
    return Step(name, AB, index)


def y(index):
    return Step('y', PQ, index)


def posterior(tree):
    return tree.posterior()


def test_the_mean_by_hand():
    """z = 0 and 1 for the two choices of x, a flat prior of mu: by symmetry mu = 1/2 and
    theta = -+t with (t (1 + 1) = 1/2): each trial pulls by 1/2, the prior with weight 1."""
    tree = Tree(model=OptionModel(shrinkage=1.0))
    tree.add([x(0)], 3.0)
    tree.add([x(1)], 7.0)
    assert posterior(tree).mean == pytest.approx([0.5, -0.25, 0.25], abs=1e-5)
    stiff = Tree(model=OptionModel(shrinkage=3.0))
    stiff.add([x(0)], 3.0)
    stiff.add([x(1)], 7.0)
    assert posterior(stiff).mean == pytest.approx([0.5, -0.125, 0.125], abs=1e-5)


@pytest.mark.parametrize('pairs', [False, True])
def test_sums_equal_least_squares_over_the_trials_themselves(pairs):
    rng = random.Random(0)
    tree, data = Tree(model=OptionModel(pairs=pairs, shrinkage=0.7)), []
    for n in range(60):
        steps = [x(rng.randrange(2)), y(rng.randrange(2))][:1 + (n % 5 > 0)]
        value = None if n % 9 == 4 else rng.gauss(steps[0].taken, 1) - 1e6 * (n % 11 == 3)
        data.append(([(s.name, s.choices[s.taken]) for s in steps], value))
        tree.add(steps, value)
    finite = sorted(value for _, value in data if value is not None)
    low, high = finite[int(0.25 * (len(finite) - 1))], finite[-1]
    z = np.array([0 if v is None else max(v - low, 0) / (high - low) for _, v in data])
    names = [('x', 'a'), ('x', 'b'), ('y', 'p'), ('y', 'q')]
    rows = [[1] + [name in path for name in names] for path, _ in data]
    if pairs:
        two = [(a, b) for a in names[:2] for b in names[2:]]
        rows = [row + [tuple(path) == pair for pair in two] for row, (path, _) in zip(rows, data)]
    design = np.array(rows, float)
    ridge = np.diag([1e-6] + [0.7] * (design.shape[1] - 1))
    inverse = np.linalg.inv(design.T @ design + ridge)
    mean = inverse @ design.T @ z
    variance = (0.3**2 + z @ z - mean @ design.T @ z) / (1 + len(z))
    got = posterior(tree)
    keys = [tree.model._keys[f] for f in tree.model._order]
    want = [()] + [(n, repr(c)) for n, c in names]
    if pairs:
        want += [(a, repr(b), c, repr(d)) for (a, b), (c, d) in two]
    places = [want.index(key) for key in keys]
    assert got.mean == pytest.approx(mean[places], abs=1e-6)
    assert got.scale**2 == pytest.approx(variance, rel=1e-6)
    covariance = np.linalg.inv(got.factor @ got.factor.T)
    assert covariance == pytest.approx(inverse[np.ix_(places, places)], rel=1e-4, abs=1e-6)


def test_draws_have_the_mean_and_covariance_of_the_posterior():
    tree = Tree(model=OptionModel())
    for n in range(12):
        tree.add([x(n % 2), y(n % 3 % 2)], float(n % 4))
    model, got, rng = tree.model, posterior(tree), np.random.RandomState(0)
    draws = np.array([model.sample(got, rng) for _ in range(20000)])[:, model._order]
    effects = slice(1, None)  # mu is nearly free
    covariance = got.scale**2 * np.linalg.inv(got.factor @ got.factor.T)
    assert draws.mean(0)[effects] == pytest.approx(got.mean[effects], abs=0.01)
    assert np.cov(draws.T)[effects, effects] == pytest.approx(covariance[effects, effects],
                                                              abs=0.005)


def test_no_draw_is_the_mean():
    tree = Tree(model=OptionModel(draw=0.0))
    tree.add([x(0)], 1.0)
    tree.add([x(1)], 2.0)
    got = posterior(tree)
    assert tree.model.sample(got, np.random.RandomState(0)) == pytest.approx(got.mean.tolist())


def test_an_option_is_the_same_under_all_names_that_are_shared():
    model = OptionModel(shared_name=level_of)
    model.add([Step('distance', ('l2', 'kl', 'cosine'), 0)])
    model.add([Step('distance(kl|l2)', ('kl', 'l2'), 1)])
    l2, kl, cosine = model.features('distance', ('l2', 'kl', 'cosine'))
    assert model.features('distance(kl|l2)', ('kl', 'l2')) == (kl, l2)
    assert model._sums[0] is not model._sums[l2]
    assert model.features('distance(cosine|new)', ('cosine', 'new')) == [cosine, None]
    assert model.features('inter', ('l2', 'kl', 'cosine')) == [None] * 3
    model = OptionModel()
    model.add([Step('distance', ('l2', 'kl', 'cosine'), 0)])
    assert model.features('distance(kl|l2)', ('kl', 'l2')) == [None] * 2


def test_the_order_of_finishing_does_not_matter_bit_for_bit():
    rng = random.Random(1)
    trials = [([x(rng.randrange(2)), y(rng.randrange(2))],
               rng.choice([None, rng.gauss(0, 1), -1e9 * rng.random()])) for _ in range(50)]
    got = []
    for _ in range(3):
        tree = Tree(model=OptionModel(pairs=True))
        rng.shuffle(trials)
        for steps, value in trials:
            tree.add(steps, value)
        found = posterior(tree)
        got.append((found.mean.tolist(), found.factor.tolist(), found.scale))
    assert got[0] == got[1] == got[2]


def test_without_any_value_effects_are_those_of_the_prior():
    tree = Tree(model=OptionModel())
    tree.add([x(0)], None)
    got = posterior(tree)
    assert got.mean.tolist() == [0, 0, 0] and got.scale == pytest.approx((0.09 / 2) ** 0.5)


def test_the_likeliest_shrinkage_is_taken():
    """Where there is no noise, what is not known may be anything; where all is noise, nothing."""
    found = {}
    for noise in (0.0, 3.0):
        rng = random.Random(0)
        tree = Tree(model=OptionModel())
        for number in range(60):
            steps = [Step(name, tuple(range(4)), rng.randrange(4)) for name in 'abc']
            value = sum((step.taken * 7 + ord(step.name)) % 4 for step in steps)
            tree.add(steps, value + noise * rng.gauss(0, 3), number=number)
        found[noise] = tree.posterior()
        given = [Tree(model=OptionModel(shrinkage=one)) for one in SHRINKAGES]
        assert found[noise].shrinkage in SHRINKAGES and len(given) == 5
    assert found[0.0].shrinkage < 1.0 == found[3.0].shrinkage

