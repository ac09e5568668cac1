"""Keys that MMEngine's Runner reads of every config: another kind of value is one line."""
import glob
import os

import pytest
from mmengine.config import Config

from autokd_mm.engine.config import load_config
from autokd_mm.engine.runner_keys import check_runner_keys
from autokd_mm.errors import ConfigError

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.mark.parametrize('options, message', [
    (dict(randomness=3), 'randomness=3: must be a dict'),
    (dict(randomness=None), 'randomness=None: must be a dict'),
    (dict(optim_wrapper=dict(optimizer='AdamW')),
     "optim_wrapper.optimizer='AdamW': must be a dict"),
    (dict(randomness=dict(seed='x')),
     "randomness.seed='x': must be a whole number from 0 to 4294967295, or None"),
    (dict(randomness=dict(seed=True)), 'randomness.seed=True: must be'),
    (dict(randomness=dict(seed=-1)), 'randomness.seed=-1: must be'),
    (dict(randomness=dict(deterministic=3)), 'randomness.deterministic=3: must be True or False'),
    (dict(log_level='INF'), "log_level: 'INF' is unknown, did you mean 'INFO'?"),
    (dict(env_cfg=dict(mp_cfg=dict(mp_start_method='frok'))),
     "env_cfg.mp_cfg.mp_start_method: 'frok' is unknown, did you mean 'fork'?"),
    (dict(launcher='slrum'), "launcher: 'slrum' is unknown, did you mean 'slurm'?"),
    (dict(custom_hooks=3), 'custom_hooks=3: must be a list'),
    (dict(default_scope=3), 'default_scope=3: must be'),
    (dict(val_evaluator=3), 'val_evaluator=3: must be the config of a metric'),
    (dict(train_cfg=3), 'train_cfg=3: must be a dict'),
    (dict(train_dataloader=dict(sampler=3)), 'train_dataloader.sampler=3: must be a dict'),
    (dict(optim_wrapper=dict(optimizer=dict(lr=float('nan')))),
     'optim_wrapper.optimizer.lr=nan: must be a number'),
    (dict(optim_wrapper=dict(optimizer=dict(lr='0.1'))), "optim_wrapper.optimizer.lr='0.1': must"),
    (dict(optim_wrapper=dict(optimizer=dict(lr=-1))), 'optim_wrapper.optimizer.lr=-1: must'),
])
def test_another_kind_of_value(options, message):
    with pytest.raises(ConfigError) as info:
        check_runner_keys(Config(options))
    assert str(info.value).startswith(message)


@pytest.mark.parametrize('options', [
    {}, dict(log_level=20, custom_hooks=None, launcher='pytorch'),
    dict(randomness=dict(seed=None)), dict(optim_wrapper=dict(optimizer=dict(type='Adafactor'))),
    dict(optim_wrapper=dict(optimizer=dict(lr=None))),
    dict(val_evaluator=[dict(type='Accuracy')], env_cfg=dict(dist_cfg=dict(backend='gloo'))),
])
def test_what_the_runner_takes(options):
    check_runner_keys(Config(options))


def test_shipped_configs_pass():
    paths = glob.glob(os.path.join(ROOT, 'configs', '[!_]*', '*.py'))
    assert paths
    for path in paths[::7]:
        check_runner_keys(load_config(path))
