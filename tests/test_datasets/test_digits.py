import numpy as np
import pytest
import torch
from mmpretrain.registry import DATASETS

from autokd_mm.datasets import Digits

SIZES = dict(train=1000, val=200, test=597)


def images(dataset):
    return np.stack([dataset.get_data_info(index)['img'] for index in range(len(dataset))])


def test_split_is_balanced_disjoint_and_whole():
    parts = {split: Digits(split) for split in SIZES}
    assert {split: len(part) for split, part in parts.items()} == SIZES
    assert set(np.bincount(parts['train'].get_gt_labels())) == {100}
    assert set(np.bincount(parts['val'].get_gt_labels())) == {20}
    everything = np.concatenate([images(part) for part in parts.values()]).reshape(1797, -1)
    assert len(np.unique(everything, axis=0)) == 1797


def test_images_are_scikit_learns():
    from sklearn.datasets import load_digits
    digits = load_digits()
    first = Digits('train').get_data_info(0)
    assert first['img'].shape == (8, 8, 1) and first['img'].dtype == np.uint8
    assert first['gt_label'] == digits.target[0]
    assert np.array_equal(np.rint(first['img'][..., 0] * (16 / 255)), digits.images[0])
    assert images(Digits('train')).max() == 255


@pytest.mark.parametrize('split', SIZES)
def test_the_same_every_time(split):
    one, two = Digits(split), Digits(split)
    assert np.array_equal(images(one), images(two))
    assert np.array_equal(one.get_gt_labels(), two.get_gt_labels())


def test_pipeline_of_mmpretrain():
    dataset = DATASETS.build(dict(
        type='mmrazor.Digits', split='val', indices=50,
        pipeline=[dict(type='RandomCrop', crop_size=8, padding=1), dict(type='PackInputs')]))
    assert len(dataset) == 50
    sample = dataset[7]
    assert sample['inputs'].shape == (1, 8, 8) and sample['inputs'].dtype == torch.uint8
    assert sample['data_samples'].gt_label.item() == dataset.get_data_info(7)['gt_label']
    assert dataset.metainfo['classes'] == tuple('0123456789')


def test_statistics_of_the_config_are_those_of_the_training_images():
    pixels = images(Digits('train'))
    assert pixels.mean() == pytest.approx(78.35, abs=0.01)
    assert pixels.std() == pytest.approx(95.95, abs=0.01)


def test_unknown_split_is_named():
    with pytest.raises(ValueError, match="split: 'trian' is unknown, did you mean 'train'"):
        Digits('trian')
