"""Images with boxes or segmentation maps, of several sizes."""

import dense_tasks
import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS

from autokd_mm.errors import ConfigError, DataError
from autokd_mm.proxy import data
from autokd_mm.proxy.choice import choose_images
from autokd_mm.proxy.data import read_arrays, read_one, whole
from autokd_mm.proxy.settings import ProxySettings
from autokd_mm.seeding import seeded


@pytest.fixture(scope='module')
def dense(tmp_path_factory):
    """The data sets of both dense tasks, by name and scope."""
    root = tmp_path_factory.mktemp('dense')
    dense_tasks.write_coco(root / 'coco', empty=(3, ), outside=(2, ), crowd=(5, ))
    dense_tasks.write_maps(root / 'seg')
    return dict(mmdet=dense_tasks.built(dense_tasks.detection_datasets(root / 'coco')),
                mmseg=dense_tasks.built(dense_tasks.segmentation_datasets(root / 'seg')))


@pytest.mark.parametrize('scope', ['mmdet', 'mmseg'])
@pytest.mark.parametrize('name', ['train', 'held_out'])
def test_dense_samples_are_those_of_the_pipeline(dense, scope, name):
    dataset = dense[scope][name]
    for index in (0, 2, 3, 5):
        with seeded(7, index, 1):
            expected = dataset[index]
        pixels, sample = read_one(dataset, index, 1, 7)
        assert np.array_equal(pixels, expected['inputs'].numpy())
        wanted = expected['data_samples']
        for key in ('img_shape', 'ori_shape', 'scale_factor'):
            assert tuple(sample.get(key)) == tuple(wanted.get(key))
        if scope == 'mmdet':
            for part in ('gt_instances', 'ignored_instances'):
                found, kept = wanted.get(part), sample.get(part)
                assert torch.equal(kept.bboxes.tensor, found.bboxes.tensor)
                assert torch.equal(kept.labels, found.labels)
            assert len(sample.gt_instances) == {3: 0, 5: 1}.get(index, 2)
            assert len(sample.ignored_instances) == (index == 5)
        else:
            assert torch.equal(sample.gt_sem_seg.data, wanted.gt_sem_seg.data)
            assert set(sample.gt_sem_seg.data.unique().tolist()) == {0, 1, 2, 255}


def test_held_out_boxes_lie_on_the_resized_image(dense):
    """Images of 40 x 56 become 46 x 64."""
    sample = read_one(dense['mmdet']['held_out'], 0, 0, 0)[1]
    factors = np.array([64 / 56, 46 / 40] * 2)
    assert np.allclose(sample.gt_instances.bboxes.tensor[0], [4, 5, 20, 25] * factors)


@pytest.mark.parametrize('scope', ['mmdet', 'mmseg'])
def test_shorter_side_of_dense_images(dense, scope):
    """The pixels of the resized image, with annotations that lie where they lay."""
    dataset = dense[scope]['train']
    for index, size in ((0, (24, 33)), (1, (32, 24))):
        full, _, before = read_arrays(dataset, index, 0, 3)
        pixels, sample = read_one(dataset, index, 0, 3, input_size=24)
        assert pixels.shape == (3, *size) and sample.img_shape == size
        assert abs(pixels.mean() - full.mean()) < 2 and sample.ori_shape == tuple(
            before['ori_shape'])
        factors = np.array([size[1] / full.shape[2], size[0] / full.shape[1]])
        assert np.allclose(sample.scale_factor, before['scale_factor'] * factors)
        if scope == 'mmdet':
            assert np.allclose(sample.gt_instances.bboxes.tensor,
                               before['boxes'] * np.tile(factors, 2), rtol=1e-6)
        else:
            found = sample.gt_sem_seg.data
            assert found.shape == (1, *size)
            for value in (0, 1, 2, 255):
                share = (before['segmentation'] == value).mean()
                assert abs((found == value).double().mean().item() - share) < 0.06


