"""What is believed before the first trial, and how soon a wrong belief is given up."""
import random

import numpy as np
import optuna
import pytest
from toy_space import N_LEAVES, objective, suggest, value_of

from autokd_mm.errors import AutoKDWarning
from autokd_mm.search import Belief, MCTSSampler, Prior, believed
from autokd_mm.search.node import Step
from autokd_mm.search.option_model import OptionModel
from autokd_mm.search.posterior import Sums, hypotheses
from autokd_mm.search.prior import HYPOTHESES
from autokd_mm.search.remembered import PRIOR
from autokd_mm.search.tree import Tree

OPTIONS = dict(transform=('none', 'spatial', 'channel', 'mask'), ratio=(0.5, 0.75),
               distance=('l2', 'kl', 'cosine'), weight=(1, 5, 25, 50))


def effect(name, value):
    return random.Random(f'0/{((name, value), )}').gauss(0, 1)


def prior(sign=1.0):
    """What a search of the same task would have learnt, on the scale from poor to best."""
    return Prior({(name, repr(value)): Belief(sign * 0.15 * effect(name, value), 4.0)
                  for name, values in OPTIONS.items() for value in values})


def study_of(sampler, n_trials, **how):
    study = optuna.create_study(direction='maximize', sampler=sampler, **how)
    study.optimize(objective, n_trials=n_trials)
    return study


def trials_to_best(given, seed, best, n_trials=30):
    values = [t.value for t in study_of(MCTSSampler(seed=seed, prior=given), n_trials).trials]
    return next((n for n, value in enumerate(values, 1) if value >= best), n_trials)


@pytest.fixture(scope='module')
def lengths():
    """Trials until one of the best three of sixty."""
    best = sorted(t.value for t in study_of(MCTSSampler(seed=0), N_LEAVES).trials)[-3]
    return {name: np.mean([trials_to_best(given, seed, best) for seed in range(8)])
            for name, given in dict(none=None, right=prior(), wrong=prior(-1.0)).items()}


def test_a_right_prior_shortens_the_search(lengths):
    assert lengths['right'] < 0.6 * lengths['none']


def test_a_wrong_prior_is_given_up_soon(lengths):
    assert lengths['wrong'] < lengths['none'] + 4


def test_the_trials_say_how_much_was_believed():
    right = believed(study_of(MCTSSampler(seed=1, prior=prior()), 40))
    wrong = believed(study_of(MCTSSampler(seed=1, prior=prior(-1.0)), 40))
    assert right.share > 0.9 and wrong.share < 0.1
    assert right.factor > 0.5
    assert believed(study_of(MCTSSampler(seed=1), 5)) is None


def test_the_first_trial_goes_where_the_prior_says():
    one = Prior({('distance', "'kl'"): Belief(5.0, 100.0)})
    first = [study_of(MCTSSampler(seed=seed, prior=one), 1).trials[0].params['distance']
             for seed in range(20)]
    assert first.count('kl') > 10  # six of ten draws believe it


def test_a_prior_without_effects_and_of_no_weight_changes_nothing_of_the_posterior():
    rng = np.random.RandomState(0)
    design = (rng.random_sample((30, 5)) < 0.5).astype(float)
    z = rng.random_sample(30)
    sums = Sums(design.T @ design, design.T @ z, float(z @ z), 30)
    ones = np.ones(5)
    found = hypotheses(sums, ones, 0 * ones, ones, 1.0)
    for one in found:
        np.testing.assert_allclose(one.posterior.mean, found[0].posterior.mean)
    # All explain the trials as well, so that nothing was learnt about them.
    assert [one.probability for one in found] == pytest.approx([p for _, p in HYPOTHESES])


def test_the_marginal_likelihood_by_its_definition():
    """The density of all values at once, a multivariate t."""
    stats = pytest.importorskip('scipy.stats')
    rng = np.random.RandomState(1)
    design, z = (rng.random_sample((12, 4)) < 0.5).astype(float), rng.random_sample(12)
    precision, expected = np.array([1.0, 2.0, 1.0, 0.5]), np.array([0.3, -0.2, 0.1, 0.0])
    believed_in = 3 * precision
    sums = Sums(design.T @ design, design.T @ z, float(z @ z), 12)
    direct = []
    for factor, probability in HYPOTHESES:
        weight = believed_in if factor else precision
        shape = 0.3**2 * (np.eye(12) + design @ np.diag(1 / weight) @ design.T)
        direct.append(probability * stats.multivariate_t(
            factor * design @ expected, shape, df=1).pdf(z))
    found = hypotheses(sums, precision, expected, believed_in, 1.0)
    assert [one.probability for one in found] == pytest.approx(np.array(direct) / sum(direct))


