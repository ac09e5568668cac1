"""What users of Optuna may expect of a sampler."""
import copy
import random
import time
import warnings
import zlib
from collections import Counter
from datetime import datetime, timedelta

import numpy as np
import optuna
import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState
from toy_space import N_LEAVES, POLICIES, ask, new_study, proposals, value_of

from autokd_mm.errors import AutoKDWarning
from autokd_mm.search import MCTSSampler
from autokd_mm.search.node import Sums
from autokd_mm.search.sampler import SpaceUsedUp
from autokd_mm.search.scale import Scale
from autokd_mm.space import level_of

optuna.logging.set_verbosity(optuna.logging.ERROR)


def tell_all(study, paths):
    """Evaluate the given leaves."""
    for path in paths:
        study.enqueue_trial(dict(path))
        proposals(study, 1)


# ---------------------------------------------------------------------- workers that died
@POLICIES
@pytest.mark.parametrize('age, free', [(5, False), (15, True)])
def test_the_leaf_of_a_dead_worker_is_free_behind_stale_after(policy, age, free):
    leaves = proposals(new_study(seed=1), N_LEAVES)
    study = new_study(seed=0, stale_after=10, **policy)
    tell_all(study, leaves[1:])
    dead, path = ask(study)
    assert path == leaves[0]
    study._storage._get_trial(dead._trial_id).datetime_start = \
        datetime.now() - timedelta(seconds=age)
    again = ask(study)[1]
    assert again == leaves[0] or not free
    assert study.sampler.view(study).tree.root.running == (1 if free else 2)
    study.tell(dead, 3.0)  # it was alive: what it says counts
    assert N_LEAVES in [row.visits for row in _rows(study)]


def _rows(study):
    view = study.sampler.view(study)
    view.sync(study.get_trials(deepcopy=False))
    return view.tree.rows()


def test_the_heartbeat_of_the_storage_decides_too(tmp_path):
    leaves = proposals(new_study(seed=1), N_LEAVES)

    def opened():
        storage = optuna.storages.RDBStorage(f'sqlite:///{tmp_path}/s.db', heartbeat_interval=1,
                                             grace_period=1)
        return optuna.create_study(storage=storage, study_name='s', load_if_exists=True,
                                   direction='maximize', sampler=MCTSSampler(seed=0))

    study = opened()
    tell_all(study, leaves[1:])
    dead, path = ask(study)
    study._storage.record_heartbeat(dead._trial_id)
    assert path == leaves[0]
    other = opened()
    ask(other)
    assert other.sampler.view(other).tree.root.running == 2
    time.sleep(2.1)
    late = opened()
    assert ask(late)[1] == leaves[0]
    assert late.get_trials(deepcopy=False)[dead.number].state == TrialState.RUNNING


# ---------------------------------------------------------------------- what failed
def leaf_of(study, path):
    _rows(study)
    node = study.sampler.view(study).tree.root
    for name, value in path:
        (branch, ) = [branch for branch in node.branches if branch.name == name]
        node = branch.children[branch.choices.index(value)]
    return node


def test_a_failure_with_a_reason_is_a_verdict():
    study = new_study(seed=0)
    trial, path = ask(study)
    trial.set_user_attr('reason', 'the loss is not finite')
    study.tell(trial, state=TrialState.FAIL)
    assert leaf_of(study, path).closed
    paths = proposals(study, N_LEAVES - 1)
    assert path not in paths and len(set(paths)) == N_LEAVES - 1


@POLICIES
def test_a_failure_without_a_reason_is_tried_again_twice_at_most(policy):
    study, tried = new_study(seed=0, **policy), []
    for _ in range(N_LEAVES + 2):
        trial, path = ask(study)
        tried.append(path)
        if path == tried[0]:
            study.tell(trial, state=TrialState.FAIL)  # Ctrl-C, no memory, storage away
        else:
            study.tell(trial, 1.0)
    assert len(set(tried)) == N_LEAVES and tried.count(tried[0]) == 3
    assert study.sampler.view(study).tree.root.closed or leaf_of(study, tried[0]).closed


