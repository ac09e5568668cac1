import pytest
from mmengine.config import ConfigDict
from mmpretrain.models import ClsDataPreprocessor

from autokd_mm.datasets.mixing import refuse_mixing
from autokd_mm.errors import ConfigError

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
