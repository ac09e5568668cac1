import copy

import numpy as np
import pytest
import references as ref
import region_references as regions
import torch

from autokd_mm.errors import ConfigError
from autokd_mm.models.transforms import (BatchBoxes, ForegroundBackgroundTransform,
                                         InstancesTransform)
from autokd_mm.models.transforms import regions as module


def batch_of(seed, n, **options):
    boxes, images, batch = regions.random_batch(seed, n, **options)
    return BatchBoxes(tuple(boxes), tuple(images), batch), (boxes, images, batch)


def shown(transform, boxes):
    transform.show(boxes)
    return transform


def one_image(boxes, image=(40, 40), batch=(40, 40)):
    return BatchBoxes((torch.tensor(boxes, dtype=torch.float32).view(-1, 4), ), (image, ), batch)


# ---------------------------------------------------------------- foreground and background
def test_weights_equal_the_equations():
    covered = 0
    for seed in range(50):
        student, _ = ref.random_pair(seed, (1, 1, 1, 1), (4, 2, 12, 12))
        boxes, plain = batch_of(seed, len(student))
        transform = shown(ForegroundBackgroundTransform(0.7), boxes)
        expected = regions.weights(*plain, tuple(student.shape[2:]), 0.7)
        assert transform.weights(student).shape == (len(student), 1) + student.shape[2:]
        np.testing.assert_allclose(transform.weights(student)[:, 0].numpy(), expected, rtol=1e-6)
        covered += (regions.masks(*plain, tuple(student.shape[2:]))[0] > 0).any((1, 2)).sum()
    assert covered > 50  # images with a foreground


def test_both_features_are_multiplied_by_the_root():
    for seed in range(10):
        student, teacher = ref.random_pair(seed)
        boxes, plain = batch_of(seed, len(student))
        pair = shown(ForegroundBackgroundTransform(0.5), boxes)(student, teacher)
        weight = regions.weights(*plain, tuple(student.shape[2:]), 0.5)
        for result, expected in zip(pair, regions.weighted(*ref.arrays(student, teacher), weight)):
            np.testing.assert_allclose(result.detach().numpy(), expected, rtol=1e-5, atol=1e-6)


def weights_of(boxes, size=(4, 4), background_weight=1.):
    transform = shown(ForegroundBackgroundTransform(background_weight), boxes)
    return transform.weights(torch.zeros((1, 1) + size))[0, 0] / (size[0] * size[1])


def test_each_box_weighs_1_and_all_background_its_weight():
    weights = weights_of(one_image([[0, 0, 20, 10], [30, 30, 40, 40]]), background_weight=0.5)
    assert weights[0].tolist() == [0.5, 0.5, pytest.approx(0.5 / 13), pytest.approx(0.5 / 13)]
    assert weights[3, 3] == 1 and float(weights.sum()) == pytest.approx(2.5)


def test_weights_end_where_the_crop_of_an_image_does():
    """13 cells of stride 64 are 832 pixels: an image of 448 has seven rows, as it has alone, and
    a box in the last of them lies there."""
    boxes = one_image([[0, 384, 64, 448]], image=(448, 800), batch=(800, 800))
    weights = weights_of(boxes, (13, 13), 0.5)
    assert weights[6, 0] == 1 and float(weights[:7].sum()) == pytest.approx(1.5)
    assert not weights[7:].any() and boxes.image_on(0, (13, 13)) == (7, 13)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_weights_have_the_precision_of_the_feature(dtype):
    transform = shown(ForegroundBackgroundTransform(), one_image([[0, 0, 20, 10]]))
    feature = torch.ones(1, 2, 4, 4, dtype=dtype)
    assert transform.weights(feature).dtype == transform(feature, feature)[0].dtype == dtype


def test_the_smallest_box_decides():
    weights = weights_of(one_image([[0, 0, 40, 40], [0, 0, 10, 20], [0, 0, 20, 20]]))
    assert weights[:, 0].tolist() == [0.5, 0.5, 1 / 16, 1 / 16]
    assert weights[1].tolist() == [0.5, 0.25, 1 / 16, 1 / 16]


@pytest.mark.parametrize('box, cell', [
    ((12, 13, 14, 15), (1, 1)), ((10, 10, 10, 10), (1, 1)), ((0, 39.5, 0.5, 40), (3, 0)),
    ((39, 0, 60, 5), (0, 3)), ((-20, -5, 3, 9), (0, 0))])
def test_a_box_covers_at_least_one_cell_and_is_clipped(box, cell):
    weights = weights_of(one_image([box]), background_weight=0)
    assert weights[cell] == 1 and weights.sum() == 1


@pytest.mark.parametrize('box', [
    (50, 0, 60, 10), (-20, 0, -1, 10), (0, 40, 10, 50), (0, -9, 10, 0), (20, 0, 10, 10),
    (float('nan'), 0, 10, 10)])
def test_what_is_not_in_the_image_is_no_foreground(box):
    assert torch.equal(weights_of(one_image([box])), torch.full((4, 4), 1 / 16))
    assert torch.equal(weights_of(one_image([box, (0, 0, 10, 10)]), background_weight=0),
                       weights_of(one_image([(0, 0, 10, 10)]), background_weight=0))