def test_an_accident_is_forgotten_when_the_leaf_works():
    """In whatever order the results come; the model of the options knows nothing of it either."""
    from autokd_mm.search import StudyTree
    from autokd_mm.search.option_model import OptionModel
    steps = proposals(new_study(seed=0), 6)
    found = []
    for order in ([0, 1, 2, 3, 'fail', 'value'], ['value', 3, 2, 'fail', 1, 0],
                  [0, 'fail', 1, 'value', 'fail', 2, 3], [3, 2, 1, 0, 'value']):
        study = new_study(seed=0)
        for one in order:
            study.enqueue_trial(dict(steps[4 if isinstance(one, str) else one]))
            trial, _ = ask(study)
            if one == 'fail':
                study.tell(trial, state=TrialState.FAIL)
            else:
                study.tell(trial, 9.0 if one == 'value' else float(one))
        view = StudyTree(study.direction, model=OptionModel())
        view.sync(study.trials)
        posterior = view.tree.posterior()
        found.append((set(view.tree.rows()), posterior.mean.tolist(), posterior.scale))
    assert found[0] == found[1] == found[2] == found[3]


# ---------------------------------------------------------------------- values beyond belief
def scales(values):
    scale = Scale()
    for value in values:
        scale.add(value, [Sums()])
    return float(scale.low), float(scale.width)


@pytest.mark.parametrize('spurious', [1e30, -1e30, 1e6, 1.7e308])
def test_one_spurious_value_changes_the_scale_of_nothing_else(spurious):
    rng = random.Random(0)
    for n in range(5, 60, 3):
        values = [rng.random() for _ in range(n)]
        low, width = scales([*values, spurious])
        ordered = sorted(values)
        assert low + width == pytest.approx(max(values))  # the best is the best of the others
        quartile = int(0.25 * n)
        assert low in ordered[max(quartile - 1, 0):quartile + 1]
        assert scales([spurious, *values]) == (low, width)


def test_one_outlier_in_twenty_changes_the_scale_of_nothing_else():
    rng = random.Random(0)
    values = [rng.random() for _ in range(200)]
    low, width = scales(values + [1e3 * 10**n for n in range(10)])
    assert low + width == pytest.approx(max(values)) and low < 0.35


def test_a_find_is_no_outlier():
    rng = random.Random(0)
    values = [rng.gauss(0, 0.01) for _ in range(50)]
    low, width = scales(values + [0.1])  # ten standard deviations above all others
    assert low + width == pytest.approx(0.1)


def test_outliers_come_and_go_without_a_trace():
    """The sums are those of the values in any other order."""
    rng, found = random.Random(1), []
    values = [rng.gauss(0, 1) * 10**rng.choice([0] * 39 + [30]) for _ in range(80)]
    for _ in range(4):
        rng.shuffle(values)
        scale, root = Scale(), Sums()
        for value in values:
            root.worst += 1
            scale.add(value, [root])
        found.append((root.total, root.scored, root.worst, root.outliers, scale.squares(root),
                      scale.mean(root)))
        assert root.visits == 80 and root.outliers > 0
    assert len(set(found)) == 1


@POLICIES
def test_a_search_with_a_spurious_value_goes_on_as_well(policy):
    def mean_of(spurious):
        total = 0.0
        for seed in range(6):
            study, values = new_study(seed=seed, **policy), []
            for number in range(30):
                trial, path = ask(study)
                values.append(value_of(path, seed))
                study.tell(trial, 1e30 if spurious and number == 4 else values[-1])
            total += sum(values[10:]) / 20
        return total / 6

    assert mean_of(True) > mean_of(False) - 0.35


# ---------------------------------------------------------------------- options under many names
def under_many_names(trial):
    """The same nine options behind each of six parents, of which 0 gains 1."""
    parent = trial.suggest_categorical('parent', tuple(range(6)))
    return float(trial.suggest_categorical(f'child(of {parent})', tuple(range(9))) == 0)


def test_options_are_shared_by_what_shared_name_says():
    def hits(**args):
        total = 0.0
        for seed in range(4):
            study = new_study(seed=seed, **args)
            study.optimize(under_many_names, n_trials=20)
            total += sum(trial.value for trial in study.trials)
        return total

    assert hits(shared_name=level_of) > 1.3 * hits()
    assert hits() == hits(shared_name=str)


def test_our_searches_share_the_levels_of_the_space():
    from autokd_mm.search import build_sampler
    sampler = build_sampler(dict(type='MCTSSampler'), 0, shared_name=level_of)
    study = new_study(sampler=sampler)
    study.optimize(under_many_names, n_trials=3)
    model = study.sampler.view(study).tree.model
    names = {key[0] for key in model._features if key}
    assert names == {'parent', 'child'}
    assert isinstance(build_sampler(dict(type='RandomSampler'), 0, shared_name=level_of),
                      optuna.samplers.RandomSampler)


