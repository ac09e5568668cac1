"""What earlier searches say to the next one: made, kept, checked and pooled."""
import dataclasses
import json
import time
from itertools import starmap

import numpy as np
import optuna
import pytest

from autokd_mm import experience
from autokd_mm.errors import ConfigError, DataError
from autokd_mm.experience import (DEFAULT, load_prior, load_tasks, of_source, of_study, pool, read,
                                  recommend, remember, statistics, write)
from autokd_mm.experience import pooling
from autokd_mm.experience.sources import samples_of
from autokd_mm.search import MCTSSampler
from autokd_mm.space import DistillerSpace, Shapes, level_of

LOGITS, DISTANCES = ('none', 'kl', 'pearson_both'), ('l2', 'cosine')


def trials(best='kl', n=60, seed=0):
    rng = np.random.RandomState(seed)
    paths, rewards = [], []
    for _ in range(n):
        logits, distance = LOGITS[rng.randint(3)], DISTANCES[rng.randint(2)]
        paths.append([('logits', repr(logits)), ('distance', repr(distance))])
        rewards.append((logits == best) + 0.2 * (distance == 'l2') + 0.1 * rng.standard_normal())
    return paths, rewards


def task(name='a', best='kl', samples=1000, **how):
    return statistics(name, *trials(best, **how), samples=samples)


def test_what_is_written_is_read(tmp_path):
    path = str(tmp_path / 'e.json')
    write(path, [task('a'), task('b', 'none', None, seed=1)])
    found = read(path)
    assert found.left_out == () and [one.name for one in found.tasks] == ['a', 'b']
    for one, other in zip(found.tasks, [task('a'), task('b', 'none', None, seed=1)]):
        assert one.options == other.options and one.samples == other.samples
        np.testing.assert_allclose(one.counts, other.counts)
        np.testing.assert_allclose(one.sums, other.sums, atol=1e-4)
    again = str(tmp_path / 'again.json')
    write(again, found.tasks)
    assert open(again).read() == open(path).read()


def test_sums_are_of_the_rewards_on_the_scale_from_poor_to_best():
    paths = [[('logits', "'kl'")], [('logits', "'none'")]] * 6
    rewards = [float(n) for n in range(10)] + [None, float('nan')]
    one = statistics('a', paths, rewards)
    z = np.clip((np.arange(10) - 2) / 7, 0, 1)  # the lower quartile of ten is the third
    assert one.total == pytest.approx(z.sum()) and one.squares == pytest.approx(z @ z)
    assert one.counts.tolist() == [[6, 0], [0, 6]]
    assert one.sums[0, 0] == pytest.approx(z[::2].sum())


def test_the_number_of_a_teacher_says_nothing_to_another_task():
    space = DistillerSpace(shapes=Shapes(logits_teachers=('0', '1')))

    def reward(trial):
        spec = space.suggest(trial)
        return float(spec.logits == 'kl') + float(spec.logits_teacher == '0')

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0), direction='maximize')
    study.optimize(reward, n_trials=20)
    assert any('logits_teacher' in trial.params for trial in study.trials)
    levels = {level for level, _ in of_study(study).options}
    assert 'logits' in levels and 'logits_teacher' not in levels


def test_tasks_that_agree_are_believed_more_than_those_that_do_not():
    agree = pool([task(name, seed=n) for n, name in enumerate('abc')])
    differ = pool([task(name, best, seed=n) for n, (name, best) in
                   enumerate(zip('abc', LOGITS))])
    kl = ('logits', "'kl'")
    assert agree.options[kl].mean > 3 * abs(differ.options[kl].mean)
    assert agree.options[kl].worth > 1.5 * differ.options[kl].worth
    alone = pool([task('a')])
    assert alone.options[kl].worth < agree.options[kl].worth