def test_images_that_a_json_names_and_are_not_there(tmp_path):
    dense_tasks.write_coco(tmp_path, count=4)
    dense_tasks.write_coco_json(tmp_path, 6)
    dataset = dense_tasks.built(dense_tasks.detection_datasets(tmp_path))['train']
    assert read_one(dataset, 3, 0, 0)[0].shape[0] == 3
    with pytest.raises(DataError, match=r'train_dataloader.dataset: .*images/004.png is not '
                                        r'there, .*data_root=.*' + tmp_path.name):
        read_one(dataset, 4, 0, 0)


def test_image_that_is_none(tmp_path):
    dense_tasks.write_coco(tmp_path, count=4)
    dataset = dense_tasks.built(dense_tasks.detection_datasets(tmp_path))['train']
    (tmp_path / 'images' / '002.png').write_bytes(b'no image')
    assert read_one(dataset, 3, 0, 0)[0].shape[0] == 3
    with pytest.raises(DataError, match=r'train_dataloader.dataset: sample 2: failed to load '
                                        r'image: .*images/002.png'):
        read_one(dataset, 2, 0, 0)


def test_map_that_is_not_there(tmp_path):
    dense_tasks.write_maps(tmp_path, 4)
    dataset = dense_tasks.built(dense_tasks.segmentation_datasets(tmp_path))['train']
    (tmp_path / 'maps' / '002.png').unlink()
    with pytest.raises(DataError, match='maps/002.png is not there'):
        read_one(dataset, 2, 0, 0)


def test_shares_of_a_data_set_without_images_that_it_leaves_out(tmp_path):
    """CocoDataset leaves out images without boxes where it is told to."""
    dense_tasks.write_coco(tmp_path, empty=(1, 4, 6, 9))
    settings = ProxySettings(images=0.5, held_out=0.25, batch_size=2)
    for leave_out, numbers in ((False, (6, 3)), (True, (4, 2))):
        dataset = dense_tasks.built(dense_tasks.detection_datasets(
            tmp_path, filter_empty=leave_out))['train']
        chosen = choose_images(settings, dataset)
        assert (len(chosen['train']), len(chosen['held_out'])) == numbers
        assert not set(chosen['train']) & set(chosen['held_out'])
        assert max(chosen['train']) < len(dataset)


@pytest.mark.parametrize('scope', ['mmdet', 'mmseg'])
def test_choice_by_entropy_of_dense_images_is_refused(dense, scope):
    settings = ProxySettings(images=4, held_out=2, batch_size=2, select='teacher_entropy')
    with pytest.raises(ConfigError, match="proxy.select: 'teacher_entropy' needs one class label "
                                          "for each image; 'class_balanced' and 'random'"):
        choose_images(settings, dense[scope]['train'], lambda indices: pytest.fail('asked'))


def test_floats_of_a_detection_pipeline_are_rounded(tmp_path, monkeypatch):
    """Colours are distorted in float32, and beyond 0 and 255."""
    dense_tasks.write_coco(tmp_path, 4)
    distort = dict(type='mmdet.PhotoMetricDistortion', brightness_delta=200)
    train, _ = dense_tasks.detection_datasets(tmp_path, train_steps=[distort])
    dataset, made = DATASETS.build(train), []
    monkeypatch.setattr(data, 'whole', lambda image: made.append(image) or whole(image))
    found = [read_one(dataset, index, 0, 0)[0] for index in range(4)]
    assert all(image.dtype == torch.float32 for image in made)
    for pixels, image in zip(found, made):
        assert pixels.dtype == np.uint8
        assert np.abs(pixels - image.clamp(0, 255).numpy()).max() <= 0.5
    assert any(((image < 0) | (image > 255)).any() for image in made)


def test_normalised_images_are_refused(tmp_path):
    dense_tasks.write_coco(tmp_path, 4)
    normalise = dict(type='mmcv.Normalize', mean=[120, 120, 120], std=[60, 60, 60])
    train, _ = dense_tasks.detection_datasets(tmp_path, train_steps=[normalise])
    with pytest.raises(ConfigError, match='keeps images as uint8; .*float32'):
        read_one(DATASETS.build(train), 0, 0, 0)
