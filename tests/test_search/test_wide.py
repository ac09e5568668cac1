"""Very many options."""
import random
import time

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import create_trial

from autokd_mm.search import MCTSSampler, option_model
from autokd_mm.search.node import Step
from autokd_mm.search.option_model import OptionModel
from autokd_mm.search.tree import Tree

optuna.logging.set_verbosity(optuna.logging.ERROR)


def trials_of(n, questions=4, options=5, seed=0):
    rng = random.Random(seed)
    return [([Step(f'q{q}', tuple(range(options)), rng.randrange(options))
              for q in range(questions)][:rng.randrange(1, questions + 1)], rng.gauss(0, 1))
            for _ in range(n)]


def grow(trials, order, accidents=()):
    tree = Tree(model=OptionModel(shrinkage=0.7))
    for number in order:
        steps, value = trials[number]
        if number in accidents:
            tree.add(steps, None, accident=True, number=number)
        else:
            tree.add(steps, value, number=number)
        tree.posterior()
    return tree


def test_the_kept_posterior_is_the_one_made_anew(monkeypatch):
    trials = trials_of(60) * 2
    trees = []
    for wide in (1, 1000):
        monkeypatch.setattr(option_model, '_WIDE', wide)
        trees.append(grow(trials, range(120), accidents=(3, 7, 20)))  # forgotten by 63, 67, 80
        monkeypatch.setattr(option_model, '_WIDE', wide)
        posterior = trees[-1].posterior()
        if wide == 1000:
            factor = posterior.factor
        else:
            kept = posterior
    assert kept.factor is None
    assert kept.mean == pytest.approx(posterior.mean, abs=1e-8)
    assert kept.scale == pytest.approx(posterior.scale)
    model, rng = trees[0].model, np.random.RandomState(0)
    draws = np.array([model.sample(kept, rng) for _ in range(20000)])[:, model._order][:, 1:]
    covariance = kept.scale**2 * np.linalg.inv(factor @ factor.T)[1:, 1:]
    assert draws.mean(0) == pytest.approx(kept.mean[1:], abs=0.02)
    assert np.cov(draws.T) == pytest.approx(covariance, abs=0.02)


def test_the_order_of_finishing_changes_no_draw(monkeypatch):
    monkeypatch.setattr(option_model, '_WIDE', 1)
    trials, rng, found = trials_of(50), random.Random(1), []
    order = list(range(50))
    for _ in range(3):
        tree = grow(trials, order)
        model = tree.model
        draw = model.sample(tree.posterior(), np.random.RandomState(0))
        found.append(np.array(draw)[model._order])
        rng.shuffle(order)
    assert found[0] == pytest.approx(found[1], abs=1e-9)
    assert found[0] == pytest.approx(found[2], abs=1e-9)


@pytest.mark.parametrize('questions, options', [(10, 100)])
def test_a_thousand_options_stay_quick(questions, options):
    """Own time of a trial behind 10,000: less than that of one factorisation, which is what each
    trial would cost if nothing were kept; 30 ms on one quiet core."""
    rng = np.random.RandomState(0)
    kind = CategoricalDistribution(tuple(range(options)))
    kinds = {f'q{i}': kind for i in range(questions)}
    taken = rng.randint(options, size=(3000, questions))
    study = optuna.create_study(direction='maximize', sampler=MCTSSampler(seed=0))
    study.add_trials([create_trial(
        value=float(row[0] - row[1]), distributions=kinds,
        params={name: int(index) for name, index in zip(kinds, row)}) for row in taken])
    spent = []
    for _ in range(6):
        begin = time.process_time()
        trial = study.ask()
        value = sum(trial.suggest_categorical(name, kind.choices) for name in kinds)
        study.tell(trial, float(value))
        spent.append(time.process_time() - begin)
    model = study.sampler.view(study).tree.model
    gram = model._gram[:len(model), :len(model)] + np.eye(len(model))
    begin = time.process_time()
    np.linalg.solve(gram, np.linalg.cholesky(gram))
    assert len(model) == 1001 and np.median(spent[1:]) < time.process_time() - begin
