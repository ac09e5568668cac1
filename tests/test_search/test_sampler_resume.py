"""What of a search does not depend on the process: resume, copies, parallel workers."""
import copy
import pickle

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from toy_space import N_LEAVES, POLICIES, ask, new_study, objective, proposals, suggest, value_of

from autokd_mm.search.sampler import MCTSSampler


# ---------------------------------------------------------------------- resume
def open_study(path, **kwargs):
    """As a new process would: new storage, new study, new sampler."""
    storage = JournalStorage(JournalFileBackend(str(path)))
    return optuna.create_study(study_name='s', storage=storage, load_if_exists=True,
                               direction='maximize', sampler=MCTSSampler(seed=3, **kwargs))


@POLICIES
def test_a_resumed_search_proposes_what_an_uninterrupted_one_does(tmp_path, policy):
    straight = proposals(open_study(tmp_path / 'a', **policy), 30)
    assert proposals(open_study(tmp_path / 'b', **policy), 12) == straight[:12]
    assert proposals(open_study(tmp_path / 'b', **policy), 18) == straight[12:]


@POLICIES
def test_the_order_of_finishing_changes_no_proposal(policy):
    """Grown in the order of finishing, with trials still running, or read from the storage."""
    study = new_study(seed=0, **policy)
    trials = [ask(study) for _ in range(12)]
    for trial, path in reversed(trials[:10]):
        study.tell(trial, value_of(path) if trial.number % 4 else None,
                   state=None if trial.number % 4 else TrialState.FAIL)
        study.sampler.before_trial(study, study.trials[-1])
    again = copy.deepcopy(study)
    again.sampler = MCTSSampler(seed=0, **policy)
    assert ask(again)[1] == ask(study)[1]


@POLICIES
@pytest.mark.parametrize('asked', [0, 2, 9])
def test_a_trial_that_died_and_was_tried_again_changes_nothing(tmp_path, asked, policy):
    """``asked``: how many parameters were in the storage when the worker died."""
    class Dead(Exception):
        pass

    class Dies:
        def __init__(self, trial):
            self.trial, self.left = trial, asked

        def suggest_categorical(self, *args):
            if not self.left:
                raise Dead
            self.left -= 1
            return self.trial.suggest_categorical(*args)

        @property
        def params(self):
            return self.trial.params

    straight = proposals(open_study(tmp_path / 'a', **policy), 30)
    study = open_study(tmp_path / 'b', **policy)
    assert proposals(study, 12) == straight[:12]
    try:
        suggest(Dies(study.ask()))
    except Dead:
        pass

    study = open_study(tmp_path / 'b', **policy)
    dead = study.get_trials()[-1]
    assert dead.state == TrialState.RUNNING and len(dead.params) <= asked
    study._storage.set_trial_user_attr(dead._trial_id, 'interrupted', True)
    study.tell(dead.number, state=TrialState.FAIL)
    study.enqueue_trial(dead.params)
    assert proposals(study, 18) == straight[12:]


def test_a_pickled_or_copied_sampler_goes_on_the_same_way():
    straight = proposals(new_study(seed=0), 30)
    for clone in (lambda s: pickle.loads(pickle.dumps(s)), copy.deepcopy):
        study = new_study(seed=0)
        assert proposals(study, 12) == straight[:12]
        study.sampler = clone(study.sampler)
        assert proposals(study, 18) == straight[12:]


def test_one_sampler_for_two_studies():
    sampler = MCTSSampler(seed=0)
    one, other = new_study(sampler=sampler), new_study(sampler=sampler)
    paths = [proposals(study, 1) for _ in range(20) for study in (one, other)]
    assert paths[0::2] == paths[1::2] == [[path] for path in proposals(new_study(seed=0), 20)]


# ---------------------------------------------------------------------- parallel
@pytest.mark.parametrize('n_warmup_trials', [0, 16])
def test_eight_workers_never_evaluate_the_same_leaf(n_warmup_trials):
    study, paths = new_study(seed=0, n_warmup_trials=n_warmup_trials), []
    for _ in range(7):
        batch = [ask(study) for _ in range(8)]
        for trial, path in reversed(batch):
            study.tell(trial, value_of(path))
            paths.append(path)
    assert len(set(paths)) == 56


def test_drawn_effects_spread_workers_without_virtual_loss():
    study = new_study(seed=0)
    proposals(study, 12)
    paths = [ask(study)[1] for _ in range(8)]
    assert len(set(paths)) == 8 and len({dict(path)['transform'] for path in paths}) > 1