def test_a_study_keeps_the_prior_it_began_with(tmp_path):
    path = f'sqlite:///{tmp_path}/study.db'
    how = dict(storage=path, study_name='s')
    study_of(MCTSSampler(seed=3, prior=prior()), 8, **how)
    whole = study_of(MCTSSampler(seed=3, prior=prior()), 16)
    later = optuna.load_study(sampler=MCTSSampler(seed=3, prior=prior(-1.0)), **how)
    later.optimize(objective, n_trials=8)
    assert [t.params for t in later.trials] == [t.params for t in whole.trials]
    assert Prior.from_json(later.user_attrs[PRIOR]).to_json() == prior().to_json()


def test_a_study_that_began_without_goes_on_without():
    study = study_of(MCTSSampler(seed=3), 6)
    study.sampler = MCTSSampler(seed=3, prior=prior())
    study.optimize(objective, n_trials=6)
    assert PRIOR not in study.user_attrs
    assert [t.params for t in study.trials] == [
        t.params for t in study_of(MCTSSampler(seed=3), 12).trials]


def test_proposals_do_not_depend_on_the_order_of_finishing():
    def run(order):
        study = optuna.create_study(direction='maximize',
                                    sampler=MCTSSampler(seed=5, prior=prior()))
        asked = [study.ask() for _ in range(6)]
        values = [value_of(suggest(trial)) for trial in asked]
        for index in order:
            study.tell(asked[index], values[index])
        return suggest(study.ask())
    assert run(range(6)) == run([4, 1, 5, 0, 3, 2])


def test_very_many_options_have_a_prior_too():
    choices = tuple(range(400))
    tree = Tree(model=OptionModel(prior=Prior({('x', '7'): Belief(1.0, 5.0)})))
    for index in (1, 2, 3):
        tree.add([Step('x', choices, index)], float(index), number=index)
    best = max(tree.hypotheses(), key=lambda one: one.factor)
    effects = tree.model.means(best.posterior)
    features = tree.model.features('x', choices)
    assert max(range(400), key=lambda index: effects[features[index]]) == 7


def test_a_belief_of_little_worth_is_kept(tmp_path):
    prior = Prior({('x', "'a'"): Belief(0.2, 3e-5)})
    again = Prior.from_json(prior.to_json())
    assert again.options == prior.options


@pytest.mark.parametrize('options', [
    {('x', 'a'): (1e300, 1)}, {('x', 'a'): (10**400, 1)}, {('x', 'a'): ('b', 1)},
    {('x', ): (1, 1)}, {('x', 'a'): (1, )}, {('x', 'a'): None}, {3: (1, 1)}])
def test_what_is_no_belief_is_refused(options):
    with pytest.raises(ValueError, match='prior: '):
        Prior(options)


@pytest.mark.parametrize('given, what', [
    ([1], 'must be a dict'), ({'a': 1}, 'must be a dict'), ({'a': {'b': [1]}}, 'must be a dict'),
    ({'a': {'b': [float('nan'), 1]}}, 'finite'), ({'a': {'b': [1, 0]}}, 'finite'),
    ({'a': {'b': [1, 'x']}}, 'must be a dict')])
def test_what_is_no_prior_is_refused(given, what):
    with pytest.raises(ValueError, match=what):
        Prior.from_json(given)
    with pytest.raises(ValueError, match='prior must be a Prior'):
        MCTSSampler(prior=given)


def test_a_study_that_began_without_a_prior_says_that_it_goes_on_without():
    study = study_of(MCTSSampler(seed=0), 3)
    study.sampler = MCTSSampler(seed=0, prior=prior())
    with pytest.warns(AutoKDWarning, match='began without a prior .experience., and goes on with'):
        study.ask()