def test_the_change_with_the_length_is_known():
    tasks = [task('a', 'kl', 1000), task('a', 'none', 100000, seed=1),
             task('b', 'kl', 1000, seed=2), task('b', 'none', 100000, seed=3)]
    short, long = pool(tasks, 1000).options, pool(tasks, 100000).options
    assert short['logits', "'kl'"].mean > short['logits', "'none'"].mean
    assert long['logits', "'kl'"].mean < long['logits', "'none'"].mean


def test_what_no_task_tells_apart_has_no_prior():
    paths, rewards = trials()
    paths = [path + [('temperature', '4')] for path in paths]
    assert {level for level, _ in pool([statistics('a', paths, rewards)]).options} == {
        'logits', 'distance'}


def study_of(n_trials=40):
    study = optuna.create_study(direction='minimize', study_name='mine')

    def objective(trial):
        distance = trial.suggest_categorical('distance(l2|cosine)', DISTANCES)
        trial.suggest_categorical('somebody_elses', (1, 2))
        trial.suggest_float('lr', 0, 1)
        return trial.number % 7 + 10 * (distance == 'cosine')
    study.optimize(objective, n_trials=n_trials)
    return study


def test_a_study_says_what_its_levels_are_worth():
    one = of_study(study_of())
    assert one.name == 'mine'
    assert one.options == (('distance', "'cosine'"), ('distance', "'l2'"))
    sums = dict(zip(one.options, np.diag(one.sums) / np.diag(one.counts)))
    assert sums['distance', "'l2'"] > sums['distance', "'cosine'"] + 0.2


def test_too_few_trials_say_nothing():
    with pytest.raises(DataError, match='mine: 9 trials say nothing'):
        of_study(study_of(9))
    with pytest.raises(DataError, match='no work dir with a study.journal'):
        of_source('/nowhere')


def edited(path, change):
    found = json.loads(open(path).read())
    change(found)
    with open(path, 'w') as file:
        json.dump(found, file)


@pytest.mark.parametrize('change, what', [
    (lambda e: e.update(space=0), 'is of version 0 of the space'),
    (lambda e: e.update(format='x'), 'is no experience'),
    (lambda e: e.update(tasks=[]), 'it has no tasks'),
    (lambda e: e['tasks'][0].update(trials=float('nan')), 'NaN is no number'),
    (lambda e: e['tasks'][0].update(trials=2**70), 'trials are more than a search has'),
    (lambda e: e['tasks'][0].update(trials=3), '3 is not a number of at least 10'),
    (lambda e: e['tasks'][0].update(total=10**9), 'out of range|do not fit|total'),
    (lambda e: e['tasks'][0]['counts'].pop(), 'another size'),
    (lambda e: e['tasks'][0]['counts'][1].__setitem__(0, 10**6), 'counts of pairs'),
    (lambda e: e['tasks'][0]['sums'][0].__setitem__(0, -5), 'out of range'),
    (lambda e: e['tasks'][0]['sums'][0].__setitem__(0, 'x'), 'x is not a number'),
    (lambda e: e['tasks'][0]['sums'][0].__setitem__(0, 0.5 * e['tasks'][0]['sums'][0][0]),
     'counts and sums do not fit'),
    (lambda e: e['tasks'][0].pop('squares'), 'squares is missing'),
    (lambda e: e['tasks'][0].update(options=[[1, 2]] * 5), 'an option is of another kind'),
    (lambda e: e['tasks'].__setitem__(0, 7), 'nothing in'),
    (lambda e: e['tasks'][0].update(options=[], counts=[], sums=[]), 'it has no option'),
], ids=range(16))
def test_what_does_not_fit_is_refused_in_one_line(tmp_path, change, what):
    path = str(tmp_path / 'e.json')
    write(path, [task()])
    edited(path, change)
    with pytest.raises(DataError, match=what) as caught:
        read(path)
    assert path in str(caught.value) and '\n' not in str(caught.value)


