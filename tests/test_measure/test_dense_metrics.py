"""Mean IoU and box mAP against numbers worked out by hand."""
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from autokd_mm.measure.dense_metrics import BoxMAP, MeanIoU, in_windows, mean_iou


def test_mean_iou_by_hand():
    # Class 0: 3 / (4 + 5 - 3), class 1: 2 / (4 + 3 - 2), class 2 does not occur.
    confusion = torch.tensor([[3, 1, 0], [2, 2, 0], [0, 0, 0]])
    assert mean_iou(confusion) == pytest.approx((3 / 6 + 2 / 5) / 2)
    assert np.isnan(mean_iou(torch.zeros(3, 3)))


def test_mean_iou_of_batches():
    """Two batches of maps of different size; 255 is ignored, logits are as large as the maps."""
    metric = MeanIoU('scores')
    for truth, said in ((torch.tensor([[[0, 1], [1, 255]]]), torch.tensor([[0, 1], [0, 2]])),
                        (torch.tensor([[[2]]]), torch.tensor([[1]]))):
        logits = torch.nn.functional.one_hot(said, 3).movedim(-1, 0)[None].float()
        sample = SimpleNamespace(gt_sem_seg=SimpleNamespace(data=truth))
        metric.add(torch.nn.Identity(), dict(scores=logits), torch.zeros(1, 3, 2, 2), [sample])
    # Class 0: 1 of 2 pixels, class 1: 1 of 3, class 2: 0 of 1.
    assert metric.value() == pytest.approx((1 / 2 + 1 / 3 + 0) / 3)


@pytest.mark.parametrize('ignored, expected', [(255, (0 + 1 / 2 + 1) / 3), (0, 1)])
def test_what_the_loss_leaves_out_does_not_count(ignored, expected):
    """A pixel of class 0, of which the student says 1, and one of padding."""
    student = torch.nn.Module()
    student.decode_head = torch.nn.ModuleList([torch.nn.Module(), torch.nn.Module()])
    student.decode_head[-1].ignore_index = ignored
    logits = torch.nn.functional.one_hot(torch.tensor([[1, 1], [2, 0]]), 3).movedim(-1, 0)
    truth = torch.tensor([[[0, 1], [2, 255]]])
    metric = MeanIoU('scores')
    sample = SimpleNamespace(gt_sem_seg=SimpleNamespace(data=truth))
    metric.add(student, dict(scores=logits[None].float()), torch.zeros(1, 3, 2, 2), [sample])
    assert metric.value() == pytest.approx(expected)
    predicted = MeanIoU()
    whole = SegDataSample(metainfo=dict(img_shape=(2, 2)), gt_sem_seg=PixelData(data=truth))
    student.predict = lambda _, samples: [
        one.set_data(dict(pred_sem_seg=PixelData(data=logits.argmax(0)[None]))) or one
        for one in samples]
    predicted.add(student, {}, torch.zeros(1, 3, 2, 2), [whole])
    assert predicted.value() == pytest.approx(expected)


@pytest.mark.parametrize('corners', [False, True])
def test_logits_are_enlarged_as_the_head_says(corners):
    """Scores 0 and 1 of one class against 0.3 of the other, on four pixels: between corners they
    are 0, 1/3, 2/3, 1, otherwise 0, 1/4, 3/4, 1."""
    student = torch.nn.Module()
    student.decode_head = torch.nn.Module()
    student.decode_head.align_corners = corners
    logits = torch.stack([torch.tensor([[0.3, 0.3]]), torch.tensor([[0.0, 1.0]])])[None]
    sample = SimpleNamespace(gt_sem_seg=SimpleNamespace(data=torch.tensor([[[0, 1, 1, 1]]])))
    metric = MeanIoU('scores')
    metric.add(student, dict(scores=logits), torch.zeros(1, 3, 1, 4), [sample])
    assert metric.value() == pytest.approx(1.0 if corners else (1 / 2 + 2 / 3) / 2)


@pytest.mark.parametrize('test_cfg, slides', [
    (None, False), (dict(mode='whole'), False), ({}, False),
    (dict(mode='slide', crop_size=(64, 64), stride=(42, 42)), True)])
def test_windows(test_cfg, slides):
    assert in_windows(test_cfg) == slides


@pytest.mark.parametrize('threshold, expected', [(None, (1 / 2 + 2 / 3) / 2), (0.3, 1)])
def test_one_channel_is_a_class_and_the_rest(threshold, expected):
    """Probabilities of 0.27, 0.4, 0.73 and 0.88 where class 0, 1, 1 and 1 is right."""
    logits = torch.tensor([[-1., -0.4], [1., 2.]]).view(1, 1, 2, 2)
    student = torch.nn.Module()
    student.decode_head = torch.nn.Module()
    student.decode_head.threshold = threshold
    metric = MeanIoU('scores')
    truth = torch.tensor([[[0, 1], [1, 1]]])
    sample = SimpleNamespace(gt_sem_seg=SimpleNamespace(data=truth))
    metric.add(student, dict(scores=logits), torch.zeros(1, 3, 2, 2), [sample])
    assert metric.value() == pytest.approx(expected)


