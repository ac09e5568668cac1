import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.trial import TrialState
from toy_space import N_LEAVES, POLICIES, ask, new_study, proposals, value_of

from autokd_mm.search.sampler import MCTSSampler


# ---------------------------------------------------------------------- arguments
@pytest.mark.parametrize('args, message', [
    (dict(seed=1.5), 'seed must be an integer or None, got 1.5'),
    (dict(exploration=-1), 'exploration must be a finite number >= 0, got -1'),
    (dict(exploration='1'), "exploration must be a finite number >= 0, got '1'"),
    (dict(exploration=float('nan')), 'exploration must be a finite number >= 0, got nan'),
    (dict(virtual_loss=float('inf')), 'virtual_loss must be a finite number >= 0, got inf'),
    (dict(n_warmup_trials=-1), 'n_warmup_trials must be an integer >= 0, got -1'),
    (dict(policy='ucb'), "policy: 'ucb' is unknown, did you mean 'uct'"),
    (dict(shrinkage=0), 'shrinkage must be a finite number of at least 1e-08, or None, got 0'),
    (dict(gp_share=1.5), 'gp_share must be a number from 0 to 1, got 1.5'),
    (dict(gp_share='x'), "gp_share must be a number from 0 to 1, got 'x'"),
    (dict(draw=-0.5), 'draw must be a finite number >= 0, got -0.5'),
    (dict(pairs=1), 'pairs must be True or False, got 1'),
    (dict(look_ahead=None), 'look_ahead must be True or False, got None'),
    (dict(shared_name='level'), 'shared_name must be a function from the name'),
    (dict(stale_after=0), 'stale_after must be seconds > 0 or None, got 0'),
    (dict(n_warmup_trials=True), 'n_warmup_trials must be an integer >= 0, got True'),
    (dict(independent_sampler='x'), "independent_sampler must be an Optuna sampler, got 'x'"),
])
def test_bad_arguments(args, message):
    with pytest.raises(ValueError) as info:
        MCTSSampler(**args)
    assert str(info.value).startswith(message)


def test_several_objectives_are_refused():
    study = optuna.create_study(directions=['maximize', 'minimize'], sampler=MCTSSampler())
    with pytest.raises(ValueError, match='one objective'):
        study.ask()


# ---------------------------------------------------------------------- what is proposed
@POLICIES
def test_the_seed_decides(policy):
    one, same, other = (proposals(new_study(seed=s, **policy), 40) for s in (1, 1, 2))
    assert one == same != other
    assert proposals(new_study(), 10) != proposals(new_study(), 10)  # no seed: another each time


@POLICIES
@pytest.mark.parametrize('scale, shift', [(1000, 7), (1e-6, 0), (0.1, -1e3)])
def test_unit_and_origin_of_the_value_do_not_matter(scale, shift, policy):
    plain = proposals(new_study(seed=0, **policy), 60)
    assert proposals(new_study(seed=0, **policy), 60,
                     lambda p: scale * value_of(p) + shift) == plain


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
    study = new_study(seed=0, policy='uct')
    first = [dict(p)['transform'] for p in proposals(study, 4)]
    assert sorted(first) == ['channel', 'mask', 'none', 'spatial']  # nobody is tried twice


def test_the_answers_to_one_trial_are_independent_of_each_other():
    study, agree = new_study(seed=0, n_warmup_trials=100), 0
    for _ in range(100):
        trial = study.ask()
        a, b = (trial.suggest_categorical(name, (0, 1, 2, 3)) for name in 'ab')
        agree += a == b
    assert 10 <= agree <= 40


@POLICIES
@pytest.mark.parametrize('n_warmup_trials', [0, 10, 1000])
def test_every_leaf_once_before_any_twice(n_warmup_trials, policy):
    study = new_study(seed=0, n_warmup_trials=n_warmup_trials, **policy)
    paths = proposals(study, N_LEAVES + 20)
    assert len(set(paths[:N_LEAVES])) == N_LEAVES
    assert study.sampler.view(study).tree.root.visits >= N_LEAVES + 19