def test_workers_that_ask_before_any_has_answered_spread_out():
    study = new_study(seed=0, policy='uct')
    trials = [study.ask() for _ in range(8)]
    first = [t.suggest_categorical('transform', ('none', 'spatial', 'channel', 'mask'))
             for t in trials]
    assert {first.count(choice) for choice in first} == {2}


def test_workers_of_other_processes_are_seen(tmp_path):
    paths = []
    for _ in range(8):  # a storage and a sampler for each, all trials stay running
        paths.append(ask(open_study(tmp_path / 'a', policy='uct'))[1])
    assert len(set(paths)) == 8
    first = [dict(path)['transform'] for path in paths]
    assert {first.count(choice) for choice in first} == {2}


def test_without_virtual_loss_workers_crowd():
    def crowd(virtual_loss):
        study = new_study(seed=0, policy='uct', virtual_loss=virtual_loss, exploration=0.1)
        proposals(study, 12)
        first = [dict(ask(study)[1])['transform'] for _ in range(8)]
        return max(first.count(choice) for choice in first)
    assert crowd(3.0) < crowd(0.0)


@pytest.mark.parametrize('pairs', [False, True])
def test_the_plans_of_other_processes_are_seen(tmp_path, pairs):
    """Two leaves are left. A worker has planned to go to one of them and given its first answer:
    the other worker, who knows only the storage, goes to the other one."""
    study = open_study(tmp_path / 'a', pairs=pairs)
    paths = proposals(study, N_LEAVES - 2)
    trial = study.ask()
    first = trial.suggest_categorical('transform', ('none', 'spatial', 'channel', 'mask'))
    _, other = ask(open_study(tmp_path / 'a', pairs=pairs))
    one = suggest(trial)
    assert one[0] == ('transform', first)
    assert len({*paths, one, other}) == N_LEAVES


def test_the_plan_of_a_trial_that_failed_is_open_again(tmp_path):
    study = open_study(tmp_path / 'a')
    paths = proposals(study, N_LEAVES - 1)
    trial = study.ask()
    trial.suggest_categorical('transform', ('none', 'spatial', 'channel', 'mask'))
    study.tell(trial, state=TrialState.FAIL)
    assert len({*paths, *proposals(open_study(tmp_path / 'a'), 1)}) == N_LEAVES


@pytest.mark.parametrize('policy, searches', [(dict(), 2), (dict(policy='uct'), 12),
                                              (dict(policy='uct', n_warmup_trials=30), 12)])
def test_threads(policy, searches):
    """Threads interrupt each other between the questions of one trial; not in every search, hence
    several where the policy is the one that once forgot to claim where it goes."""
    for seed in range(searches):
        study = new_study(seed=seed, **policy)
        study.optimize(objective, n_trials=56, n_jobs=8)
        assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 56
        trial, _ = ask(study)
        tree = study.sampler.view(study).tree
        assert (tree.root.visits, tree.root.running) == (56, 1)
        assert len({tuple(t.params.items()) for t in study.trials[:56]}) == 56


@pytest.mark.parametrize('policy', [dict(), dict(pairs=True), dict(policy='uct')])
@pytest.mark.parametrize('seed', range(8))
def test_workers_between_two_questions_go_to_different_leaves(seed, policy):
    """Two leaves are left, and both workers are on their way before any of them is there."""
    leaves = proposals(new_study(seed=seed), N_LEAVES)
    study = new_study(seed=0, **policy)
    for path in leaves[2:]:
        study.enqueue_trial(dict(path))
        proposals(study, 1)
    one, other = study.ask(), study.ask()
    for trial in (one, other):
        trial.suggest_categorical('transform', ('none', 'spatial', 'channel', 'mask'))
    assert {suggest(one), suggest(other)} == set(leaves[:2])


def test_hyperband_shows_one_bracket_but_the_tree_sees_all():
    study = optuna.create_study(
        direction='maximize', sampler=MCTSSampler(seed=0),
        pruner=optuna.pruners.HyperbandPruner(min_resource=1, max_resource=9))

    def pruned(trial):
        value = objective(trial)
        for step in range(1, 10):
            trial.report(value * step / 9, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return value

    study.optimize(pruned, n_trials=30)
    assert TrialState.PRUNED in {t.state for t in study.trials}
    assert study.sampler.view(study).tree.root.visits == 29  # as of the last question