class Segmentor(torch.nn.Module):
    """Predicts the class that the red channel says, as MMSegmentation hands results out: cut to
    the image and resized to ``ori_shape``."""

    def predict(self, inputs, samples):
        for image, sample in zip(inputs, samples):
            left, right, top, bottom = sample.padding_size
            assert sample.img_shape == sample.pad_shape == tuple(inputs.shape[-2:])
            height, width = inputs.shape[-2] - bottom, inputs.shape[-1] - right
            assert (left, top) == (0, 0) and sample.ori_shape == (height, width)
            sample.pred_sem_seg = PixelData(data=image[:1, :height, :width].long())
        return samples


def test_mean_iou_of_what_is_predicted():
    inputs, samples = torch.full((2, 3, 4, 6), 9.), []
    for number, truth in enumerate(([[0, 1], [1, 255]], [[2, 2], [2, 2]])):
        inputs[number, 0, :2, :2] = torch.tensor([[0, 1], [0, 2]])
        sample = SegDataSample(metainfo=dict(img_shape=torch.Size((2, 2)), ori_shape=(8, 8)))
        padded = torch.full((1, 4, 6), 255)
        padded[0, :2, :2] = torch.tensor(truth)
        sample.gt_sem_seg = PixelData(data=padded)
        samples.append(sample)
    metric = MeanIoU()
    metric.add(Segmentor(), {}, inputs, samples)
    # Class 0: 1 hit of 4 pixels, class 1: 1 of 3, class 2: 1 of 4.
    assert metric.value() == pytest.approx((1 / 4 + 1 / 3 + 1 / 4) / 3)
    assert 'pred_sem_seg' not in samples[0] and samples[0].ori_shape == (8, 8)


class Detector:
    """Says of each image what it is given: rows of (x1, y1, x2, y2, label, score)."""

    def __init__(self, *images):
        self.images = list(images)

    def predict(self, inputs, samples, rescale):
        assert rescale is False
        for sample in samples:
            rows = torch.tensor(self.images.pop(0)).float().view(-1, 6)
            sample.pred_instances = SimpleNamespace(bboxes=rows[:, :4], labels=rows[:, 4].long(),
                                                    scores=rows[:, 5])
        return samples


def sample_of(boxes, ignored=()):
    """Rows of (x1, y1, x2, y2, label)."""
    values = {}
    for name, rows in (('gt_instances', boxes), ('ignored_instances', ignored)):
        rows = torch.tensor(rows).float().view(-1, 5)
        values[name] = SimpleNamespace(bboxes=rows[:, :4], labels=rows[:, 4].long())
    return SimpleNamespace(**values)


def value(samples, *said):
    metric, detector = BoxMAP(), Detector(*said)
    for sample in samples:
        metric.add(detector, {}, torch.zeros(1, 3, 8, 8), [sample])
    return metric.value()


BOX, OTHER = [0, 0, 10, 10], [20, 20, 40, 30]


def test_map_by_hand():
    image = sample_of([BOX + [1], OTHER + [2]])
    # Both found; one of two classes found; a class that is not there costs nothing.
    assert value([image], [BOX + [1, 0.9], OTHER + [2, 0.8]]) == pytest.approx(1)
    assert value([image], [BOX + [1, 0.9], BOX + [3, 0.9]]) == pytest.approx(0.5)
    assert value([image], [BOX + [2, 0.9]]) == 0
    # IoU 0.72: right for the thresholds 0.50 to 0.70, five of ten.
    assert value([sample_of([BOX + [0]])], [[0, 0, 10, 7.2, 0, 1]]) == pytest.approx(0.5)
    # A wrong box above the right one: precision 1/2 at every recall.
    assert value([sample_of([BOX + [0]])], [OTHER + [0, 0.9], BOX + [0, 0.5]]) == pytest.approx(0.5)


def test_width_and_height_of_boxes_anywhere():
    """IoU 0.72 again, of boxes far from the corner, in either direction."""
    for low, high in (([30, 50, 40, 60], [30, 50, 40, 57.2]), ([50, 30, 60, 40],
                                                               [50, 30, 57.2, 40])):
        assert value([sample_of([low + [0]])], [high + [0, 1]]) == pytest.approx(0.5)


