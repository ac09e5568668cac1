"""What to take when a search is over."""
import math
import random

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from toy_space import new_study, objective, suggest, value_of

from autokd_mm.search import MCTSSampler, leaders, recommend_best

optuna.logging.set_verbosity(optuna.logging.ERROR)


def noisy(seed, spread):
    rng = random.Random(seed)
    return lambda trial: value_of(suggest(trial)) + rng.gauss(0, spread)


def worth(params):
    return value_of(tuple(params.items()))


def test_without_noise_it_is_the_best_seen():
    for direction, sign in (('maximize', 1), ('minimize', -1)):
        study = new_study(direction, seed=0)
        study.optimize(lambda trial, sign=sign: sign * objective(trial), n_trials=40)
        found = recommend_best(study)
        assert found.params == study.best_params and found.deviation > 0
        assert found.mean == pytest.approx(study.best_value, abs=1.5)
        order = [sign * one.mean for one in leaders(study)]
        assert order == sorted(order, reverse=True) and len(order) == 40


def test_a_few_trials_for_the_leaders_find_a_better_one_than_the_highest_value():
    gain = []
    for seed in range(12):
        study = new_study(seed=seed)
        study.optimize(noisy(seed, 2.0), n_trials=40)
        lucky = worth(study.best_params)
        found = recommend_best(study, noisy(100 + seed, 2.0), n_again=15)
        assert len(study.trials) == 55 and max(len(one.trials) for one in leaders(study)) > 2
        gain.append(worth(found.params) - lucky)
    assert np.mean(gain) > 0.2


def test_a_spurious_value_does_not_make_a_winner_of_itself_for_ever():
    study = new_study(seed=0)
    study.optimize(objective, n_trials=30)
    worst = min(study.trials, key=lambda trial: trial.value)
    study.enqueue_trial(worst.params)
    study.optimize(lambda trial: 1e30 + 0 * objective(trial), n_trials=1)
    found = recommend_best(study, objective, n_again=3)
    assert found.params == study.trials[
        max(range(30), key=lambda n: study.trials[n].value)].params


def test_any_sampler_numbers_and_failures():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))

    def goal(trial):
        kind = trial.suggest_categorical('kind', ('a', 'b', 'broken'))
        rate = trial.suggest_float('rate', 1e-4, 1, log=True)
        if kind == 'broken':
            raise ValueError
        return rate + (kind == 'a')

    study.optimize(goal, n_trials=40, catch=(ValueError, ))
    found = recommend_best(study)
    assert found.params['kind'] == 'b' and found.params['rate'] < 0.1
    states = [study.trials[number].state for one in leaders(study) for number in one.trials]
    assert set(states) == {TrialState.COMPLETE}


def test_what_cannot_be_answered_is_said():
    study = new_study(seed=0)
    with pytest.raises(ValueError, match='no completed trial'):
        recommend_best(study)
    with pytest.raises(ValueError, match='n_again=2: measuring again needs the objective'):
        recommend_best(study, n_again=2)
    several = optuna.create_study(directions=['maximize'] * 2, sampler=MCTSSampler())
    with pytest.raises(ValueError, match='one objective'):
        leaders(several)


def test_what_breaks_a_constraint_is_not_recommended():
    """As Optuna's samplers keep it, with a list (before 5) or a name for each."""
    for key, broken in (('constraints', lambda x: [x - 1.5]), ('constraints:c', lambda x: x - 1.5)):
        study = optuna.create_study(sampler=MCTSSampler(seed=0), direction='maximize')

        def objective(trial, key=key, broken=broken, study=study):
            x, y = (trial.suggest_categorical(name, range(4)) for name in 'xy')
            study._storage.set_trial_system_attr(trial._trial_id, key, broken(x))
            return x + y

        study.optimize(objective, n_trials=16)
        assert recommend_best(study).params == dict(x=1, y=3)
        assert all(one.params['x'] < 2 for one in leaders(study))


def test_options_that_have_no_hash():
    study = optuna.create_study(sampler=MCTSSampler(seed=0), direction='maximize')
    study.optimize(lambda trial: len(trial.suggest_categorical('x', [[1], [1, 2], [1, 2, 3]])),
                   n_trials=9)
    assert recommend_best(study).params == dict(x=[1, 2, 3])


def test_the_truth_lies_as_far_off_as_the_deviation_says():
    """Of configurations whose own effect and noise are what the model takes them for."""
    off = []
    for seed in range(30):
        rng = np.random.RandomState(seed)
        choices = {name: tuple(f'{name}{place}' for place in range(4)) for name in 'abc'}
        effects = {one: rng.randn() for options in choices.values() for one in options}
        truth = {}
        study = new_study(seed=seed)
        for _ in range(60):
            params = {name: str(rng.choice(options)) for name, options in choices.items()}
            key = tuple(params.values())
            truth.setdefault(key, sum(map(effects.get, key)) + 0.3 * rng.randn())
            for _ in range(rng.randint(1, 3)):
                study.add_trial(optuna.trial.create_trial(
                    params=params, value=truth[key] + 0.3 * math.sqrt(0.3) * rng.randn(),
                    distributions={name: optuna.distributions.CategoricalDistribution(options)
                                   for name, options in choices.items()}))
        low = np.quantile([trial.value for trial in study.trials], 0.25)
        off += [(truth[tuple(one.params.values())] - one.mean) / one.deviation
                for one in leaders(study) if truth[tuple(one.params.values())] > low + 0.3]
    assert 0.8 < np.std(off) < 1.3


def test_values_as_large_as_numbers_get():
    study = new_study(seed=0)
    study.optimize(lambda trial: 1.7e308 * (-1) ** (len(suggest(trial)) + trial.number),
                   n_trials=20)
    assert recommend_best(study).mean > 0
