"""Weights that change in the course of a training, as levels of the space."""
import math
from dataclasses import replace
from fractions import Fraction

import optuna
import pytest

from autokd_mm.errors import ConfigError
from autokd_mm.search import MCTSSampler
from autokd_mm.space import (LEVELS, DistillerSpace, DistillerSpec, LayerwiseSpace, LayerwiseSpec,
                             Shapes, spec_from_dict)
from autokd_mm.space.handcrafted import HANDCRAFTED, starting_point
from autokd_mm.space.schedules import ENDS, SCHEDULE_LEVELS, SCHEDULES, in_words, weight_factor

optuna.logging.set_verbosity(optuna.logging.ERROR)
ALL = dict.fromkeys(SCHEDULE_LEVELS, SCHEDULES)
FEW = dict(transform=['logits_only', 'none'], connector=['identity'], intra=['none'],
           inter=['none'], distance=['l2'], feature_weight=[1, 25], logits=['none', 'kl'],
           logits_temperature=[4], logits_weight=[1])
AT, KD = HANDCRAFTED['AT'], HANDCRAFTED['KD']
NOTHING = 'means nothing beside the other options; leave it out'


# ---------------------------------------------------------------------- the factors
@pytest.mark.parametrize('schedule, factors', [
    (None, [1, 1, 1, 1, 1, 1]), ('constant', [1, 1, 1, 1, 1, 1]),
    ('linear', [1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]),
    ('cosine', [1, (2 + math.sqrt(3)) / 4, 0.75, 0.5, 0.25, (2 - math.sqrt(3)) / 4]),
    ('off_third', [1, 1, 0, 0, 0, 0]), ('off_two_thirds', [1, 1, 1, 1, 0, 0])])
def test_factors_of_six_steps(schedule, factors):
    found = [weight_factor(schedule, step / 6) for step in range(6)]
    assert found == pytest.approx(factors, abs=1e-12) and found[0] == 1
    assert [factor == 0 for factor in found] == [factor == 0 for factor in factors]


@pytest.mark.parametrize('schedule', ENDS)
def test_the_ends_are_exact_for_every_number_of_steps(schedule):
    end = Fraction(ENDS[schedule]).limit_denominator(3)
    for steps in range(1, 400):
        on = [step for step in range(steps) if weight_factor(schedule, step / steps)]
        assert on == [step for step in range(steps) if Fraction(step, steps) < end]


@pytest.mark.parametrize('schedule', SCHEDULES)
def test_no_factor_grows_and_none_leaves_0_to_1(schedule):
    found = [weight_factor(schedule, share / 60) for share in range(-6, 67)]
    assert found == sorted(found, reverse=True) and found[0] == 1
    assert found[-1] == (schedule == 'constant') and found[66] == found[72]


@pytest.mark.parametrize('schedule', ['cosin', True, ['cosine']])
def test_an_unknown_schedule(schedule):
    with pytest.raises(ConfigError, match='^schedule: .* is unknown'):
        weight_factor(schedule, 0.5)


# ---------------------------------------------------------------------- points
def test_constant_is_no_other_distiller():
    same = replace(AT, feature_schedule='constant'), AT
    assert same[0] == same[1] and hash(same[0]) == hash(same[1])
    assert same[0].to_dict() == AT.to_dict() and same[0].in_words() == AT.in_words()
    layers = (('feature_0', AT), )
    assert LayerwiseSpec(layers, 'kl', 4, 1, 'constant') == LayerwiseSpec(layers, 'kl', 4, 1)


def test_levels_come_behind_the_weight_of_their_branch():
    for level in SCHEDULE_LEVELS:
        before = LEVELS[LEVELS.index(level) - 1]
        assert before == level.replace('schedule', 'weight')
    spec = replace(KD, logits_schedule='linear')
    assert DistillerSpec.from_dict(spec.to_dict()) == spec != KD
    assert spec.feature_branch == DistillerSpec('left_out')


@pytest.mark.parametrize('schedule, words', [
    (None, ''), ('constant', ''), ('cosine', ' fading (cosine)'), ('linear', ' fading (linear)'),
    ('off_third', ' for the first third'),
    ('off_two_thirds', ' for the first two thirds'), ('of_third', ' fading (of_third)')])
def test_in_words(schedule, words):
    assert in_words(schedule) == words
    assert replace(AT, feature_schedule=schedule).in_words() == AT.in_words() + words
    assert replace(KD, logits_schedule=schedule).in_words() == KD.in_words() + words


# ---------------------------------------------------------------------- spaces
def test_a_space_without_schedules_is_what_it_was():
    space = DistillerSpace(FEW)
    assert not set(SCHEDULE_LEVELS) & {level for level, _ in space.levels()}
    assert not any('schedule' in name for spec in space.enumerate() for name in space.params(spec))
    explicit = DistillerSpace(dict(FEW, feature_schedule='constant', logits_schedule=['constant']))
    assert explicit.levels() == space.levels() and list(explicit.enumerate()) == list(
        space.enumerate())


def test_count_enumerate_and_questions():
    space = DistillerSpace(dict(FEW, **ALL))
    specs = list(space.enumerate())
    five = len(SCHEDULES)
    assert space.count() == len(specs) == len(set(specs)) == 2 * five * (1 + five) + five
    assert len({spec.in_words() for spec in specs}) == len(specs)
    assert [level for level, _ in space.levels()][-5:] == [
        'feature_schedule', 'logits', 'logits_temperature', 'logits_weight', 'logits_schedule']
    for spec in specs:
        params = space.params(spec)
        assert ('feature_schedule' in params) == spec.has_feature
        assert ('logits_schedule' in params) == spec.has_logits
        assert space.suggest(optuna.trial.FixedTrial(params)) == spec
        assert DistillerSpec.from_dict(spec.to_dict()) == spec