def test_the_fitting_part_is_used_and_the_rest_named(tmp_path):
    path = str(tmp_path / 'e.json')
    write(path, [task('good'), task('bad', seed=1)])

    def change(found):
        found['tasks'][0]['options'][0][0] = 'colour'
        found['tasks'][1]['trials'] = -1
    edited(path, change)
    said = []
    (one, ) = load_tasks(path, said.append)
    assert one.name == 'good' and {level for level, _ in one.options} == {'distance', 'logits'}
    (line, ) = said
    assert 'levels colour of task good' in line and 'task bad (-1 is not a number' in line
    before = open(path).read()
    with pytest.raises(DataError, match='would lose .*task bad'):
        remember(path, task('new'))
    assert open(path).read() == before


def test_damaged_and_huge_files_are_refused(tmp_path):
    path = tmp_path / 'e.json'
    write(str(path), [task()])
    path.write_text(path.read_text()[:-40])
    with pytest.raises(DataError, match='damaged, no JSON'):
        read(str(path))
    path.write_text('[' * 100000)
    with pytest.raises(DataError, match='damaged, no JSON'):
        read(str(path))
    path.write_bytes(b' ' * (10 * 10**6 + 1))
    with pytest.raises(DataError, match='^experience: [^(]* has 10,000,001 bytes'):
        read(str(path))
    with pytest.raises(DataError, match='cannot be read'):
        read(str(tmp_path / 'none.json'))


@pytest.mark.parametrize('given, what', [
    (3, 'must be'), (dict(fiel='x'), "'fiel' is unknown, did you mean 'file'"),
    (dict(without=['digit']), "'digit' is unknown, did you mean 'digits'"),
    (dict(without='digits'), 'must be a list'), (dict(without=5), 'must be a list'),
    (dict(without=True), 'must be a list'), (dict(without={'digits': 1}), 'must be a list'),
    (dict(file=3), 'must be a file')])
def test_mistakes_of_a_config_are_named(given, what):
    with pytest.raises(ConfigError, match=what) as caught:
        load_prior(given)
    assert str(caught.value).startswith('sampler.experience')


def test_the_shipped_experience_knows_what_it_was_made_of():
    found = read(DEFAULT)
    assert found.left_out == ()
    assert {one.name for one in found.tasks} == {'digits', 'cifar10', 'digit_scenes'}
    assert all(one.about['command'] and one.about['date'] for one in found.tasks)
    for name in ('digits', 'cifar10'):
        prior = load_prior(dict(file='default', without=[name]), 8000)
        assert prior.options['logits', "'kl'"].mean > prior.options['logits', "'pearson_both'"].mean
    assert load_prior(None) is None
    assert experience.load_prior('default').options


def test_a_search_is_remembered_once(tmp_path):
    path, storage = str(tmp_path / 'own' / 'e.json'), f'sqlite:///{tmp_path}/s.db'
    study = optuna.create_study(storage=storage, study_name='s')
    for n_trials in (20, 10):
        for _ in range(n_trials):
            trial = study.ask()
            trial.suggest_categorical('distance', DISTANCES)
            study.tell(trial, float(trial.number))
        assert remember(path, of_study(study, f'mine of {n_trials}')) == 1
    assert remember(path, task()) == 2
    assert [one.trials for one in read(path).tasks] == [30, 60]
    (tmp_path / 'file').touch()
    with pytest.raises(ConfigError, match='file/e.json cannot be written'):
        remember(str(tmp_path / 'file' / 'e.json'), task())


def test_what_could_not_be_read_again_is_not_written(tmp_path):
    path = str(tmp_path / 'e.json')
    remember(path, task('good'))
    before = open(path).read()
    paths, rewards = trials()
    hopeless = statistics('bad', paths, rewards, about=dict(study=['a list']))
    with pytest.raises(DataError, match='bad cannot be kept'):
        write(path, [dataclasses.replace(hopeless, trials=0)])
    assert open(path).read() == before
    assert remember(path, hopeless) == remember(path, hopeless) == 2


