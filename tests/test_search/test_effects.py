"""What options are worth, with intervals, on made-up rewards whose effects are known."""
import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState, create_trial

from autokd_mm.search.effects import Effects, beyond
from autokd_mm.search.option_model import OptionModel
from autokd_mm.search.study_tree import StudyTree

CHOICES = dict(a=('x', 'y', 'z'), b=(1, 2), c=('p', 'q', 'r'))
WORTH = dict(x=.3, y=0., z=-.3)


def trials(number, seed=0, noise=.1, pair=0.):
    rng = np.random.RandomState(seed)
    found = []
    for _ in range(number):
        params = {name: options[rng.randint(len(options))] for name, options in CHOICES.items()}
        value = WORTH[params['a']] + noise * rng.randn()
        value += pair * (params['b'] == 2 and params['c'] == 'q')
        found.append(create_trial(value=value, params=params, distributions={
            name: CategoricalDistribution(options) for name, options in CHOICES.items()}))
    study = optuna.create_study(direction='maximize')
    study.add_trials(found)
    return study.get_trials()


def test_the_question_that_decides_comes_first():
    levels = Effects(trials(60)).by_level()
    assert [one.level for one in levels[0]] == ['a'] * 3
    assert [one.option for one in levels[0]] == ["'x'", "'y'", "'z'"]
    assert sum(one.trials for one in levels[0]) == 60
    best = levels[0][0]
    assert abs(best.mean - .3) < .12 and .01 < best.spread < .12
    assert {level[0].level for level in levels} == {'a', 'b', 'c'}
    for level in levels:
        assert sum(one.mean for one in level) == pytest.approx(0, abs=1e-9)


def test_nine_of_ten_lie_inside():
    """Of options that are worth nothing, which shrinking does not move."""
    inside = [abs(one.mean) <= one.spread for seed in range(12)
              for level in Effects(trials(80, seed)).by_level() if level[0].level != 'a'
              for one in level]
    assert .82 < np.mean(inside) <= 1


def test_means_are_those_of_the_sampler():
    """Of a model without pairs and a given shrinkage, although the pairs are looked at as well."""
    found = trials(40)
    view = StudyTree(optuna.study.StudyDirection.MAXIMIZE, model=OptionModel(shrinkage=1.0))
    view.sync(found)
    means = view.tree.model.means(view.tree.posterior())
    features = view.tree.model.features('a', CHOICES['a'])
    width = view.tree.value_of(1) - view.tree.value_of(0)
    centre = np.mean([means[feature] for feature in features])
    for one in Effects(found).by_level()[0]:
        place = [repr(option) for option in CHOICES['a']].index(one.option)
        assert one.mean == pytest.approx(width * (means[features[place]] - centre))


def test_pairs_that_stand_out_and_none_by_chance():
    told = [Effects(trials(80, seed)).pairs() for seed in range(10)]
    assert {looked_at for _, looked_at in told} == {12}
    assert sum(bool(pairs) for pairs, _ in told) <= 2
    pairs, _ = Effects(trials(300, pair=.6)).pairs()
    assert any((one.first, one.second) == (('b', '2'), ('c', "'q'")) and one.mean > .1
               for one in pairs)


def test_nothing_to_tell():
    for few in ([], trials(1), [create_trial(state=TrialState.FAIL)]):
        assert Effects(few).by_level() == [] and Effects(few).pairs()[0] == []


def test_shared_names():
    asked = CategoricalDistribution(('p', 'q'))
    study = optuna.create_study(direction='maximize')
    study.add_trials([create_trial(value=float(option == 'q'), params={name: option},
                                   distributions={name: asked})
                      for name in ('d', 'd(p|q)') for option in 'pqpq'])
    levels = Effects(study.get_trials(), lambda name: name.split('(')[0]).by_level()
    assert [(one.level, one.option, one.trials) for one in levels[0]] == [
        ('d', "'q'", 4), ('d', "'p'", 4)]
    assert len(Effects(study.get_trials()).by_level()) == 2


def asked(params, value):
    choices = dict(CHOICES, a=('x', 'only'), rare=tuple('stuv'))
    return create_trial(value=value, params=params, distributions={
        name: CategoricalDistribution(choices[name]) for name in params})


def numbered(trials):
    study = optuna.create_study(direction='maximize')
    study.add_trials(trials)
    return study.get_trials()


def test_what_is_asked_behind_an_option_alone_counts_as_its_own():
    """An option that ends the questions is not as good as one whose answers are good."""
    rng = np.random.RandomState(0)
    found = numbered([asked(dict(a='x', b=b), .4 * (b == 2) + .02 * rng.randn())
                      for b in (2, 2, 2, 1) * 10]
                     + [asked(dict(a='only'), .02 * rng.randn()) for _ in range(5)])
    effects = {one.option: one.mean for level in Effects(found).by_level() for one in level}
    assert effects["'x'"] == -effects["'only'"] == pytest.approx(.15, abs=.04)
    assert effects['2'] == pytest.approx(.2, abs=.04)


def test_what_is_beyond_its_spread_comes_before_what_differs_most():
    rng = np.random.RandomState(0)
    found = numbered([asked(dict(b=b), .2 * (b == 2) + .2 * rng.randn()) for b in (1, 2) * 40]
                     + [asked(dict(b=2, rare=one), .2 + value) for one, value in
                        (('s', .4), ('t', -.4), ('u', .2), ('v', -.2))])
    first, second = Effects(found).by_level()
    assert (first[0].level, second[0].level) == ('b', 'rare')
    assert second[0].mean - second[-1].mean > first[0].mean - first[-1].mean
    assert max(map(beyond, first)) > 0
