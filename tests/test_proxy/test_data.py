from dataclasses import replace

import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS

from autokd_mm.errors import ConfigError
from autokd_mm.proxy.data import (candidates, choose, choose_images, held_out_dataset_config,
                                  read_one, read_views, resize)
from autokd_mm.proxy.settings import SELECTIONS, ProxySettings

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


def test_held_out_images_are_the_same_for_every_choice():
    labels = np.repeat(np.arange(10), 100)
    values = np.random.default_rng(0).random(1000)
    chosen = {select: choose(labels, 1000, 200, 100, 3, select, values) for select in SELECTIONS}
    held_out = chosen['class_balanced'][1]
    for train, same in chosen.values():
        assert np.array_equal(same, held_out) and len(set(train)) == 200
        assert not set(train) & set(held_out)
    assert len({tuple(train) for train, _ in chosen.values()}) == 3


def test_random_choice_knows_no_classes():
    labels = np.repeat(np.arange(2), [900, 100])
    ones = [labels[choose(labels, 1000, 200, 10, seed, 'random')[0]].sum() for seed in range(20)]
    # hypergeometric: 95 of the other 990 are ones, mean 19.2, standard deviation of one draw 3.7
    assert 16.5 < np.mean(ones) < 22 and np.std(ones) > 1
    balanced = labels[choose(labels, 1000, 150, 10, 0)[0]].sum()
    assert balanced == 75
    again = choose(labels, 1000, 200, 10, 7, 'random')[0]
    assert np.array_equal(again, choose(labels, 1000, 200, 10, 7, 'random')[0])


@pytest.mark.parametrize('train', [50, 333, 900])
def test_choice_by_entropy_has_the_histogram_of_all(train):
    """Entropies of a trained teacher are skewed over many orders of magnitude."""
    rng = np.random.default_rng(0)
    values = np.exp(rng.normal(-6, 3, 1000)).clip(max=2.3)
    chosen, held_out = choose(None, 1000, train, 100, 5, 'teacher_entropy', values)
    rest = np.setdiff1d(np.arange(1000), held_out)
    grid = np.sort(values)
    there = np.searchsorted(np.sort(values[chosen]), grid, side='right') / train
    wanted = np.searchsorted(np.sort(values[rest]), grid, side='right') / len(rest)
    assert np.abs(there - wanted).max() <= 1 / train + 1e-9
    other = choose(None, 1000, train, 100, 6, 'teacher_entropy', values)[0]
    assert not np.array_equal(chosen, other)


def test_choice_by_entropy_among_the_candidates_that_have_one():
    values = np.full(1000, np.nan)
    pool = candidates(None, 1000, 20, 100, 5)
    assert len(pool) == 200 and not set(pool) & set(choose(None, 1000, 20, 100, 5)[1])
    values[pool] = np.arange(200)
    chosen = choose(None, 1000, 20, 100, 5, 'teacher_entropy', values)[0]
    assert set(chosen) <= set(pool)
    # one from each ten
    assert sorted(values[chosen] // 10) == list(range(20))
    assert len(candidates(None, 1000, 500, 100, 5)) == 900
    for known in (None, np.where(values < 19, values, np.nan)):
        with pytest.raises(ConfigError, match="proxy.select: 'teacher_entropy' needs the teacher's "
                                              r'entropy of at least 20 images, (0|19) are known'):
            choose(None, 1000, 20, 100, 5, 'teacher_entropy', known)


def test_entropy_is_asked_for_only_where_it_decides(augmented):
    asked = []

    def entropy(indices):
        asked.append(indices)
        return np.sin(indices)

    settings = ProxySettings(images=0.05, held_out=32, batch_size=16)
    for select in SELECTIONS:
        found = choose_images(replace(settings, select=select), augmented, entropy)
        assert len(found['train']) == 50 and len(found['held_out']) == 32
    assert len(asked) == 1 and len(asked[0]) == 500
    with pytest.raises(ConfigError, match="'teacher_entropy' needs a teacher"):
        choose_images(replace(settings, select='teacher_entropy'), augmented)
    with pytest.raises(ConfigError, match="proxy.select: 'entropy' is unknown, did you mean"):
        choose(None, 100, 10, 10, 0, 'entropy')


@pytest.mark.parametrize('size', [4, 12])
def test_resized_pixels(augmented, size):
    """Against a plain antialiased triangle filter, pixel by pixel."""
    full = read_one(augmented, 7, 0, seed=5)[0]
    found = read_one(augmented, 7, 0, seed=5, input_size=size)[0]
    assert found.shape == (1, size, size) and found.dtype == np.uint8
    scale = 8 / size
    support = max(scale, 1.0)
    centres = (np.arange(size) + 0.5) * scale
    weights = np.maximum(0, 1 - np.abs(centres[:, None] - np.arange(8) - 0.5) / support)
    weights /= weights.sum(1, keepdims=True)
    expected = weights @ full[0].astype(float) @ weights.T
    assert np.abs(found[0] - expected).max() <= 0.51
    assert expected.std() > 10


def test_size_that_is_there_already_and_several_channels(augmented):
    full = read_one(augmented, 7, 0, seed=5)
    assert np.array_equal(read_one(augmented, 7, 0, 5, input_size=8)[0], full[0])
    image = torch.arange(3 * 6 * 10).view(3, 6, 10).to(torch.uint8)
    found = resize(image, (4, 4))
    assert found.shape == (3, 4, 4) and found.dtype == torch.uint8
    pixels, labels = np.zeros((2, 1, 5, 5), np.uint8), np.zeros(2, np.int64)
    read_views(augmented, np.array([7, 3]), 1, 5, pixels, labels, input_size=5)
    assert np.array_equal(pixels[0], read_one(augmented, 7, 0, 5, 5)[0]) and pixels[1].any()


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


def test_held_out_annotations_are_loaded_before_what_resizes():
    """As in training; pipelines of validation load them at the original size."""
    image, load = dict(type='mmdet.LoadImageFromFile'), dict(type='mmdet.LoadAnnotations')
    small, pack = dict(type='mmdet.Resize', scale=(8, 8)), dict(type='mmdet.PackDetInputs')
    wanted = dict(load, with_bbox=True)
    train = dict(pipeline=[image, wanted, dict(type='RandomFlip'), pack])
    for plain in ([image, small, load, pack], [image, small, pack]):
        found = held_out_dataset_config(train, dict(dataset=dict(pipeline=plain)))
        assert found['pipeline'] == [image, wanted, small, pack]
        assert plain[1] is small
