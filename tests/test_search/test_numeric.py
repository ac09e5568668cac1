"""Numbers as ways down the tree."""
import math
from random import Random

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler
from toy_space import POLICIES, new_study

from autokd_mm.search import MCTSSampler, StudyTree
from autokd_mm.search.numeric import Halving, Ranges, context_of, grain_of, halving

DISTRIBUTIONS = [FloatDistribution(-3, 5), FloatDistribution(1e-5, 1, log=True),
                 FloatDistribution(0, 1, step=0.1), FloatDistribution(-1, 1, step=1e-3),
                 IntDistribution(1, 9), IntDistribution(0, 10000), IntDistribution(2, 64, step=2),
                 IntDistribution(1, 1000, log=True), IntDistribution(5, 20, log=True),
                 FloatDistribution(1e6, 1e6 + 1e-3)]


@pytest.mark.parametrize('distribution', DISTRIBUTIONS, ids=str)
@pytest.mark.parametrize('depth', [2, 7])
def test_a_value_lies_where_the_answers_lead(distribution, depth):
    """And leads there again, when it is read from the storage."""
    for seed in range(200):
        rng, given = Random(seed), Halving('x', distribution, depth)
        taken = []
        for name, choices, level in given.questions():
            taken.append((name, choices, int(rng.random() * 2), level))
            given.take(taken[-1][2])
        value = given.draw(rng)
        assert distribution._contains(distribution.to_internal_repr(value))
        assert type(value) is (int if isinstance(distribution, IntDistribution) else float)
        again = Halving('x', distribution, depth)
        assert [tuple(step) for step in again.steps(value)] == taken
        assert again.exact == given.exact


@pytest.mark.parametrize('distribution, values', [
    (IntDistribution(1, 9), range(1, 10)), (IntDistribution(3, 12, step=3), (3, 6, 9, 12)),
    (IntDistribution(1, 16, log=True), range(1, 17)),
    (FloatDistribution(0, 0.5, step=0.25), (0, 0.25, 0.5))])
def test_a_small_grid_is_told_apart_point_by_point(distribution, values):
    paths = set()
    for value in values:
        halving = Halving('x', distribution, 2)
        paths.add(tuple(step.taken for step in halving.steps(value)))
        assert halving.exact and halving.draw(Random(0)) == value
    assert len(paths) == len(values)


def test_a_logarithmic_range_is_halved_on_its_own_scale():
    (name, choices, _), *_ = Halving('lr', FloatDistribution(1e-4, 1, log=True), 1).questions()
    assert (name, choices) == ('lr ∈ 0.0001..1', ('0.0001..0.01', '0.01..1'))
    counts = [0, 0]
    for seed in range(400):
        halving = Halving('n', IntDistribution(1, 100, log=True), 0)
        counts[halving.draw(Random(seed)) >= 10] += 1
    assert 150 < counts[0] < 250


@pytest.mark.parametrize('n_numbers', [1, 2, 5])
def test_more_trials_halve_further_and_fill_an_eighth_of_the_room(n_numbers):
    grains = [grain_of(n, n_numbers) for n in range(20000)]
    depths = [grain.depth for grain in grains]
    assert depths == sorted(depths) and 5 <= depths[1000] <= 8
    assert all(8 * n <= grain.room * 2**(n_numbers * grain.depth) and grain.room >= 2
               for n, grain in enumerate(grains))


def test_the_context_of_a_number():
    kind, lr = CategoricalDistribution(('a', 'b')), FloatDistribution(0, 1)
    only = CategoricalDistribution(('one', ))
    assert context_of([]) == context_of([('only', 'one', only)]) == ''
    assert context_of([('x', 'a', kind), ('lr', 0.3, lr), ('only', 'one', only)]) == 'x=a'
    assert context_of([('first', 0.9, lr), ('lr', 0.3, lr)]) == 'lr ∈ 0.25..0.5'


# ---------------------------------------------------------------------- searches
def best_of(sampler, objective, n_trials=60):
    study = new_study(sampler=sampler)
    study.optimize(objective, n_trials=n_trials)
    return study.best_value


def smooth(trial):
    lr = trial.suggest_float('lr', 1e-5, 1, log=True)
    width = trial.suggest_int('width', 1, 300)
    drop = trial.suggest_float('drop', 0, 0.9, step=0.1)
    return -abs(math.log10(lr) + 2.7) - 0.02 * abs(width - 77) - abs(drop - 0.3)


def mixed(trial):
    """Where the best rate is depends on the method."""
    place = dict(adam=-3.5, sgd=-1.0, none=-2.0)[
        trial.suggest_categorical('method', ('adam', 'sgd', 'none'))]
    lr = trial.suggest_float('lr', 1e-5, 1, log=True)
    return -abs(math.log10(lr) - place) + 0.3 * (place == -3.5)


