import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS

from autokd_mm.engine.proxy_data import (choose, held_out_dataset_config, make_samples, read_one,
                                         read_views)
from autokd_mm.space.errors import ConfigError

AUGMENT = [dict(type='mmpretrain.RandomCrop', crop_size=8, padding=2),
           dict(type='mmcv.RandomFlip', prob=0.5, direction='horizontal'),
           dict(type='mmpretrain.PackInputs')]


def digits(pipeline, **more):
    return DATASETS.build(dict(type='mmrazor.Digits', split='train', serialize_data=False,
                               pipeline=pipeline, **more))


@pytest.fixture(scope='module')
def augmented():
    return digits(AUGMENT)


def test_choice_is_disjoint_balanced_and_repeatable():
    labels = np.repeat(np.arange(10), 100)
    train, held_out = choose(labels, 1000, 200, 100, seed=3)
    assert len(train) == 200 and len(held_out) == 100 and not set(train) & set(held_out)
    assert np.bincount(labels[train]).tolist() == [20] * 10
    assert np.bincount(labels[held_out]).tolist() == [10] * 10
    again = choose(labels, 1000, 200, 100, seed=3)
    assert np.array_equal(train, again[0]) and np.array_equal(held_out, again[1])
    assert not np.array_equal(train, choose(labels, 1000, 200, 100, seed=4)[0])


def test_choice_from_classes_of_different_size_and_without_labels():
    labels = [0] * 90 + [1] * 6 + [2] * 4
    train, held_out = choose(labels, 100, 40, 10, seed=0)
    assert set(np.asarray(labels)[held_out]) == {0, 1, 2}
    train, held_out = choose(None, 100, 60, 40, seed=0)
    assert sorted([*train, *held_out]) == list(range(100))


@pytest.mark.parametrize('train, held_out, words', [
    (0, 10, 'proxy.images=0: at least 2'), (1, 10, 'proxy.images=1'),
    (10, 1, 'proxy.held_out=1'), (95, 10, '105 training images, the dataset has 100')])
def test_choice_that_cannot_be_made(train, held_out, words):
    with pytest.raises(ConfigError, match=words):
        choose(None, 100, train, held_out, 0)


def test_a_view_is_the_same_pixels_whatever_was_read_before(augmented):
    wanted = {(index, view): read_one(augmented, index, view, seed=5)
              for view in (1, 0) for index in (7, 3, 999)}
    np.random.rand(13), torch.rand(5)
    for index in (999, 0, 3, 7):
        for view in (0, 1):
            pixels, label = read_one(augmented, index, view, seed=5)
            if (index, view) in wanted:
                assert np.array_equal(pixels, wanted[index, view][0])
                assert label == wanted[index, view][1]
    different = [not np.array_equal(wanted[index, 0][0], wanted[index, 1][0])
                 for index in (7, 3, 999)]
    assert any(different)
    pixels = [read_one(augmented, index, 0, seed=6)[0] for index in (7, 3, 999)]
    assert any(not np.array_equal(a, wanted[index, 0][0])
               for a, index in zip(pixels, (7, 3, 999)))


def test_views_are_rows(augmented):
    indices = np.array([4, 900, 17])
    pixels, labels = np.zeros((6, 1, 8, 8), np.uint8), np.zeros(6, np.int64)
    read_views(augmented, indices, 2, 5, pixels, labels)
    for view in range(2):
        for position, index in enumerate(indices):
            row = view * 3 + position
            expected = read_one(augmented, int(index), view, 5)
            assert np.array_equal(pixels[row], expected[0]) and labels[row] == expected[1]


def test_loader_workers_do_not_matter(augmented):
    """The same reads in other processes and another order give the same pixels."""

    class Views(torch.utils.data.Dataset):

        def __len__(self):
            return 12

        def __getitem__(self, item):
            return read_one(augmented, item, 1, 5)[0]

    expected = np.stack([read_one(augmented, item, 1, 5)[0] for item in reversed(range(12))])[::-1]
    for workers in (0, 2):
        loader = torch.utils.data.DataLoader(Views(), batch_size=4, num_workers=workers)
        assert np.array_equal(torch.cat(list(loader)).numpy(), expected)


class Bad:
    """A dataset whose samples are what a test makes them."""

    def __init__(self, inputs, label):
        self.sample = dict(inputs=inputs, data_samples=type('Sample', (), dict(gt_label=label)))

    def __getitem__(self, index):
        return self.sample


ONE = torch.tensor([1])


@pytest.mark.parametrize('sample, words', [
    (Bad(torch.zeros(1, 8, 8), ONE), 'train_pipeline: the proxy keeps images as uint8.*float32'),
    (Bad(torch.zeros(1, 8, 8).byte(), None), 'one class label'),
    (Bad(torch.zeros(1, 8, 8).byte(), torch.tensor([1, 2])), 'one class label'),
])
def test_sample_that_is_no_image_with_a_class(sample, words):
    with pytest.raises(ConfigError, match=words):
        read_one(sample, 0, 0, 0)


def test_images_of_different_size():
    with pytest.raises(ConfigError, match='images of the proxy differ in size'):
        read_views(Bad(torch.zeros(1, 6, 8).byte(), ONE), np.arange(2), 1, 0,
                   np.zeros((2, 1, 8, 8), np.uint8), np.zeros(2, np.int64))


def test_samples_carry_labels():
    samples = make_samples(np.array([3, 1]), torch.device('cpu'))
    assert [int(sample.gt_label) for sample in samples] == [3, 1]
    assert samples[0].gt_label.shape == (1, )


def test_held_out_images_take_the_plain_pipeline_also_below_wrappers():
    plain = dict(type='Digits', split='val', pipeline=[dict(type='PackInputs')])
    train = dict(type='Digits', split='train', pipeline=list(AUGMENT))
    assert held_out_dataset_config(train, plain) == dict(train, pipeline=plain['pipeline'])
    repeated = dict(type='RepeatDataset', times=2, dataset=train)
    found = held_out_dataset_config(repeated, dict(type='RepeatDataset', times=1, dataset=plain))
    assert found['dataset']['pipeline'] == plain['pipeline'] and 'pipeline' not in found
    found = held_out_dataset_config(dict(type='ConcatDataset', datasets=[train, train]), plain)
    assert [item['pipeline'] for item in found['datasets']] == [plain['pipeline']] * 2
    assert train['pipeline'] == AUGMENT