def test_all_schedules_of_the_default_space():
    """Feature branches f: f (1 + 64) + 64 without schedules."""
    branches = (506_544 - 64) // 65
    assert DistillerSpace(ALL).count() == 5 * branches * (1 + 5 * 64) + 5 * 64 == 12_506_480
    assert DistillerSpace(dict(feature_schedule=['constant', 'cosine'])).count() == \
        2 * branches * 65 + 64


def test_a_single_schedule_is_not_asked():
    space = DistillerSpace(dict(FEW, feature_schedule='cosine'))
    assert ('feature_schedule', ('cosine', )) in space.levels()  # another study
    specs = list(space.enumerate())
    assert {spec.feature_schedule for spec in specs if spec.has_feature} == {'cosine'}
    assert not any('schedule' in name for spec in specs for name in space.params(spec))


def test_a_sampler_finds_the_schedule_that_counts():
    space = DistillerSpace(dict(FEW, **ALL))
    study = optuna.create_study(direction='maximize', sampler=MCTSSampler(seed=0))
    study.enqueue_trial(space.params(KD))
    study.optimize(lambda trial: float(space.suggest(trial).feature_schedule == 'linear'),
                   n_trials=40)
    specs = [space.suggest(optuna.trial.FixedTrial(trial.params)) for trial in study.trials]
    assert specs[0] == KD
    # There are 12 among 65, and no distiller is tried twice.
    assert len({spec for spec in specs if spec.feature_schedule == 'linear'}) == 12


def test_hand_crafted_methods_start_any_search():
    space = DistillerSpace(ALL)
    for name, spec in HANDCRAFTED.items():
        params = space.params(starting_point(name, space))
        assert {params.get(level, 'constant') for level in SCHEDULE_LEVELS} == {'constant'}
        assert space.suggest(optuna.trial.FixedTrial(params)) == spec


def test_every_layer_has_a_schedule_of_its_own():
    layers = dict(feature_0=Shapes(), feature_1=Shapes(height=4, width=4))
    space = LayerwiseSpace(dict(FEW, **ALL), layers)
    specs = list(space.enumerate())
    five = len(SCHEDULES)
    branches = 1 + 2 * five
    assert space.count() == len(set(specs)) == (branches**2 - 1) * (1 + five) + five
    assert len({spec.in_words() for spec in specs}) == len(specs)
    for spec in specs[::7]:
        params = space.params(spec)
        assert space.suggest(optuna.trial.FixedTrial(params)) == spec
        assert LayerwiseSpec.from_dict(spec.to_dict()) == spec
    assert ('logits_schedule', SCHEDULES) in space.levels()
    fading = replace(HANDCRAFTED['FitNet'], feature_schedule='linear', logits='kl',
                     logits_temperature=4, logits_weight=1, logits_schedule='cosine')
    spread = space.spread([fading] * 2)
    assert [branch.feature_schedule for _, branch in spread.layers] == ['linear'] * 2
    assert spread.logits_schedule == 'cosine' and spread in set(specs)


# ---------------------------------------------------------------------- mistakes
@pytest.mark.parametrize('options, message', [
    (dict(feature_schedule=['constant', 'cosin']),
     "space.feature_schedule: 'cosin' is unknown, did you mean 'cosine'? Valid: constant, cosine, "
     'linear, off_third, off_two_thirds'),
    (dict(logits_schedule=[0.5]), "space.logits_schedule: '0.5' is unknown"),
    (dict(logits_schedule=[]), 'space.logits_schedule is empty'),
    (dict(feature_schedules=['cosine']),
     "space: level 'feature_schedules' is unknown, did you mean 'feature_schedule'?")])
def test_wrong_options(options, message):
    with pytest.raises(ConfigError) as info:
        DistillerSpace(options)
    assert str(info.value).startswith(message) and '\n' not in str(info.value)


@pytest.mark.parametrize('values, key', [
    (dict(AT.to_dict(), feature_schedule='cosin'), 'feature_schedule'),
    ({'feature_0/transform': 'none', 'feature_0/feature_schedule': 'cosin'},
     'feature_0/feature_schedule')])
def test_a_point_that_is_read(values, key):
    with pytest.raises(ConfigError, match=f"^distiller option {key}: 'cosin' is unknown, did you "
                                          "mean 'cosine'"):
        spec_from_dict(values)


@pytest.mark.parametrize('space, spec, message', [
    (ALL, replace(KD, feature_schedule='cosine'), f"feature_schedule='cosine' {NOTHING}"),
    ({}, replace(KD, feature_schedule='cosine'), f"feature_schedule='cosine' {NOTHING}"),
    (ALL, replace(AT, logits_schedule='linear'), f"logits_schedule='linear' {NOTHING}"),
    ({}, replace(AT, feature_schedule='cosine'),
     "feature_schedule='cosine' is not a point of this space; it offers 'constant' there"),
    ({}, replace(AT, feature_schedule='cosin'),
     "feature_schedule: 'cosin' is unknown, did you mean 'cosine'? Valid: constant, cosine, "
     'linear, off_third, off_two_thirds'),
    (dict(feature_schedule=['constant', 'linear']), replace(AT, feature_schedule='off_third'),
     "feature_schedule='off_third' is not offered here. Valid: constant, linear"),
    (dict(feature_schedule='linear'), AT,
     "feature_schedule=None is not a point of this space; it offers 'linear' there")])
def test_a_spec_outside_the_space(space, spec, message):
    with pytest.raises(ConfigError) as info:
        DistillerSpace(space).params(spec)
    assert str(info.value) == f'distiller option {message}'
