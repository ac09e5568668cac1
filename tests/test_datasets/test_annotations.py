"""Data samples as arrays and back."""
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.structures import InstanceData, PixelData
from mmpretrain.structures import DataSample
from mmseg.structures import SegDataSample

from autokd_mm.datasets.annotations import (LAYOUT, kind_in, kind_of, make_samples,
                                            refuse_panoptic, resized, to_arrays, to_sample)
from autokd_mm.errors import ConfigError, DataError

SIZE = (40, 60)  # height, width
BOXES = [[2., 3., 20., 30.], [5.5, 0., 60., 40.]]


def detection(boxes=BOXES, ignored=((0., 0., 9., 9.), ), box_type=HorizontalBoxes, **more):
    sample = DetDataSample(metainfo=dict(img_shape=SIZE, ori_shape=(80, 120),
                                         scale_factor=(0.5, 0.5)))
    for name, found in (('gt_instances', boxes), ('ignored_instances', ignored)):
        tensor = torch.tensor(found, dtype=torch.float32) if len(found) else torch.zeros(0, 4)
        setattr(sample, name, InstanceData(bboxes=box_type(tensor),
                                           labels=torch.arange(len(found)) + 1))
    for name, value in more.items():
        setattr(sample, name, value)
    return sample


def segmentation(found, **more):
    sample = SegDataSample(metainfo=dict(img_shape=SIZE, ori_shape=SIZE, scale_factor=(1., 1.)))
    sample.gt_sem_seg = PixelData(data=torch.as_tensor(found))
    for name, value in more.items():
        setattr(sample, name, value)
    return sample


def a_map(seed=0):
    found = torch.randint(0, 19, (1, *SIZE), generator=torch.Generator().manual_seed(seed))
    found[:, :3] = 255
    return found


@pytest.mark.parametrize('box_type', [HorizontalBoxes, torch.as_tensor])
def test_boxes_there_and_back(box_type):
    sample = detection(box_type=box_type)
    arrays = to_arrays(sample, SIZE)
    again = to_sample('boxes', arrays, SIZE)
    assert kind_of(sample) == kind_of(again) == kind_in(arrays) == 'boxes'
    assert again.gt_instances.bboxes.tensor.tolist() == BOXES
    assert again.gt_instances.labels.tolist() == [1, 2]
    assert again.ignored_instances.bboxes.tensor.tolist() == [[0, 0, 9, 9]]
    assert again.ignored_instances.labels.tolist() == [1]
    assert (again.img_shape, again.ori_shape, again.scale_factor) == (SIZE, (80, 120), (0.5, 0.5))


def test_arrays_are_those_of_the_layout():
    samples = dict(boxes=detection(), segmentation=segmentation(a_map()),
                   label=DataSample().set_gt_label(3))
    for kind, sample in samples.items():
        arrays = to_arrays(sample, SIZE)
        assert set(arrays) == set(LAYOUT[kind])
        for name, (shape, dtype) in LAYOUT[kind].items():
            assert arrays[name].dtype == dtype and arrays[name].ndim == len(shape)
            assert all(wanted in (None, found) for wanted, found in zip(shape,
                                                                        arrays[name].shape))


def test_image_without_boxes():
    arrays = to_arrays(detection(boxes=[], ignored=[]), SIZE)
    assert arrays['boxes'].shape == arrays['ignored_boxes'].shape == (0, 4)
    again = to_sample('boxes', arrays, SIZE)
    assert len(again.gt_instances) == 0 and again.gt_instances.bboxes.tensor.shape == (0, 4)
    bare = DetDataSample(gt_instances=InstanceData(bboxes=torch.zeros(0, 4),
                                                   labels=torch.zeros(0, dtype=torch.long)))
    arrays = to_arrays(bare, SIZE)
    assert arrays['ori_shape'].tolist() == [40, 60] and arrays['scale_factor'].tolist() == [1, 1]


def test_boxes_are_clipped_and_dropped_where_nothing_of_them_is_inside():
    boxes = [[-5., -5., 10., 10.], [50., 30., 99., 99.], [60., 5., 80., 20.], [-9., 1., 0., 5.],
             [7., 7., 7., 9.], [1., 1., 2., 2.]]
    arrays = to_arrays(detection(boxes, ignored=boxes[:3]), SIZE)
    assert arrays['boxes'].tolist() == [[0, 0, 10, 10], [50, 30, 60, 40], [1, 1, 2, 2]]
    assert arrays['labels'].tolist() == [1, 2, 6]
    assert arrays['ignored_boxes'].tolist() == [[0, 0, 10, 10], [50, 30, 60, 40]]


def test_map_there_and_back():
    found = a_map()
    sample = segmentation(found)
    arrays = to_arrays(sample, SIZE)
    again = to_sample('segmentation', arrays, SIZE)
    assert kind_of(again) == kind_in(arrays) == 'segmentation'
    assert torch.equal(again.gt_sem_seg.data, found) and again.gt_sem_seg.data.dtype == torch.int64
    assert (again.gt_sem_seg.data == 255).sum() == 3 * 60


