"""The keys of a search's train_cfg."""
import math
from dataclasses import fields

import pytest

from autokd_mm.engine.final_settings import FinalSettings
from autokd_mm.engine.settings import SearchSettings
from autokd_mm.errors import AutoKDWarning, ConfigError, DataError
from autokd_mm.experience import load_prior
from autokd_mm.proxy.rejection import Rejection
from autokd_mm.search import MCTSSampler
from autokd_mm.search.reward import Outcome

NEEDED = dict(full_training=dict(max_epochs=2), layers=dict(student='a', teacher='b'))
KEYS = ('full_training layers trials space sampler reward metric proxy rejection pruner '
        'final_round warm_start storage heartbeat ranks_per_trial max_hours train_teacher resume '
        'dry_run seed full_epochs teacher_epochs')


def read(batch_size=64, world=1, **config):
    return SearchSettings.from_config(dict(NEEDED, **config), batch_size, world)


def test_the_keys_that_users_know():
    assert [field.name for field in fields(SearchSettings)] == KEYS.split()


def test_what_the_keys_stand_for():
    found = read()
    assert isinstance(found.sampler, MCTSSampler) and found.reward is None
    assert found.proxy.batch_size == 64 and found.final_round == FinalSettings()
    assert found.rejection == Rejection() and found.pruner is not None
    assert found.heartbeat.interval == 20 and found.max_hours.hours is None
    assert found.layers == NEEDED['layers'] and found.space == {}
    found = read(rejection=None, pruner=False, final_round=None, sampler=dict(type='TPESampler'))
    assert found.rejection is found.pruner is found.final_round is None
    assert type(found.sampler).__name__ == 'TPESampler'


@pytest.mark.parametrize('values, words', [
    (dict(trails=3), "train_cfg: 'trails' is unknown, did you mean 'trials'"),
    (dict(unknown=3), "train_cfg: 'unknown' is unknown"),
    (dict(trials=0), 'train_cfg.trials=0: must be a whole number, at least 1'),
    (dict(trials=2.0), 'train_cfg.trials=2.0: must be a whole number, at least 1'),
    (dict(trials=True), 'train_cfg.trials=True: must be a whole number, at least 1'),
    (dict(full_training=dict(max_epochs=0)), 'train_cfg.full_training.max_epochs=0: must be'),
    (dict(train_teacher='no'), "train_cfg.train_teacher='no': must be True or False"),
    (dict(resume='maybe'), "train_cfg.resume='maybe': must be True or False"),
    (dict(warm_start='KD'), "train_cfg.warm_start='KD': must be a list of names of methods"),
    (dict(warm_start=5), 'train_cfg.warm_start=5: must be a list'),
    (dict(space='x'), "train_cfg.space='x': must be a dict"),
    (dict(proxy=5), 'train_cfg.proxy=5: must be a dict'),
    (dict(proxy=dict(threads=100000)), 'proxy.threads=100000: at most 1024'),
    (dict(sampler=dict(type='MCTSSampler', experience=dict(without=['x']))),
     "sampler.experience.without: 'x' is unknown"),
    (dict(sampler=dict(type='MCTSSampler', experiense='default')),
     "sampler.experiense: 'experiense' is unknown, did you mean 'experience'"),
    (dict(sampler=dict(type='MCTSampler')), "sampler.type: 'MCTSampler' is unknown"),
    (dict(reward='aoto'), "train_cfg.reward='aoto': must be 'auto' or weights of terms"),
    (dict(reward=dict(metrik=1)), "reward: 'metrik' is unknown, did you mean 'metric'"),
    (dict(metric=0.5), "train_cfg.metric=0.5: must be the name of a value of val_evaluator"),
    (dict(metric=''), "train_cfg.metric='': must be the name of a value of val_evaluator"),
    (dict(proxy=dict(epoch=1)), "proxy: 'epoch' is unknown, did you mean 'epochs'"),
    (dict(final_round=dict(reward=dict(gap=-1))), 'final_round.reward.gap: -1 is not a weight'),
    (dict(teacher_epochs=0), 'train_cfg.teacher_epochs=0: must be a whole number, at least 1'),
    (dict(heartbeat=0), 'heartbeat=0: must be'), (dict(max_hours=-1), 'max_hours=-1: must be'),
    (dict(ranks_per_trial=2), 'ranks_per_trial=2, but the launcher has started 1'),
    (dict(world=3, ranks_per_trial=3), 'proxy.batch_size=64: must be a multiple'),
])
def test_mistakes(values, words):
    with pytest.raises(ConfigError, match=words):
        read(**values)


@pytest.mark.parametrize('key', NEEDED)
def test_keys_that_every_search_needs(key):
    config = {name: value for name, value in NEEDED.items() if name != key}
    with pytest.raises(ConfigError, match=f'train_cfg.{key} is missing'):
        SearchSettings.from_config(config, 64)


