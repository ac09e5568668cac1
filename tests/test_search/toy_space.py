"""A small conditional space with known values, for the tests of samplers."""
import random

import optuna
import pytest

from autokd_mm.search import MCTSSampler

optuna.logging.set_verbosity(optuna.logging.ERROR)

POLICIES = pytest.mark.parametrize('policy', [
    dict(), dict(pairs=True), dict(look_ahead=False), dict(policy='uct')],
    ids=['thompson', 'pairs', 'near', 'uct'])


def suggest(trial):
    """A conditional space of 4 * (3 + 3 + 3 + 3 * 2) = 60 leaves, three to four levels deep."""
    transform = trial.suggest_categorical('transform', ('none', 'spatial', 'channel', 'mask'))
    if transform == 'mask':
        trial.suggest_categorical('ratio', (0.5, 0.75))
    trial.suggest_categorical('distance', ('l2', 'kl', 'cosine'))
    trial.suggest_categorical('weight', (1, 5, 25, 50))
    return tuple(trial.params.items())


N_LEAVES = 60


def value_of(path, landscape=0):
    """Main effects of all choices and weaker effects of all pairs, reproducible anywhere."""
    def effect(*key):
        return random.Random(f'{landscape}/{key}').gauss(0, 1)
    pairs = [(a, b) for i, a in enumerate(path) for b in path[:i]]
    return sum(effect(step) for step in path) + 0.3 * sum(effect(a, b) for a, b in pairs)


def objective(trial):
    return value_of(suggest(trial))


def new_study(direction='maximize', **kwargs):
    sampler = kwargs.pop('sampler', None) or MCTSSampler(**kwargs)
    return optuna.create_study(direction=direction, sampler=sampler)


def ask(study):
    trial = study.ask()
    return trial, suggest(trial)


def proposals(study, n_trials, score=value_of):
    paths = []
    for _ in range(n_trials):
        trial, path = ask(study)
        paths.append(path)
        study.tell(trial, score(path))
    return paths
