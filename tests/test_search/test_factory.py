import optuna
import pytest
from optuna.samplers import GridSampler, PartialFixedSampler, RandomSampler, TPESampler

from autokd_mm.search import MCTSSampler, build_sampler, factory

optuna.logging.set_verbosity(optuna.logging.ERROR)


def params(sampler, n_trials=12):
    study = optuna.create_study(direction='maximize', sampler=sampler)
    study.optimize(lambda t: t.suggest_categorical('x', (1, 2, 3)) * t.suggest_float('y', 0, 1),
                   n_trials=n_trials)
    return [trial.params for trial in study.trials]


def test_ours_with_arguments():
    sampler = build_sampler(dict(type=MCTSSampler, exploration=0.2, n_warmup_trials=3), seed=7)
    assert isinstance(sampler, MCTSSampler)
    assert params(sampler) == params(MCTSSampler(seed=7, exploration=0.2, n_warmup_trials=3))


def test_the_seed_of_the_config_wins():
    assert params(build_sampler(dict(type='MCTSSampler', seed=1), seed=2)) == params(
        MCTSSampler(seed=1))


@pytest.mark.parametrize('name', ['MCTSSampler', 'TPESampler', 'RandomSampler', 'NSGAIISampler'])
def test_samplers_by_name_take_the_seed_and_run(name):
    one, same, other = (params(build_sampler(dict(type=name), seed=s)) for s in (0, 0, 1))
    assert one == same != other


def test_all_samplers_of_optuna_are_known():
    known = factory.sampler_types()
    assert {'MCTSSampler', 'TPESampler', 'RandomSampler', 'NSGAIISampler', 'NSGAIIISampler',
            'GPSampler', 'CmaEsSampler', 'QMCSampler', 'GridSampler', 'BruteForceSampler',
            'PartialFixedSampler'} <= set(known)
    assert 'BaseSampler' not in known and 'BaseGASampler' not in known


@pytest.mark.filterwarnings('ignore::optuna.exceptions.ExperimentalWarning')
def test_samplers_within_samplers():
    sampler = build_sampler(dict(type='PartialFixedSampler', fixed_params=dict(x=2),
                                 base_sampler=dict(type='MCTSSampler',
                                                   independent_sampler=dict(type='TPESampler'))),
                            seed=0)
    assert isinstance(sampler, PartialFixedSampler)
    assert isinstance(sampler._base_sampler._independent_sampler, TPESampler)
    assert {p['x'] for p in params(sampler)} == {2}


def test_a_sampler_without_a_default_space():
    assert isinstance(build_sampler(dict(type='GridSampler', search_space=dict(x=[1, 2]))),
                      GridSampler)


def test_the_config_is_left_as_it_is():
    cfg = dict(type='RandomSampler')
    assert isinstance(build_sampler(cfg, seed=1), RandomSampler) and cfg == dict(
        type='RandomSampler')


@pytest.mark.parametrize('cfg, message', [
    ('MCTSSampler', "sampler must be a dict like dict(type='MCTSSampler'), got 'MCTSSampler'"),
    (dict(), "sampler.type is missing, e.g. sampler=dict(type='MCTSSampler')"),
    (dict(type='MCTSampler'), "sampler.type: 'MCTSampler' is unknown, did you mean 'MCTSSampler'"),
    (dict(type='BaseSampler'), "sampler.type: 'BaseSampler' is unknown"),
    (dict(type=3), "sampler.type: '3' is unknown"),
    (dict(type='MCTSSampler', explorations=1),
     "sampler.explorations: 'explorations' is unknown, did you mean 'exploration'"),
    (dict(type='TPESampler', n_startup=1),
     "sampler.n_startup: 'n_startup' is unknown, did you mean 'n_startup_trials'"),
    (dict(type='MCTSSampler', exploration=-1),
     'sampler.exploration must be a finite number >= 0, got -1'),
    (dict(type='GridSampler'), 'sampler.search_space is missing: GridSampler needs it'),
    (dict(type='NSGAIISampler', population_size=1), 'sampler.population_size must be greater'),
    (dict(type=[1]), "sampler.type: '[1]' is unknown"),
    (dict(type='MCTSSampler', independent_sampler=dict(type='TPE')),
     "sampler.independent_sampler.type: 'TPE' is unknown, did you mean 'TPESampler'"),
])
def test_errors_are_one_line_and_name_the_key(cfg, message):
    with pytest.raises(ValueError) as info:
        build_sampler(cfg)
    assert str(info.value).startswith(message) and '\n' not in str(info.value)


def test_a_missing_package_is_said_before_the_search(monkeypatch):
    monkeypatch.setattr(factory, 'find_spec', lambda name: None)
    with pytest.raises(ValueError, match='sampler.type: CmaEsSampler needs .* pip install cmaes'):
        build_sampler(dict(type='CmaEsSampler'))