def test_one_reward_in_another_unit_changes_the_scale_of_nothing():
    paths, rewards = trials()
    usual = statistics('a', paths, rewards)
    spoilt = statistics('a', paths, [1e30, *rewards[1:]])
    known = usual.options.index(('logits', "'kl'"))
    means = [one.sums[known, known] / one.counts[known, known] for one in (usual, spoilt)]
    assert means[1] == pytest.approx(means[0], abs=0.1)
    assert spoilt.about['reward'][1] < 2
    # Where most tie at the best, second best is not poor.
    tied = statistics('a', paths, [1.0] * 50 + [0.9 - 0.01 * place for place in range(10)])
    assert 50 <= tied.total < 51 and tied.about['reward'] == [0.9, 1.0]


def test_rewards_that_differ_by_little_are_kept_apart(tmp_path):
    path, (paths, rewards) = str(tmp_path / 'e.json'), trials()
    write(path, [statistics('near', paths, [0.5 + 1e-9 * reward for reward in rewards])])
    assert len(read(path).tasks) == 1


def test_a_share_of_images_that_was_counted_as_images(tmp_path):
    """Files of before have 0 samples then, and are read all the same."""
    path = tmp_path / 'e.json'
    write(str(path), [task()])
    path.write_text(path.read_text().replace('"samples":1000', '"samples":0'))
    found, = read(str(path)).tasks
    assert found.samples is None


def test_the_best_options_are_recommended_with_what_they_promise():
    class Spec(dict):
        to_dict = dict.copy

    class Space:
        def leading(self, worth, count):
            specs = [Spec(logits=logits, distance=distance, region='all')
                     for logits in LOGITS for distance in DISTANCES]
            return sorted(specs, key=lambda spec: -sum(starmap(worth, spec.items())))[:count]
    tasks = [task('a'), task('b', seed=1), task('c', seed=2)]
    found = recommend(tasks, Space(), count=3)
    assert found[0].spec == dict(logits='kl', distance='l2', region='all')
    assert found[1].spec['logits'] == 'kl' and found[0].unknown == ('region', )
    assert found[0].gain > found[1].gain > found[2].gain
    # The best have 1.2; what is not certain is drawn towards the mean, 0.43.
    assert 0.8 < found[0].gain < 1.2 and 0 < found[0].deviation < 0.5
    surer = recommend([task(name, seed=n) for n, name in enumerate('abcdef')], Space())[0]
    assert surer.deviation < found[0].deviation


def test_a_level_that_no_earlier_search_has_asked():
    """The default experience is from before students could start from the teacher."""
    space = DistillerSpace(shapes=Shapes(starts=('classifier', )))
    study = optuna.create_study(direction='maximize', sampler=MCTSSampler(
        seed=0, shared_name=level_of, prior=load_prior('default', 8000, pytest.fail)))
    study.optimize(lambda trial: float(space.suggest(trial).start is not None), n_trials=30)
    values = [trial.value for trial in study.trials]
    assert sum(values[15:]) > 12


@pytest.mark.parametrize('proxy, samples', [
    (dict(images=2000, epochs=4, batch_size=64), 8000),
    (dict(images=28000, epochs=4, batch_size=64, iterations=124), 7936),
    (dict(images=2000), None), (None, None),
    (dict(images=0.04, epochs=4), None), (dict(images=1.0, epochs=4), None),
])
def test_samples_of_a_proxy(proxy, samples):
    assert samples_of(proxy) == samples


def test_a_database_of_several_searches(monkeypatch):
    """The name chooses; without one the names are listed."""
    from autokd_mm.experience import sources
    storage = optuna.storages.InMemoryStorage()
    for name, sign in (('a', 1), ('b', -1)):
        study = optuna.create_study(storage=storage, study_name=f'autokd_mm/{name}',
                                    direction='maximize')
        study.optimize(lambda trial, sign=sign: sign * len(
            DistillerSpace().suggest(trial).in_words()), n_trials=30)
        optuna.create_study(storage=storage, study_name=f'autokd_mm/{name}/final')
    monkeypatch.setattr(sources, 'open_to_look', lambda *_: storage)
    url = 'postgresql://u@h/DB'
    found = of_source(f'b={url}')
    assert found.about['study'] == 'autokd_mm/b' and found.name == 'b'
    with pytest.raises(DataError, match=r'holds 2 studies, not one; NAME=.* takes .* \(a, b\)'):
        of_source(url)


