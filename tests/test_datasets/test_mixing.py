import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmpretrain.models import ClsDataPreprocessor

from autokd_mm.datasets.mixing import leave_out_mixing, mixing, refuse_mixing, says_left_out
from autokd_mm.errors import ConfigError
from autokd_mm.layers.padding import least_size, padded

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
    (ConfigDict(model=dict(data_preprocessor=dict(batch_augments=MIXUP), architecture={})),
     Student(), '^model.data_preprocessor.batch_augments: '),
])
def test_mixing_is_refused_by_its_key(found, student, key):
    with pytest.raises(ConfigError, match=key + '.*mixup, cutmix'):
        refuse_mixing(found, student)


@pytest.mark.parametrize('found', [
    config(), config(dict(train_cfg=None, data_preprocessor=None), data_preprocessor=None),
    config(dict(train_cfg=dict(other=1))),
    # the algorithm's own preprocessor is used, the student's is not asked
    ConfigDict(model=dict(data_preprocessor=dict(mean=[0]), architecture=dict(
        data_preprocessor=dict(batch_augments=MIXUP))))])
def test_no_mixing(found):
    refuse_mixing(found, Student())
    refuse_mixing(found, object())


SIZES = dict(type='BatchSyncRandomResize', random_size_range=(64, 128), size_divisor=32)
PAD = dict(type='BatchFixedSizePad', size=(64, 96))


def detector(*augments):
    return config(dict(data_preprocessor=dict(batch_augments=list(augments))))


def test_sizes_of_batches_are_called_by_their_name():
    with pytest.raises(ConfigError, match='batch_augments: BatchSyncRandomResize gives each batch '
                                          'another size'):
        refuse_mixing(detector(PAD, SIZES), object())
    key, names = mixing(detector(PAD, SIZES, dict(type='mmdet.BatchResize', scale=9)), object())
    assert names == ['BatchSyncRandomResize', 'BatchResize']
    assert 'leaves BatchSyncRandomResize and BatchResize out' in says_left_out(key, names)
    found = mixing(config(), Student(batch_augments=dict(augments=[
        dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)], probs=[0.5, 0.3])))
    assert found == ('model.architecture', ['Mixup', 'CutMix'])
    assert 'mixing of images out (Mixup and CutMix)' in says_left_out(*found)


def test_padding_stays():
    from mmdet.models.data_preprocessors import DetDataPreprocessor
    assert mixing(detector(PAD), object()) is None
    with DefaultScope.overwrite_default_scope('mmdet'):
        preprocessor = DetDataPreprocessor(batch_augments=[SIZES, PAD], pad_size_divisor=32)
    leave_out_mixing(preprocessor)
    assert [type(one).__name__ for one in preprocessor.batch_augments] == ['BatchFixedSizePad']
    assert padded(torch.zeros(1, 3, 65, 40), preprocessor).shape == (1, 3, 96, 96)
    for none in (Student().data_preprocessor, object()):
        leave_out_mixing(none)
    mixed = Student(batch_augments=MIXUP).data_preprocessor
    leave_out_mixing(mixed)
    assert mixed.batch_augments is None


def test_padding_of_segmentation():
    from mmseg.models import SegDataPreProcessor
    image = torch.ones(1, 3, 50, 70)
    for values, size in ((dict(size=(64, 80)), (64, 80)), (dict(size_divisor=32), (64, 96)),
                         (dict(size=(40, 40)), (50, 70)), (dict(size=100), (100, 100)),
                         (dict(size=(64, 64), test_cfg=dict(size_divisor=48)), (96, 96))):
        found = padded(image, SegDataPreProcessor(**values))
        assert found.shape[2:] == size and found.sum() == image.sum()
    assert least_size(SegDataPreProcessor(size=9, test_cfg=dict(size=(5, 6))), False) == (5, 6)
