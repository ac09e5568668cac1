import copy
import pickle
import random

import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from autokd_mm.search.sampler import MCTSSampler

optuna.logging.set_verbosity(optuna.logging.ERROR)


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


# ---------------------------------------------------------------------- arguments
@pytest.mark.parametrize('args, message', [
    (dict(seed=1.5), 'seed must be an integer or None, got 1.5'),
    (dict(exploration=-1), 'exploration must be a finite number >= 0, got -1'),
    (dict(exploration='1'), "exploration must be a finite number >= 0, got '1'"),
    (dict(exploration=float('nan')), 'exploration must be a finite number >= 0, got nan'),
    (dict(virtual_loss=float('inf')), 'virtual_loss must be a finite number >= 0, got inf'),
    (dict(n_warmup_trials=-1), 'n_warmup_trials must be an integer >= 0, got -1'),
    (dict(n_warmup_trials=True), 'n_warmup_trials must be an integer >= 0, got True'),
    (dict(independent_sampler='x'), "independent_sampler must be an Optuna sampler, got 'x'"),
])
def test_bad_arguments(args, message):
    with pytest.raises(ValueError) as info:
        MCTSSampler(**args)
    assert str(info.value) == message


def test_several_objectives_are_refused():
    study = optuna.create_study(directions=['maximize', 'minimize'], sampler=MCTSSampler())
    with pytest.raises(ValueError, match='one objective'):
        study.ask()


# ---------------------------------------------------------------------- what is proposed
def test_the_seed_decides():
    one, same, other = (proposals(new_study(seed=s), 40) for s in (1, 1, 2))
    assert one == same != other
    assert proposals(new_study(), 10) != proposals(new_study(), 10)  # no seed: another each time


@pytest.mark.parametrize('scale, shift', [(1000, 7), (1e-6, 0), (0.1, -1e3)])
def test_unit_and_origin_of_the_value_do_not_matter(scale, shift):
    plain = proposals(new_study(seed=0), 60)
    assert proposals(new_study(seed=0), 60, lambda p: scale * value_of(p) + shift) == plain


def test_minimise_mirrors_maximise():
    up = proposals(new_study(seed=0), 60)
    assert proposals(new_study('minimize', seed=0), 60, lambda p: -value_of(p)) == up


def test_the_direction_is_respected():
    def n_channel(direction, score):
        study = new_study(direction, seed=0, exploration=0.1, n_warmup_trials=4)
        return sum(dict(path)['transform'] == 'channel'
                   for path in proposals(study, 16, score)[8:])

    def channel(path):
        return float(dict(path)['transform'] == 'channel')

    assert n_channel('maximize', channel) == n_channel('minimize', lambda p: -channel(p)) >= 6
    assert n_channel('minimize', channel) <= 2


def test_warm_up_is_uniform_and_what_follows_is_not():
    paths = proposals(new_study(seed=0, n_warmup_trials=30), 30)
    counts = [sum(dict(p)['transform'] == t for p in paths)
              for t in ('none', 'spatial', 'channel', 'mask')]
    assert min(counts) >= 3
    study = new_study(seed=0, n_warmup_trials=0)
    first = [dict(p)['transform'] for p in proposals(study, 4)]
    assert sorted(first) == ['channel', 'mask', 'none', 'spatial']  # nobody is tried twice


def test_the_answers_to_one_trial_are_independent_of_each_other():
    study, agree = new_study(seed=0, n_warmup_trials=100), 0
    for _ in range(100):
        trial = study.ask()
        a, b = (trial.suggest_categorical(name, (0, 1, 2, 3)) for name in 'ab')
        agree += a == b
    assert 10 <= agree <= 40


@pytest.mark.parametrize('n_warmup_trials', [0, 10, 1000])
def test_every_leaf_once_before_any_twice(n_warmup_trials):
    study = new_study(seed=0, n_warmup_trials=n_warmup_trials)
    paths = proposals(study, N_LEAVES + 20)
    assert len(set(paths[:N_LEAVES])) == N_LEAVES
    assert study.sampler.view(study).tree.root.visits >= N_LEAVES + 19


def test_a_broken_region_is_left():
    study, paths = new_study(seed=0, n_warmup_trials=4), []
    for _ in range(40):
        trial, path = ask(study)
        paths.append(dict(path)['transform'])
        if paths[-1] == 'mask':
            study.tell(trial, state=TrialState.FAIL)
        else:
            study.tell(trial, 1.0 + 0.01 * value_of(path))
    assert paths.count('mask') < 8


def test_one_diverged_candidate_does_not_end_the_search():
    def score(path):
        return -1e9 if path == bad else value_of(path)
    bad = None
    clean = proposals(new_study(seed=0), 30)
    bad = clean[20]
    values = [value_of(p) for p in proposals(new_study(seed=0), 50, score)[30:]]
    assert sum(values) / 20 > sum(value_of(p) for p in clean[:10]) / 10


def test_enqueued_trials_count_and_take_no_random_number():
    warm = proposals(new_study(seed=5), 3)
    study = new_study(seed=0)
    for path in warm:
        study.enqueue_trial(dict(path))
    paths = proposals(study, 30)
    assert paths[:3] == warm
    assert len(set(paths)) == 30
    # Trial 3 is asked with the generators of ordinal 3, whoever chose the first three.
    assert paths[3] == proposals(new_study(seed=0), 4)[3]