# ---------------------------------------------------------------------- nothing new is left
def asks(*names):
    def objective(trial):
        return float(sum(trial.suggest_categorical(name, (0, 1)) for name in names))
    return objective


def answer_sets(trials):
    return [frozenset(trial.params.items()) for trial in trials]


@POLICIES
def test_a_space_that_is_used_up_is_said_once_and_measured_evenly(policy):
    study = new_study(seed=0, **policy)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        study.optimize(asks('x', 'y'), n_trials=4)
        assert not [w for w in caught if issubclass(w.category, AutoKDWarning)]
        study.optimize(asks('x', 'y'), n_trials=8)
    said = [str(w.message) for w in caught if issubclass(w.category, AutoKDWarning)]
    assert len(said) == 1 and 'everything in the space has been tried' in said[0]
    assert set(Counter(answer_sets(study.trials)).values()) == {3}


@POLICIES
def test_a_space_that_is_used_up_stops_the_search_by_choice(policy):
    study = new_study(seed=0, when_used_up='stop', **policy)
    study.optimize(asks('x', 'y'), n_trials=30)
    assert len(study.trials) == len(set(answer_sets(study.trials))) == 4
    with pytest.raises(SpaceUsedUp, match='has been tried'):
        study.ask()
    assert TrialState.RUNNING not in {trial.state for trial in study.trials}


@POLICIES
@pytest.mark.parametrize('first', [3, 4])
def test_a_study_resumed_with_more_questions(policy, first):
    study = new_study(seed=0, **policy)
    study.optimize(asks('x', 'y'), n_trials=first)
    with warnings.catch_warnings():
        warnings.simplefilter('error', AutoKDWarning)
        study.optimize(asks('x', 'y', 'z'), n_trials=8)
    assert len(set(answer_sets(study.trials[first:]))) == 8


@POLICIES
@pytest.mark.parametrize('first', [3, 8])
def test_a_study_resumed_with_fewer_questions(policy, first):
    study = new_study(seed=0, **policy)
    study.optimize(asks('x', 'y', 'z'), n_trials=first)
    with warnings.catch_warnings():
        warnings.simplefilter('error', AutoKDWarning)
        study.optimize(asks('x', 'y'), n_trials=4)
    assert len(set(answer_sets(study.trials[first:]))) == 4


# ---------------------------------------------------------------------- several objectives
def test_several_objectives_leave_no_trial_running():
    study = optuna.create_study(directions=['maximize', 'minimize'], sampler=MCTSSampler())
    for call in (study.ask, lambda: study.optimize(lambda trial: (1.0, 2.0), n_trials=1)):
        with pytest.raises(ValueError, match='one objective, this one has 2'):
            call()
    assert [trial.state for trial in study.trials] == [TrialState.FAIL] * 2


@POLICIES
def test_trials_that_were_asked_nothing_use_nothing_up(policy):
    """A measured baseline, a failure or a pruning before the first question."""
    study = new_study(seed=0, when_used_up='stop', **policy)
    study.add_trial(optuna.trial.create_trial(value=0.3))
    for state in (TrialState.FAIL, TrialState.FAIL, TrialState.FAIL):
        study.tell(study.ask(), state=state)
    study.tell(study.ask(), 0.1)
    study.optimize(asks('x', 'y'), n_trials=30)
    assert len(set(answer_sets(study.trials)) - {frozenset(), ()}) >= 4
    asked = [trial for trial in study.trials if trial.params]
    assert len(asked) == 4


@POLICIES
def test_two_workers_begin_at_once(policy):
    study = new_study(seed=0, when_used_up='stop', **policy)
    first, second = study.ask(), study.ask()
    for trial in (first, second):
        study.tell(trial, float(trial.suggest_categorical('x', ['a', 'b']) == 'a'))
    with pytest.raises(SpaceUsedUp):
        study.ask()


@POLICIES
@pytest.mark.parametrize('choices, number', [(['a', 'a', 'b', 'c'], 3), ([1, True, 2, 1.0], 2)])
def test_choices_that_are_equal_are_one(policy, choices, number):
    study = new_study(seed=0, **policy)
    study.optimize(lambda trial: float(trial.suggest_categorical('x', choices) == 'b')
                   + trial.suggest_categorical('y', range(4)) / 10, n_trials=4 * number)
    assert len({(trial.params['x'], trial.params['y']) for trial in study.trials}) == 4 * number