def test_map_of_several_images():
    """The same class in two images, found in one: recall 1/2, 51 of the 101 points of recall."""
    images = [sample_of([BOX + [4]]), sample_of([OTHER + [4]])]
    assert value(images, [BOX + [4, 0.5]], []) == pytest.approx(51 / 101)


def test_ignored_boxes_cost_nothing():
    image = sample_of([BOX + [1]], ignored=[OTHER + [1]])
    assert value([image], [OTHER + [1, 0.9], BOX + [1, 0.5]]) == pytest.approx(1)


def test_map_of_nothing():
    assert value([sample_of([BOX + [0]])], []) == 0
    assert np.isnan(value([sample_of([])], [BOX + [0, 1]]))
    assert np.isnan(value([sample_of([], ignored=[BOX + [0]])], [BOX + [0, 1]]))


def masked(sample, *rectangles, size=(24, 48)):
    """Gives the truth of a sample masks: rectangles of (x1, y1, x2, y2) in an image of 20 x 40,
    padded to ``size``."""
    from mmdet.structures.mask import BitmapMasks
    sample.img_shape = (20, 40)
    sample.gt_instances.masks = BitmapMasks(drawn(rectangles, size).astype(np.uint8), *size)
    return sample


def drawn(rectangles, size):
    found = np.zeros((len(rectangles), *size), bool)
    for mask, (left, top, right, bottom) in zip(found, rectangles):
        mask[top:bottom, left:right] = True
    return found


class Segmenter(Detector):
    """Says the boxes, and for each a mask."""

    def __init__(self, rows, rectangles, size=(20, 40)):
        super().__init__(rows)
        self.masks = torch.from_numpy(drawn(rectangles, size))

    def predict(self, inputs, samples, rescale):
        super().predict(inputs, samples, rescale)[0].pred_instances.masks = self.masks
        return samples


def value_of(detector, masks, *rectangles):
    metric, sample = BoxMAP(masks), sample_of([BOX + [1], OTHER + [2]])
    metric.add(detector, {}, torch.zeros(1, 3, 24, 48), [masked(sample, *rectangles)])
    return metric.value()


def test_map_of_masks_by_hand():
    truth = (0, 0, 10, 10), (20, 10, 40, 20)
    rows = [BOX + [1, 0.9], OTHER + [2, 0.8]]
    said = Segmenter(rows, ((0, 0, 10, 10), (20, 10, 30, 20)))
    # The first is right, the second has IoU 0.5: right for one threshold of ten.
    assert value_of(said, True, *truth) == pytest.approx((1 + 0.1) / 2)
    assert value_of(Segmenter(rows, truth), True, *truth) == pytest.approx(1)
    # The boxes are right whatever the masks.
    assert value_of(Segmenter(rows, ((0, 0, 1, 1), ) * 2), False, *truth) == pytest.approx(1)


def test_masks_where_boxes_have_no_area():
    truth = (0, 0, 10, 10), (20, 10, 40, 20)
    rows = [[0, 0, 0, 0, 1, 0.9], [0, 0, 0, 0, 2, 0.8]]
    assert value_of(Segmenter(rows, truth), False, *truth) == pytest.approx(1)
    assert value_of(Segmenter(rows, truth[::-1]), False, *truth) == 0


def test_masks_in_the_size_of_another_image():
    truth = (0, 0, 10, 10), (20, 10, 40, 20)
    rows = [BOX + [1, 0.9], OTHER + [2, 0.8]]
    large = [tuple(3 * side for side in box) for box in truth]
    assert value_of(Segmenter(rows, large, (60, 120)), True, *truth) == pytest.approx(1)


def test_boxes_where_nobody_has_masks():
    metric, sample = BoxMAP(True), sample_of([BOX + [1]])
    metric.add(Detector([BOX + [1, 0.9]]), {}, torch.zeros(1, 3, 24, 48), [sample])
    assert metric.value() == pytest.approx(1)


class Outside(Detector):
    """Cannot paste what it says of the second image."""

    def predict(self, inputs, samples, rescale):
        if samples[-1].number == 1:
            raise RuntimeError('upper bound and lower bound inconsistent with step sign')
        return super().predict(inputs, samples, rescale)


def test_masks_that_cannot_be_pasted():
    metric, samples = BoxMAP(), [sample_of([BOX + [4]]), sample_of([OTHER + [4]])]
    samples[0].number, samples[1].number = 0, 1
    metric.add(Outside([BOX + [4, 0.5]]), {}, torch.zeros(2, 3, 8, 8), samples)
    assert metric.value() == pytest.approx(51 / 101)
    with pytest.raises(RuntimeError, match='memory'):
        metric.add(SimpleNamespace(predict=no_memory), {}, torch.zeros(2, 3, 8, 8), samples)


def no_memory(*args, **values):
    raise RuntimeError('out of memory')