def test_tasks_that_contradict_themselves_are_a_line(tmp_path, monkeypatch):
    """Also where reading them has seen nothing."""
    from autokd_mm.experience import choosing, file
    monkeypatch.setattr(file, 'contradict', lambda *_: False)
    path, counts = str(tmp_path / 'e.json'), np.zeros((2, 2))
    write(path, [dataclasses.replace(task(), options=task().options[:2], counts=counts,
                                     sums=counts)])
    monkeypatch.setattr(choosing, 'pool', lambda *_: np.linalg.inv(counts))
    with pytest.raises(DataError, match='sampler.experience: its tasks contradict'):
        load_prior(path)


def test_an_experience_that_leaves_no_task_is_said(tmp_path):
    path, said = str(tmp_path / 'e.json'), []
    write(path, [task('a')])
    assert load_prior(dict(file=path, without=['a']), warn=said.append) is None
    assert said == ['sampler.experience.without: leaves no task, so that the search begins '
                    'without experience']


def test_a_share_of_images_is_remembered_with_its_length():
    """The study says how many images that was."""
    study = study_of(20)
    study.set_user_attr('search', dict(proxy=dict(images=0.04, epochs=4)))
    assert of_study(study).samples is None
    study.set_user_attr('about', dict(samples=8000))
    assert of_study(study).samples == 8000


def test_a_hundred_tasks_are_pooled_as_two_are():
    """Each task's own effects are eliminated: linear in their number. Against all at once."""
    tasks = [dataclasses.replace(task(f'{name}{length}', seed=seed), samples=float(length))
             for seed, name in enumerate('abc') for length in (500, 5000)]
    tasks += [task('a500', seed=9, samples=2000)]  # another length of the first
    found = pooling.effects(tasks, 3000.)
    options = sorted({option for one in tasks for option in one.options})
    names = sorted({one.name for one in tasks})
    size, rows = len(options), []
    gram = np.zeros(((2 + len(names)) * size, ) * 2)
    for one in tasks:
        index = [options.index(option) for option in one.options]
        alone = np.diag(one.counts)
        centred = one.counts - np.outer(alone, alone) / one.trials
        told = np.diag(one.sums) - alone * one.total / one.trials
        noise = pooling._noise(one, centred, told)
        design = np.zeros((len(index), len(gram)))
        for row, place in enumerate(index):
            design[row, [place, size + place, (2 + names.index(one.name)) * size + place]] = \
                1, np.log(one.samples / 1e4), 1
        gram += design.T @ centred @ design / noise
        rows.append(design.T @ told / noise)
    between = np.full(size, pooling._BETWEEN)
    for step in range(pooling._ROUNDS + 1):
        prior = np.concatenate([np.full(size, pooling._COMMON), np.full(size, pooling._LENGTH),
                                np.tile(between, len(names))])
        covariance = np.linalg.inv(gram + np.diag(1 / prior))
        mean = covariance @ sum(rows)
        if step < pooling._ROUNDS:
            own = (mean**2 + np.diag(covariance)).reshape(-1, size)[2:]
            between = (pooling._GUESSES * pooling._BETWEEN + own.sum(0)) / (
                pooling._GUESSES + len(names))
    at = mean[:size] + np.log(0.3) * mean[size:2 * size]
    assert [found[option].mean for option in options] == pytest.approx(list(at), abs=1e-9)
    start = time.perf_counter()
    pooling.effects([dataclasses.replace(task(f't{number}')) for number in range(100)])
    assert time.perf_counter() - start < 20  # a minute where the cube is paid
