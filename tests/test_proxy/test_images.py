"""Batches out of a bank."""
import math

import dense_tasks
import numpy as np
import pytest
import torch

from autokd_mm.bank import FeatureBank, Plan
from autokd_mm.datasets.annotations import LAYOUT
from autokd_mm.proxy.images import ProxyImages, cells

CPU = torch.device('cpu')
SIZES = [(32, 48), (17, 30), (40, 40)]


@pytest.fixture
def dense(tmp_path):
    """Three images; maps of strides 8 and 16 whose cells say their row."""
    rng = np.random.default_rng(0)

    def images(kind):
        made = dict(pixels=[rng.integers(0, 256, (3, *size)).astype(np.uint8) for size in SIZES],
                    ori_shape=np.array(SIZES) * 2, scale_factor=np.full((3, 2), 0.5))
        if kind == 'boxes':
            for name in ('', 'ignored_'):
                made[f'{name}boxes'] = [np.full((row, 4), row) for row in range(3)]
                made[f'{name}labels'] = [np.full(row, row) for row in range(3)]
        else:
            made['segmentation'] = [np.full((1, *size), row) for row, size in enumerate(SIZES)]
        for name, stride in dict(feature_0=8, feature_1=16).items():
            made[name] = [np.full((2, *cells(size, stride)), row + 1)
                          for row, size in enumerate(SIZES)]
        layout = {**LAYOUT[kind], 'pixels': ((3, None, None), 'uint8'),
                  'feature_0': ((2, None, None), 'float16'),
                  'feature_1': ((2, None, None), 'bfloat16')}
        arrays = {name: ((3, *shape), dtype) for name, (shape, dtype) in layout.items()}
        plan = Plan(dict(strides=dict(feature_0=8, feature_1=16)), arrays, 2,
                    dict.fromkeys(arrays, 9))
        bank = FeatureBank.open_or_build(
            str(tmp_path / kind), plan,
            lambda start, stop: {name: values[start:stop] for name, values in made.items()},
            pytest.fail)
        return ProxyImages(bank, CPU), made

    return images


def test_images_with_boxes(dense):
    images, made = dense('boxes')
    inputs, samples = images.batch(np.array([2, 0]))
    assert images.kind == 'boxes' and images.dense and len(images) == 3
    for row, pixels, sample in zip((2, 0), inputs, samples):
        assert torch.equal(pixels, torch.from_numpy(made['pixels'][row]))
        assert sample.img_shape == SIZES[row] and sample.scale_factor == (0.5, 0.5)
        assert sample.ori_shape == tuple(2 * side for side in SIZES[row])
        assert sample.gt_instances.bboxes.tensor.tolist() == [[row] * 4] * row
        assert sample.ignored_instances.labels.tolist() == [row] * row


def test_images_with_maps_go_through_a_data_preprocessor_again_and_again(dense):
    """It changes the samples that it is given."""
    from mmseg.models import SegDataPreProcessor
    images, _ = dense('segmentation')
    prepare = SegDataPreProcessor(size=(64, 48), pad_val=0, seg_pad_val=255)
    for _ in range(2):
        inputs, samples = images.batch(np.arange(3))
        data = prepare(dict(inputs=inputs, data_samples=samples), training=True)
        assert data['inputs'].shape == (3, 3, 64, 48)
        for row, sample in enumerate(data['data_samples']):
            height, width = sample.img_shape
            assert (height, width) == SIZES[row]
            found = sample.gt_sem_seg.data
            assert found.shape == (1, 64, 48) and (found[:, :height, :width] == row).all()
            assert (found == 255).sum() == 64 * 48 - height * width


@pytest.mark.parametrize('batch', [(40, 48), (64, 64), None])
def test_teacher_maps_lie_as_their_images_in_the_batch(dense, batch):
    images, _ = dense('boxes')
    for name, stride in (('feature_0', 8), ('feature_1', 16)):
        found = images.teacher(name, np.array([1, 2, 0]), batch)
        side = [math.ceil(side / stride) for side in batch or (40, 48)]
        assert found.shape == (3, 2, *side) and found.dtype == torch.float32
        for row, values in zip((1, 2, 0), found):
            height, width = cells(SIZES[row], stride)
            assert (values[:, :height, :width] == row + 1).all()
            assert values.sum() == 2 * height * width * (row + 1)


def test_batch_that_is_smaller_than_its_images(dense):
    with pytest.raises(ValueError, match='feature_0: a map of 5x5 cells in a batch of 4x6'):
        dense('boxes')[0].teacher('feature_0', np.array([0, 2]), (32, 48))


def test_images_with_labels(banks):
    images = ProxyImages(banks['train'], CPU)
    rows = np.array([5, 70, 5])
    inputs, samples = images.batch(rows)
    assert images.kind == 'label' and not images.dense and len(images) == 128
    assert inputs.shape == (3, 1, 8, 8) and inputs.dtype == torch.uint8
    arrays = banks['train'].arrays
    assert np.array_equal(inputs.numpy(), arrays['pixels'][rows])
    assert [int(sample.gt_label) for sample in samples] == arrays['labels'][rows].tolist()
    assert samples[0] is samples[2] is images.batch(np.array([5]))[1][0]
    assert np.array_equal(images.teacher('feature', rows).numpy(), arrays['feature'][rows])
    assert images.teacher('logits', rows, (8, 8)).shape == (3, 10)


@pytest.mark.parametrize('kind', ['boxes', 'segmentation'])
def test_a_student_trains_on_them(kind, tmp_path):
    """Images with and without boxes, in one batch."""
    if kind == 'boxes':
        dense_tasks.write_coco(tmp_path / 'data', empty=(0, 3, 5, 7))
        configs = dense_tasks.detection_datasets(tmp_path / 'data')
        networks, layers, scope = dense_tasks.retinanet, 'neck', 'mmdet'
    else:
        dense_tasks.write_maps(tmp_path / 'data')
        configs = dense_tasks.segmentation_datasets(tmp_path / 'data')
        networks, layers, scope = dense_tasks.fcn, 'backbone.layer4', 'mmseg'
    task = dense_tasks.task(dense_tasks.built(configs), networks(4), networks(8),
                            dict(student=layers, teacher=layers), scope)
    images = ProxyImages(task.banks(tmp_path / 'bank')['train'], CPU)
    inputs, samples = images.batch(np.arange(len(images)))
    data = task.student.data_preprocessor(dict(inputs=inputs, data_samples=samples), training=True)
    losses = task.student(data['inputs'], data['data_samples'], mode='loss')
    total = sum(sum(value) if isinstance(value, list) else value
                for name, value in losses.items() if 'loss' in name)
    total.backward()
    assert torch.isfinite(total) and total > 0
    if kind == 'boxes':
        assert {len(sample.gt_instances) for sample in samples} == {0, 2}
    name = task.layers.pairs[0].name
    found = images.teacher(name, np.arange(len(images)), data['inputs'].shape[2:])
    assert found.shape[2:] == cells(data['inputs'].shape[2:], images.strides[name])