def test_without_boxes_all_is_background_and_padding_is_nothing():
    weights = weights_of(one_image([], image=(21, 30)), background_weight=2.)
    assert torch.equal(weights > 0, torch.tensor([[True] * 3 + [False]] * 3 + [[False] * 4]))
    assert float(weights.sum()) == pytest.approx(2)
    weights = weights_of(one_image([[0, 0, 40, 40]], image=(21, 30)))
    assert float(weights.sum()) == pytest.approx(1) and weights[0, 0] == weights[2, 2] > 0
    assert not weights[3].any() and not weights[:, 3].any()


def test_many_boxes_are_read_in_blocks(monkeypatch):
    boxes, plain = batch_of(1, 2, most=40)
    transform, feature = shown(ForegroundBackgroundTransform(), boxes), torch.zeros(2, 1, 9, 9)
    whole = transform.weights(feature)
    monkeypatch.setattr(module, 'block_size', lambda tensor: 200)
    assert torch.equal(transform.weights(feature), whole)


@pytest.mark.parametrize('weight', [-0.1, float('inf'), float('nan'), '1'])
def test_wrong_background_weight(weight):
    with pytest.raises(ConfigError, match='background_weight must be a number of at least 0'):
        ForegroundBackgroundTransform(weight)


# ---------------------------------------------------------------- instances
def test_instances_equal_the_equations():
    pooled = 0
    for seed in range(50):
        pair = ref.random_pair(seed, (1, 1, 1, 1), (3, 3, 12, 12))
        boxes, plain = batch_of(seed, len(pair[0]), most=3)
        for result, feature in zip(shown(InstancesTransform(), boxes)(*pair), ref.arrays(*pair)):
            expected = regions.instances(feature, *plain)
            assert result.shape == expected.shape
            np.testing.assert_allclose(result.detach().numpy(), expected, rtol=1e-5, atol=1e-5)
            pooled += len(result)
    assert pooled > 50


def test_gradcheck_of_instances():
    student, teacher = ref.random_pair(3, (2, 2, 5, 5), dtype=torch.float64)
    transform = shown(InstancesTransform(3), batch_of(4, len(student))[0])
    assert len(transform(student, teacher)[0]) > 1
    assert torch.autograd.gradcheck(lambda s: transform(s, teacher)[0], (student, ))


def test_padding_is_in_no_instance():
    feature = torch.zeros(1, 1, 4, 4)
    feature[..., 3:] = 1e6
    feature[..., 2:, :] = 1e6
    boxes = one_image([[0, 0, 40, 40], [25, 15, 30, 20]], image=(20, 30))
    assert not any(result.any() for result in shown(InstancesTransform(), boxes)(feature, feature))


def test_a_tiny_box_is_one_cell():
    feature = torch.arange(16.).view(1, 1, 4, 4)
    tiny, cell = (shown(InstancesTransform(), one_image([box]))(feature, feature)[0]
                  for box in ((15, 25, 15, 25), (10, 20, 20, 30)))
    assert torch.equal(tiny, cell) and float(cell.mean()) == pytest.approx(9)
    corner, = shown(InstancesTransform(1), one_image([(39.9, 39.9, 40, 40)]))(feature, feature)[0]
    assert float(corner) == 15


def test_no_boxes_give_no_instances():
    feature = torch.randn(1, 3, 4, 4)
    for boxes in ([], [(50, 0, 60, 10)]):
        student, teacher = shown(InstancesTransform(), one_image(boxes))(feature, feature)
        assert student.shape == teacher.shape == (0, 3, 7, 7)


@pytest.mark.parametrize('side', [0, 2.5, '7'])
def test_wrong_side(side):
    with pytest.raises(ConfigError, match='InstancesTransform.side must be a whole number above 0'):
        InstancesTransform(side)


# ---------------------------------------------------------------- both
@pytest.mark.parametrize('kind', [ForegroundBackgroundTransform, InstancesTransform])
def test_boxes_are_shown_and_forgotten(kind):
    feature = torch.randn(1, 2, 4, 4)
    transform = kind()
    with pytest.raises(ConfigError, match='needs the boxes of the batch; show_samples'):
        transform(feature, feature)
    transform.show(one_image([[0, 0, 10, 10]]))
    transform(feature, feature)
    with pytest.raises(ValueError, match='boxes of 1 images were shown, and the features are of 2'):
        transform(feature.repeat(2, 1, 1, 1), feature.repeat(2, 1, 1, 1))
    transform.forget()
    with pytest.raises(ConfigError, match='needs the boxes of the batch'):
        copy.deepcopy(transform)(feature, feature)
    assert not transform.state_dict()


@pytest.mark.parametrize('kind', [ForegroundBackgroundTransform, InstancesTransform])
def test_boxes_of_any_precision(kind):
    feature = torch.randn(1, 2, 8, 8)
    expected = None
    for dtype in (torch.float64, torch.float32, torch.int64, torch.float16):
        boxes = one_image([[4, 8, 30, 36]])
        boxes = BatchBoxes((boxes.boxes[0].to(dtype), ), boxes.images, boxes.batch)
        result, _ = shown(kind(), boxes)(feature, feature)
        expected = result if expected is None else expected
        assert torch.equal(result, expected)
