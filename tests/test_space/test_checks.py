import inspect
from dataclasses import dataclass

import pytest
from mmengine.config import ConfigDict
from mmpretrain.models import ClsDataPreprocessor

from autokd_mm.engine.runner import SearchLoop
from autokd_mm.errors import ConfigError
from autokd_mm.space.checks import read_settings, refuse_mixing, refuse_unknown, whole_number

MIXUP = dict(augments=dict(type='Mixup', alpha=0.2))


class Student:

    def __init__(self, **preprocessor):
        self.data_preprocessor = ClsDataPreprocessor(**preprocessor)


def config(architecture=None, **top):
    return ConfigDict(model=dict(architecture=dict(architecture or {})), **top)


@pytest.mark.parametrize('found, student, key', [
    (config(dict(train_cfg=MIXUP)), Student(), 'model.architecture.train_cfg: '),
    (config(dict(data_preprocessor=dict(batch_augments=MIXUP))), Student(),
     'model.architecture.data_preprocessor.batch_augments: '),
    (config(data_preprocessor=dict(batch_augments=MIXUP)), Student(),
     '^data_preprocessor.batch_augments: '),
    (config(dict(cfg_path='mmpretrain::x')), Student(batch_augments=MIXUP),
     'model.architecture: '),
])
def test_mixing_is_refused_by_its_key(found, student, key):
    with pytest.raises(ConfigError, match=key + '.*mixup, cutmix'):
        refuse_mixing(found, student)


@pytest.mark.parametrize('found', [
    config(), config(dict(train_cfg=None, data_preprocessor=None), data_preprocessor=None),
    config(dict(train_cfg=dict(other=1)))])
def test_no_mixing(found):
    refuse_mixing(found, Student())
    refuse_mixing(found, object())


def test_unknown_key_of_the_loop():
    assert 'unknown' in inspect.signature(SearchLoop.__init__).parameters
    with pytest.raises(ConfigError, match="train_cfg: 'sampelr' is unknown, did you mean 'sampler"):
        refuse_unknown(dict(sampelr=1), SearchLoop.__init__)
    refuse_unknown({}, SearchLoop.__init__)


@dataclass
class Settings:
    best: int = 5
    length: int = 4


def test_settings_that_can_be_switched_off():
    assert read_settings('final', None, Settings) is read_settings('final', False, Settings) is None
    assert read_settings('final', True, Settings) == read_settings('final', {}, Settings) == {}
    assert read_settings('final', ConfigDict(best=3), Settings) == dict(best=3)
    for wrong in ('True', 3, ['best']):
        with pytest.raises(ConfigError, match='final=.*: must be a dict with best, len'):
            read_settings('final', wrong, Settings)
    with pytest.raises(ConfigError, match="final: 'lenght' is unknown, did you mean 'length'"):
        read_settings('final', dict(lenght=2), Settings)


@pytest.mark.parametrize('value', [0, 1.0, True, '2', None])
def test_whole_number(value):
    whole_number('final.best', 1, 1)
    with pytest.raises(ConfigError, match='final.best=.*: must be a whole number, at least 1'):
        whole_number('final.best', value, 1)