def test_label_there_and_back():
    arrays = to_arrays(DataSample().set_gt_label(3), SIZE)
    assert kind_in(arrays) == 'label' and int(to_sample('label', arrays, SIZE).gt_label) == 3
    samples = make_samples(np.array([3, 1]), torch.device('cpu'))
    assert [int(sample.gt_label) for sample in samples] == [3, 1]
    assert samples[0].gt_label.shape == (1, )


def test_samples_share_nothing():
    """A data_preprocessor changes the samples it is given."""
    arrays = to_arrays(segmentation(a_map()), SIZE)
    to_sample('segmentation', arrays, SIZE).gt_sem_seg.data[:] = 7
    assert (arrays['segmentation'] == a_map().numpy()).all()


def test_resized_boxes():
    arrays = resized(to_arrays(detection(), SIZE), SIZE, (20, 90))
    assert arrays['boxes'].tolist() == [[3, 1.5, 30, 15], [8.25, 0, 90, 20]]
    assert arrays['ignored_boxes'].tolist() == [[0, 0, 13.5, 4.5]]
    assert arrays['scale_factor'].tolist() == [0.75, 0.25]
    assert arrays['ori_shape'].tolist() == [80, 120] and arrays['boxes'].dtype == np.float32


@pytest.mark.parametrize('size', [(20, 30), (80, 120), (25, 47)])
def test_resized_map_is_that_of_the_nearest_pixels(size):
    found = resized(to_arrays(segmentation(a_map()), SIZE), SIZE, size)['segmentation']
    expected = torch.nn.functional.interpolate(a_map()[None].float(), size, mode='nearest-exact')
    assert np.array_equal(found, expected[0].numpy()) and found.dtype == np.uint8


@pytest.mark.parametrize('sample, words', [
    (DetDataSample(), 'one class label, boxes .* or a segmentation map .*LoadAnnotations'),
    (DataSample(), 'one class label'),
    (DataSample().set_gt_label([1, 2]), 'several labels each'),
    (detection(gt_panoptic_seg=PixelData(pan_seg=a_map())), 'panoptic segmentation .* cannot'),
    (detection([[1., 2., 3., 4., 5.]], box_type=torch.as_tensor), r'\(R x 4\), got \(1, 5\)'),
    (segmentation(a_map() + 1), 'as uint8; their classes are 1 to 256'),
    (segmentation(a_map()[:, 1:]), 'map is 1 x 39 x 60, its image 40 x 60'),
    (segmentation(a_map().repeat(2, 1, 1)), 'map is 2 x 40 x 60, its image'),
])
def test_what_is_not_kept_is_refused(sample, words):
    with pytest.raises(ConfigError, match=words):
        to_arrays(sample, SIZE)


def test_a_box_that_is_not_finite():
    with pytest.raises(DataError, match='a box is not finite'):
        to_arrays(detection([[1., 2., float('nan'), 4.]]), SIZE)


def test_a_pipeline_of_panoptic_annotations():
    class LoadPanopticAnnotations:
        pass

    refuse_panoptic([object()])
    with pytest.raises(ConfigError, match=r'\(LoadPanopticAnnotations\) cannot be searched'):
        refuse_panoptic([object(), LoadPanopticAnnotations()])


def test_several_labels_of_an_image_are_refused():
    for sample in (DataSample().set_gt_label([1, 2]), DataSample().set_gt_label([]),
                   DataSample().set_gt_label([1]).set_gt_score(torch.tensor([0., 1.]))):
        with pytest.raises(ConfigError, match='several labels each, or none'):
            kind_of(sample)


def test_a_mask_of_colours_is_told_of():
    with pytest.raises(DataError, match='a mask has 3 channels'):
        to_arrays(segmentation(torch.zeros(4, 6, 3, dtype=torch.long)), (4, 6))


def test_boxes_of_an_image_that_validation_pads_on_all_sides():
    """CornerNet and CenterNet: the image is moved, its boxes are not."""
    from mmdet.registry import TRANSFORMS
    image = np.zeros((40, 60, 3), np.float32)
    image[3:30, 2:20] = 255
    step = TRANSFORMS.build(dict(
        type='RandomCenterCropPad', ratios=None, border=None, mean=[0, 0, 0], std=[1, 1, 1],
        to_rgb=True, test_mode=True, test_pad_mode=['logical_or', 63], crop_size=None))
    padded = step(dict(img=image, img_shape=SIZE))
    sample = detection([[2., 3., 20., 30.]])
    sample.set_metainfo(dict(border=padded['border'], img_shape=padded['img_shape']))
    found = to_arrays(sample, padded['img_shape'])
    rows, columns = np.nonzero(padded['img'][..., 0])
    assert found['boxes'].tolist() == [[columns.min(), rows.min(), columns.max() + 1,
                                        rows.max() + 1]]
    assert found['ignored_boxes'].tolist() == [[padded['border'][2], padded['border'][0],
                                                padded['border'][2] + 9, padded['border'][0] + 9]]
    # Whoever takes the padding off what it has found takes nothing off.
    again = to_sample('boxes', found, padded['img_shape'])
    assert (again.border[2], again.border[0]) == (0, 0)