def test_rewards_by_task():
    assert [reward.weights for reward in read().rewards(True)] == [dict(metric=0.5, gap=0.5)] * 2
    assert [reward.weights for reward in read().rewards(False)] == [
        dict(calibrated_loss=0.5, gap=0.5)] * 2
    own, final = read(reward=dict(gap=1), final_round=dict(reward=dict(metric=1))).rewards(True)
    assert own.weights == dict(gap=1) and final.weights == dict(metric=1)
    own, final = read(reward=dict(gap=1), final_round=None).rewards(False)
    assert own.weights == final.weights == dict(gap=1)


def test_a_reward_by_what_the_undistilled_student_can_do():
    """The metric counts where it is more than luck."""
    found = read(reward='auto', final_round=dict(reward=dict(metric=1)))

    def weights(metric, has_metric=True):
        baseline = Outcome(1.0, 1.0, 0.5, metric, 1.0)
        return [one.weights for one in found.rewards(has_metric, True, baseline)]

    assert weights(0.049) == [dict(held_out_loss=0.5, linear_gap=0.5), dict(metric=1)]
    assert weights(0.05)[0] == weights(0.7)[0] == dict(metric=0.5, gap=0.5)
    assert found.rewards(True)[0].weights == dict(metric=0.5, gap=0.5)  # before it is known
    found = read(reward='auto')
    assert weights(0.0) == [dict(held_out_loss=0.5, linear_gap=0.5)] * 2
    hardly = Outcome(1.0, 1.0, 0.5, 0.01, 1.0)
    assert found.rewards(True, False, hardly)[0].weights == dict(metric=0.5, gap=0.5)
    # A study goes on with what it began with, whatever the rule was then.
    assert found.rewards(True, True, hardly, dict(gap=1.0))[0].weights == dict(gap=1.0)
    assert read().rewards(True, True, hardly, dict(gap=1.0))[0].weights == dict(metric=0.5, gap=0.5)
    assert weights(math.nan, False) == [dict(calibrated_loss=0.5, gap=0.5)] * 2
    plain = read().rewards(True, True, Outcome(1.0, 1.0, 0.5, 0.0, 1.0))
    assert [one.weights for one in plain] == [dict(metric=0.5, gap=0.5)] * 2


@pytest.mark.parametrize('values, words', [
    (dict(reward=dict(metric=1)), '^reward.metric: no metric is known here'),
    (dict(final_round=dict(reward=dict(metric=1))), '^final_round.reward.metric: no metric')])
def test_metric_that_is_not_measured(values, words):
    with pytest.raises(ConfigError, match=words):
        read(**values).rewards(False)


def test_rejections_that_do_not_count():
    assert read(trials=7).free_rejections == read(trials=7, rejection=None).free_rejections == 7
    assert read(trials=7, rejection=dict(free=2)).free_rejections == 2
    assert read(trials=7, rejection=dict(free=0)).free_rejections == 0


def test_an_experience_becomes_the_prior_of_the_sampler():
    given = dict(type='MCTSSampler', experience=dict(without=['digits']))
    found = read(sampler=given, proxy=dict(images=640, held_out=360, epochs=8)).sampler
    prior = load_prior(given['experience'], 640 * 8)
    assert found.prior.to_json() == prior.to_json()
    assert read(sampler=dict(type='MCTSSampler', experience=None)).sampler.prior is None
    with pytest.warns(AutoKDWarning, match='sampler.experience is of MCTSSampler alone'):
        read(sampler=dict(type='TPESampler', experience='default'))  # over one that has it
    with pytest.raises(DataError, match='experience: nowhere.json cannot be read'):
        read(sampler=dict(type='MCTSSampler', experience='nowhere.json'))
    with pytest.warns(AutoKDWarning, match="policy='uct' knows no options: the experience is left"):
        read(sampler=dict(type='MCTSSampler', policy='uct', experience='default'))


def test_a_study_goes_on_without_the_file_of_its_experience():
    """It has kept what it began with."""
    with pytest.warns(AutoKDWarning, match='nowhere.json cannot be read.*; the study goes on with'):
        found = read(sampler=dict(type='MCTSSampler', experience='nowhere.json'), resume=True)
    assert found.sampler.prior is None


def test_an_experience_knows_the_length_of_a_proxy_of_so_many_steps():
    given = dict(type='MCTSSampler', experience='default')
    found = [read(sampler=given, proxy=dict(images=640, held_out=360, batch_size=64, **length))
             .sampler.prior.to_json() for length in (dict(epochs=100), dict(iterations=1000))]
    assert found[0] == found[1] == load_prior('default', 64000).to_json()
    assert found[0] != load_prior('default').to_json()
