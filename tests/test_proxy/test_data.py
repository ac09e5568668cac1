import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS

from autokd_mm.errors import ConfigError
from autokd_mm.proxy.data import held_out_dataset_config, read_one, read_views, resize

AUGMENT = [dict(type='mmpretrain.RandomCrop', crop_size=8, padding=2),
           dict(type='mmcv.RandomFlip', prob=0.5, direction='horizontal'),
           dict(type='mmpretrain.PackInputs')]


def digits(pipeline, **more):
    return DATASETS.build(dict(type='mmrazor.Digits', split='train', serialize_data=False,
                               pipeline=pipeline, **more))


@pytest.fixture(scope='module')
def augmented():
    return digits(AUGMENT)


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
    (Bad(torch.randn(1, 8, 8), ONE), 'train_pipeline: the proxy keeps images as uint8.*float32'),
    (Bad(torch.zeros(1, 8, 8).byte(), None), 'one class label'),
    (Bad(torch.zeros(1, 8, 8).byte(), torch.tensor([1, 2])), 'several labels each'),
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
    boxes = dict(type='mmdet.LoadProposals', num_max_proposals=9)
    train = dict(pipeline=[image, boxes, wanted, pack])
    plain = [image, dict(boxes, num_max_proposals=None), small, pack]
    found = held_out_dataset_config(train, dict(dataset=dict(pipeline=plain)))
    assert found['pipeline'] == [image, boxes, wanted, small, pack]
