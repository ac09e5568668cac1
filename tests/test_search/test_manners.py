"""What users of Optuna may expect of a sampler."""
import time
from datetime import datetime, timedelta

import optuna
import pytest
from optuna.trial import TrialState
from toy_space import N_LEAVES, POLICIES, ask, new_study, proposals

from autokd_mm.search import MCTSSampler

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