def test_numbers_of_numpy_are_numbers():
    study = optuna.create_study(sampler=MCTSSampler(
        seed=np.int64(3), draw=np.float32(0.5), n_warmup_trials=np.int32(1)))
    study.optimize(lambda trial: trial.suggest_categorical('x', [1, 2]), n_trials=2)


class GrpcStorageProxy(InMemoryStorage):
    """As Optuna's: what comes back has its parameters in an order of its own."""

    def get_all_trials(self, *args, **kwargs):
        trials = [copy.deepcopy(trial) for trial in super().get_all_trials(*args, **kwargs)]
        for trial in trials:
            trial.params = dict(sorted(trial.params.items(),
                                       key=lambda item: zlib.crc32(item[0].encode())))
        return trials


def test_a_storage_that_forgets_the_order_of_asking():
    def objective(trial):
        if trial.suggest_categorical('kind', ('a', 'b')) == 'a':
            return float(trial.suggest_categorical('width', (1, 2, 3))
                         + trial.suggest_categorical('depth', (1, 2)))
        return float(trial.suggest_categorical('alpha', (1, 2, 3)))

    for seed in range(3):
        study = optuna.create_study(storage=GrpcStorageProxy(), direction='maximize',
                                    sampler=MCTSSampler(seed=seed))
        study.optimize(objective, n_trials=9)
        assert len({frozenset(trial.params.items()) for trial in study.trials}) == 9


def test_a_range_that_depends_on_an_earlier_answer():
    """Parts of the range have names that come again, so the model stays small, and learns."""
    def objective(trial):
        low = trial.suggest_float('low', 0, 1)
        return -abs(low - 0.31) - abs(trial.suggest_float('high', low, 1) - 0.74)

    found = []
    for seed in range(3):
        sampler = MCTSSampler(seed=seed)
        study = optuna.create_study(direction='maximize', sampler=sampler)
        study.optimize(objective, n_trials=80)
        found.append(study.best_value)
        assert len(sampler.view(study).tree.model) < 400
        assert 'high ∈ 0/1' in study.sampler.view(study).describe(None)
    assert sum(found) / 3 > -0.05  # random: -0.09


def test_a_trial_that_is_asked_by_another_sampler():
    """A trial is pickled with its study, and the tree is not."""
    def search(elsewhere):
        study = optuna.create_study(direction='maximize', sampler=MCTSSampler(seed=0))
        for _ in range(12):
            trial = study.ask()
            if elsewhere:
                study.sampler = MCTSSampler(seed=0)
            value = sum(trial.suggest_categorical(name, (0, 1, 2)) for name in 'abc')
            study.tell(trial, value)
        return [trial.params for trial in study.trials]

    assert search(True) == search(False)


@pytest.mark.parametrize('seconds', [1e12, float('inf'), 1e-3])
def test_any_number_of_seconds_may_be_given(seconds):
    study = optuna.create_study(sampler=MCTSSampler(seed=0, stale_after=seconds))
    for _ in range(3):
        study.ask().suggest_categorical('x', (1, 2, 3, 4))


def test_names_that_are_none_are_refused():
    study = optuna.create_study(sampler=MCTSSampler(seed=0, shared_name=lambda name: [name]))
    with pytest.raises(ValueError, match="shared_name must return a string, of 'x'"):
        for _ in range(3):
            trial = study.ask()
            study.tell(trial, trial.suggest_categorical('x', (1, 2)))
    with pytest.raises(ValueError, match='shrinkage must be a finite number of at least 1e-08'):
        MCTSSampler(shrinkage=1e-16)


@pytest.mark.parametrize('plan', ['nonsense', [1, 2], [['x', 'y', 'z']], [['x', 'a']], 7])
def test_a_plan_that_somebody_has_edited(plan):
    study = optuna.create_study(sampler=MCTSSampler(seed=0))
    for _ in range(3):
        trial = study.ask()
        study.tell(trial, trial.suggest_categorical('x', (1, 2, 3)))
    left = study.ask()
    study._storage.set_trial_system_attr(left._trial_id, 'mcts:plan', plan)
    study.ask().suggest_categorical('x', (1, 2, 3))