def test_parameters_given_in_part():
    study = new_study(seed=0)
    study.enqueue_trial({'distance': 'kl'})
    (path, ) = proposals(study, 1)
    assert dict(path)['distance'] == 'kl' and len(path) >= 3


# ---------------------------------------------------------------------- numeric, single
def mixed(trial):
    trial.suggest_categorical('only', ('one', ))
    loss = trial.suggest_categorical('loss', ('kl', 'l2'))
    trial.suggest_float('lr', 1e-3, 1, log=True)
    trial.suggest_int('steps', 1, 9)
    return trial.suggest_categorical('x', (1, 2)) + (loss == 'kl')


def test_numeric_parameters_are_sampled_and_reproducible():
    runs = []
    for _ in range(2):
        study = new_study(seed=0)
        study.optimize(mixed, n_trials=20)
        runs.append([t.params for t in study.trials])
    assert runs[0] == runs[1]
    assert len({p['lr'] for p in runs[0]}) == 20 and len({p['steps'] for p in runs[0]}) > 3


def test_the_independent_sampler_is_asked_for_numbers_only():
    class Fixed(RandomSampler):
        asked = set()

        def sample_independent(self, study, trial, name, distribution):
            self.asked.add(name)
            return distribution.low

    study = new_study(seed=0, independent_sampler=Fixed(seed=0))
    study.optimize(mixed, n_trials=5)
    assert Fixed.asked == {'lr', 'steps'}
    assert {t.params['lr'] for t in study.trials} == {1e-3}


# ---------------------------------------------------------------------- resume
def open_study(path, **kwargs):
    """As a new process would: new storage, new study, new sampler."""
    storage = JournalStorage(JournalFileBackend(str(path)))
    return optuna.create_study(study_name='s', storage=storage, load_if_exists=True,
                               direction='maximize', sampler=MCTSSampler(seed=3, **kwargs))


def test_a_resumed_search_proposes_what_an_uninterrupted_one_does(tmp_path):
    straight = proposals(open_study(tmp_path / 'a'), 30)
    assert proposals(open_study(tmp_path / 'b'), 12) == straight[:12]
    assert proposals(open_study(tmp_path / 'b'), 18) == straight[12:]


@pytest.mark.parametrize('asked', [0, 2, 9])
def test_a_trial_that_died_and_was_tried_again_changes_nothing(tmp_path, asked):
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

    straight = proposals(open_study(tmp_path / 'a'), 30)
    study = open_study(tmp_path / 'b')
    assert proposals(study, 12) == straight[:12]
    try:
        suggest(Dies(study.ask()))
    except Dead:
        pass

    study = open_study(tmp_path / 'b')
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


def test_workers_that_ask_before_any_has_answered_spread_out():
    study = new_study(seed=0, n_warmup_trials=0)
    trials = [study.ask() for _ in range(8)]
    first = [t.suggest_categorical('transform', ('none', 'spatial', 'channel', 'mask'))
             for t in trials]
    assert {first.count(choice) for choice in first} == {2}


def test_workers_of_other_processes_are_seen(tmp_path):
    paths = []
    for _ in range(8):  # a storage and a sampler for each, all trials stay running
        paths.append(ask(open_study(tmp_path / 'a', n_warmup_trials=0))[1])
    assert len(set(paths)) == 8
    first = [dict(path)['transform'] for path in paths]
    assert {first.count(choice) for choice in first} == {2}


def test_without_virtual_loss_workers_crowd():
    def crowd(virtual_loss):
        study = new_study(seed=0, n_warmup_trials=0, virtual_loss=virtual_loss, exploration=0.1)
        proposals(study, 12)
        first = [dict(ask(study)[1])['transform'] for _ in range(8)]
        return max(first.count(choice) for choice in first)
    assert crowd(3.0) < crowd(0.0)


def test_threads():
    study = new_study(seed=0)
    study.optimize(objective, n_trials=56, n_jobs=8)
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 56
    trial, _ = ask(study)
    tree = study.sampler.view(study).tree
    assert (tree.root.visits, tree.root.running) == (56, 1)
    assert len({tuple(t.params.items()) for t in study.trials}) >= 55


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


# ---------------------------------------------------------------------- is it any good
def test_it_finds_better_leaves_than_random_search():
    """A space of 4^5 leaves and 60 trials: mean best value over 20 landscapes, in standard
    deviations of the landscape, against random search with the same budget."""
    def best(sampler, landscape):
        study, found = new_study(sampler=sampler), []
        for _ in range(60):
            trial = study.ask()
            path = tuple((name, trial.suggest_categorical(name, (0, 1, 2, 3))) for name in 'abcde')
            found.append(value_of(path, landscape))
            study.tell(trial, found[-1])
        return max(found)

    gains = [best(MCTSSampler(seed=s), s) - best(RandomSampler(seed=s), s) for s in range(20)]
    spread = 5 ** 0.5  # of five independent standard normal main effects
    assert sum(gains) / 20 / spread > 0.1, gains
    assert sum(gain > 0 for gain in gains) > sum(gain < 0 for gain in gains)


def test_the_cost_of_a_question_does_not_grow_with_finished_trials(monkeypatch):
    """Counted, not timed: a finished trial is read into the tree once."""
    from autokd_mm.search import study_tree
    read = []
    real = study_tree._steps
    monkeypatch.setattr(study_tree, '_steps', lambda t, *a: read.append(t.number) or real(t, *a))
    proposals(new_study(seed=0), 50)
    assert max(read.count(n) for n in range(50)) <= 2  # as running if at all, and as finished