@POLICIES
def test_a_broken_region_is_left(policy):
    """24 of the 60 leaves fail: of 20 x 15 trials blind choices would try 120, those that know only
    the levels' sizes 76."""
    broken = 0
    for seed in range(20):
        study = new_study(seed=seed, gp_share=0.0, **policy)
        for number in range(23):
            trial, path = ask(study)
            if dict(path)['transform'] == 'mask':
                study.tell(trial, state=TrialState.FAIL)
                broken += number >= 8
            else:
                study.tell(trial, 1.0 + 0.01 * value_of(path))
    assert broken <= 44


@POLICIES
def test_one_diverged_candidate_does_not_end_the_search(policy):
    """The mean of 20 trials behind the accident, of four searches, is above that of all leaves."""
    def score(path):
        return -1e9 if path == bad else value_of(path, 1)
    found = []
    for seed in range(4):
        bad = proposals(new_study(seed=seed, **policy), 10, lambda p: value_of(p, 1))[5]
        paths = proposals(new_study(seed=seed, **policy), 26, score)
        assert paths[5] == bad
        found += [value_of(path, 1) for path in paths[6:]]
    leaves = proposals(new_study(sampler=RandomSampler(seed=0)), 500, lambda p: 0.0)
    mean = sum(value_of(p, 1) for p in set(leaves)) / len(set(leaves))
    assert sum(found) / len(found) > mean + 0.5


def test_given_answers_do_not_close_the_way():
    """A trial that died is taken up with what it had been asked: the rest is what it would have
    been."""
    study = new_study(seed=0, gp_share=1.0)
    whole = proposals(study, 30)
    for number in range(11, 30):
        for asked in range(1, len(whole[number])):
            again = new_study(seed=0, gp_share=1.0)
            again.add_trials(study.trials[:number])
            again.enqueue_trial(dict(whole[number][:asked]))
            assert ask(again)[1] == whole[number]


def test_enqueued_trials_count_and_take_no_random_number():
    warm = proposals(new_study(seed=5), 3)
    study = new_study(seed=0)
    for path in warm:
        study.enqueue_trial(dict(path))
    paths = proposals(study, 30)
    assert paths[:3] == warm
    assert len(set(paths)) == 30
    # Trial 3 is asked with the generators of ordinal 3, whoever chose the first three.
    blind = [new_study(seed=0, n_warmup_trials=10) for _ in range(2)]
    for path in warm:
        blind[0].enqueue_trial(dict(path))
    assert proposals(blind[0], 4)[3] == proposals(blind[1], 4)[3]


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


# ---------------------------------------------------------------------- is it any good
@pytest.mark.parametrize('policy, gain', [(dict(), 0.5), (dict(policy='uct'), 0.1)])
def test_it_finds_better_leaves_than_random_search(policy, gain):
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

    gains = [best(MCTSSampler(seed=s, **policy), s) - best(RandomSampler(seed=s), s)
             for s in range(20)]
    spread = 5 ** 0.5  # of five independent standard normal main effects
    assert sum(gains) / 20 / spread > gain, gains
    assert sum(gain > 0 for gain in gains) > sum(gain < 0 for gain in gains)


def test_the_cost_of_a_question_does_not_grow_with_finished_trials(monkeypatch):
    """Counted, not timed: a finished trial is read into the tree once."""
    from autokd_mm.search import study_tree
    read = []
    real = study_tree._steps
    monkeypatch.setattr(study_tree, '_steps', lambda t, *a: read.append(t.number) or real(t, *a))
    proposals(new_study(seed=0), 50)
    assert max(read.count(n) for n in range(50)) <= 2  # as running if at all, and as finished


@pytest.mark.parametrize('policy', ['thompson', 'uct'])
def test_a_trial_that_has_finished_does_not_run_again(policy):
    study = optuna.create_study(sampler=MCTSSampler(seed=0, policy=policy))
    study.optimize(lambda trial: trial.suggest_categorical('x', (0, 1)), n_trials=1)
    study.sampler.before_trial(study, study.trials[0])
    rows = list(study.sampler.view(study).tree.rows())
    assert [(row.visits, row.running) for row in rows] == [(1, 0), (1, 0)]
