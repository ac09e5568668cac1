"""The tree search where every layer has options of its own: n sub-trees below each other."""
import time
from functools import lru_cache
from zlib import crc32

import numpy as np
import optuna
import pytest
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from autokd_mm.search import MCTSSampler, StudyTree
from autokd_mm.space import LayerwiseSpace, Shapes

optuna.logging.set_verbosity(optuna.logging.ERROR)
FEW = dict(transform=('logits_only', 'none', 'spatial_attention'), connector=('identity', ),
           intra=('none', ), feature_weight=(1, 5), temperature=(4, ), logits_temperature=(4, ),
           logits_weight=(1, ))


def space_of(layers, options=None):
    """Maps of 16, 8, 4 ... positions a side."""
    return LayerwiseSpace(options, {f'feature_{i}': Shapes(height=16 >> i, width=16 >> i)
                                    for i in range(layers)})


class Effects:
    """A value for each option of each layer, added up."""

    def __init__(self, space):
        self.space = space

    def __call__(self, trial):
        self.space.suggest(trial)
        return sum(effect(name.split('(')[0], choice) for name, choice in trial.params.items())


@lru_cache(maxsize=None)
def effect(name, choice):
    return float(np.random.RandomState(crc32(f'{name}={choice}'.encode())).standard_normal())


@pytest.mark.parametrize('storage', ['memory', 'journal'])
def test_the_tree_from_the_storage_is_the_live_one(storage, tmp_path, monkeypatch):
    monkeypatch.setattr('os.fsync', lambda file: None)
    memory = InMemoryStorage()

    def opened():
        if storage == 'memory':
            return memory
        return JournalStorage(JournalFileBackend(str(tmp_path / 'study.journal')))

    goal = Effects(space_of(3, FEW))
    study = optuna.create_study(storage=opened(), study_name='s', direction='maximize',
                                sampler=MCTSSampler(seed=0))
    study.optimize(goal, n_trials=40)
    left = study.ask()  # one that still runs
    goal.space.suggest(left)
    live = study.sampler.view(study)
    live.sync(study.get_trials(deepcopy=False))
    again = optuna.load_study(storage=opened(), study_name='s')
    assert set(live.tree.rows()) == set(StudyTree.of(again).tree.rows())
    assert live.describe(None).count('feature_2/transform') > 5

    # And another process, which knows the storage alone, asks for the same next distiller.
    copy = optuna.create_study(direction='maximize', sampler=MCTSSampler(seed=0))
    copy.add_trials(again.trials[:-1])
    study.tell(left, state=optuna.trial.TrialState.FAIL)
    copy.add_trial(study.trials[-1])
    assert goal.space.suggest(copy.ask()) == goal.space.suggest(study.ask())


def test_effects_of_an_option_belong_to_its_layer():
    """What is good at one layer and bad at the other is taken there only."""
    space = space_of(2, FEW)

    def goal(trial):
        branches = dict(space.suggest(trial).layers)
        return float((branches['feature_0'].distance == 'gram_l2')
                     - (branches['feature_1'].distance == 'gram_l2')
                     + (branches['feature_1'].transform == 'none'))

    sampler = MCTSSampler(seed=0, gp_share=0.0)
    study = optuna.create_study(direction='maximize', sampler=sampler)
    study.optimize(goal, n_trials=80)
    assert study.best_value == 2
    assert np.mean([trial.value == 2 for trial in study.trials[40:]]) > 0.8


def test_a_small_space_is_searched_without_repetition():
    options = dict(FEW, distance=('l2', 'gram_l2'), inter=('none', 'channel'),
                   logits=('none', 'kl'), feature_weight=(1, ), transform=('logits_only', 'none'))
    space = space_of(2, options)
    count = space.count()
    assert 20 < count < 60
    study = optuna.create_study(direction='maximize', sampler=MCTSSampler(seed=0))
    study.optimize(Effects(space), n_trials=count)
    assert len({tuple(sorted(trial.params.items())) for trial in study.trials}) == count


def test_it_finds_more_than_chance_and_stays_quick():
    found = {}
    for name, sampler in (('mcts', MCTSSampler(seed=0)),
                          ('random', optuna.samplers.RandomSampler(seed=0))):
        goal, spent = Effects(space_of(3)), 0.0
        study = optuna.create_study(direction='maximize', sampler=sampler)
        for _ in range(80):
            begin = time.process_time()
            trial = study.ask()
            goal.space.suggest(trial)
            spent += time.process_time() - begin
            study.tell(trial, goal(optuna.trial.FixedTrial(trial.params)))
        found[name] = study.best_value, spent / 80
    assert found['mcts'][0] > found['random'][0] + 3
    assert found['mcts'][1] < 0.2  # seconds of the processor for a trial, a tenth of it usually