@pytest.mark.parametrize('objective, gain', [(smooth, 0.3), (mixed, 0.02)])
def test_numbers_are_searched_not_drawn(objective, gain):
    found = [best_of(MCTSSampler(seed=seed), objective) for seed in range(4)]
    chance = [best_of(RandomSampler(seed=seed), objective) for seed in range(4)]
    assert sum(found) / 4 > sum(chance) / 4 + gain


@POLICIES
def test_every_point_of_grids_once_before_any_twice(policy):
    study = new_study(seed=0, **policy)

    def objective(trial):
        x = trial.suggest_categorical('x', (0, 1))
        n = trial.suggest_int('n', 1, 5 + x)
        return n * trial.suggest_float('y', 0, 1, step=0.5)

    study.optimize(objective, n_trials=33)
    assert len({tuple(trial.params.items()) for trial in study.trials}) == 33


def test_the_grown_tree_is_the_one_read_from_the_storage():
    study = new_study(seed=0)
    study.optimize(mixed, n_trials=20)
    left = [study.ask() for _ in range(3)]
    for trial in left[1:]:
        mixed(trial)
    study.tell(left[2], 0.0)
    live = study.sampler.view(study)
    live.sync(study.get_trials(deepcopy=False))
    assert set(live.tree.rows()) == set(StudyTree.of(study).tree.rows())
    copy = optuna.create_study(direction='maximize', sampler=MCTSSampler(seed=0))
    copy.add_trials(study.trials)
    for one in (study, copy):
        mixed(one.ask())
    assert study.trials[-1].params == copy.trials[-1].params


def test_ranges_may_move_from_trial_to_trial():
    study = new_study(seed=0)

    def objective(trial):
        low = trial.suggest_float('low', 0, 1)
        return trial.suggest_float('high', low, 1 + low)

    study.optimize(objective, n_trials=30)
    assert all(trial.params['high'] >= trial.params['low'] for trial in study.trials)


@pytest.mark.parametrize('low, high, step', [(0, 0.3, 0.1), (0, 0.7, 0.1), (0.05, 0.95, 0.05)])
def test_a_grid_ends_where_it_says(low, high, step):
    study = optuna.create_study(sampler=MCTSSampler(seed=0), direction='maximize')
    study.optimize(lambda trial: trial.suggest_float('x', low, high, step=step), n_trials=25)
    assert study.best_params['x'] == high
    optuna.create_study(direction='maximize').add_trials(study.trials)  # refuses what is outside


@pytest.mark.parametrize('suggest', [
    lambda trial: trial.suggest_int('x', 10**15, 10**15 + 999) - 10**15,
    lambda trial: (trial.suggest_float('x', 1000., 1000. + 1e-9) - 1000) * 1e12])
def test_numbers_that_are_close_are_told_apart(suggest):
    study = optuna.create_study(sampler=MCTSSampler(seed=0), direction='maximize')
    study.optimize(lambda trial: float(suggest(trial)), n_trials=60)
    assert sum(trial.value > 500 for trial in study.trials) > 30 and study.best_value > 900


@pytest.mark.parametrize('low, high, log', [(-1e308, 1e308, False), (1e-200, 1e200, True)])
def test_ranges_wider_than_a_number(low, high, log):
    study = optuna.create_study(sampler=MCTSSampler(seed=0), direction='maximize')
    study.optimize(lambda trial: trial.suggest_float('x', low, high, log=log) / high, n_trials=20)
    values = [trial.params['x'] for trial in study.trials]
    assert all(low <= value <= high for value in values) and len(set(values)) == 20


def test_parts_are_called_by_their_place_where_ranges_are_many():
    ranges, made = Ranges(), [FloatDistribution(low / 10, 1) for low in range(6)]
    assert [ranges.add('y', one) for one in made] == [False] * 4 + [True, False]
    assert ranges.loose == {'y'} and not ranges.add('z', CategoricalDistribution([1]))
    for distribution in (made[0], made[5], IntDistribution(3, 90)):
        names = [name for name, *_ in halving('y', distribution, 2, loose=ranges.loose).questions()]
        assert names[0] == 'y ∈ 0/1'
    number = halving('y', FloatDistribution(0.5, 1), 2, loose={'y'})
    assert [(step.name, step.choices, step.taken) for step in number.steps(0.7)] == [
        ('y ∈ 0/1', ('0/2', '1/2'), 0), ('y ∈ 0/2', ('0/4', '1/4'), 1)]
    assert context_of([('y', 0.7, FloatDistribution(0.5, 1))], {'y'}) == 'y ∈ 1/4'
