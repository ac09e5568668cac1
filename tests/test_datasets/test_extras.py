"""What a pipeline packs beside boxes, labels and one map: kept in arrays, and given back."""
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.structures import InstanceData, LabelData, PixelData
from mmseg.structures import SegDataSample

from autokd_mm.datasets.annotations import layout_of, names_in, resized, to_arrays, to_sample
from autokd_mm.datasets.extras import is_extra, not_kept
from autokd_mm.errors import ConfigError

SIZE = (21, 30)  # height, width: no multiple of eight pixels
BOXES = [[2., 3., 20., 20.], [40., 0., 50., 9.], [5., 5., 9., 9.]]  # the second is outside


def bitmaps(count=3, size=SIZE, seed=0):
    found = np.random.default_rng(seed).integers(0, 2, (count, *size), dtype=np.uint8)
    return BitmapMasks(found, *size)


def detection(boxes=BOXES, masks=None, **more):
    sample = DetDataSample(metainfo=dict(img_shape=SIZE, ori_shape=SIZE, scale_factor=(1., 1.)))
    sample.gt_instances = InstanceData(
        bboxes=HorizontalBoxes(torch.tensor(boxes).reshape(-1, 4)),
        labels=torch.arange(len(boxes)), masks=bitmaps(len(boxes)) if masks is None else masks)
    sample.ignored_instances = InstanceData(
        bboxes=HorizontalBoxes(torch.zeros(0, 4)), labels=torch.zeros(0).long(),
        masks=BitmapMasks([], *SIZE))
    for name, value in more.items():
        setattr(sample, name, value)
    return sample


def segmentation(**more):
    sample = SegDataSample(metainfo=dict(img_shape=SIZE, ori_shape=SIZE, scale_factor=(1., 1.)))
    sample.gt_sem_seg = PixelData(data=a_map())
    for name, value in more.items():
        setattr(sample, name, value)
    return sample


def a_map(dtype=torch.int64, size=SIZE):
    return torch.randint(0, 256, (1, *size), generator=torch.Generator().manual_seed(1)).to(dtype)


def there_and_back(sample):
    arrays = to_arrays(sample, SIZE)
    kind = 'boxes' if 'boxes' in arrays else 'segmentation'
    layout = layout_of(kind, arrays)
    assert set(layout) == set(arrays) == set(names_in(kind, [*arrays, 'boxes.shape', 'feature']))
    for name, (shape, dtype) in layout.items():
        assert arrays[name].dtype == dtype and arrays[name].ndim == len(shape)
    return arrays, to_sample(kind, arrays, SIZE)


def test_masks_are_packed_bits_of_the_boxes_that_are_kept():
    sample = detection()
    arrays, again = there_and_back(sample)
    assert arrays['gt_instances.masks.bits'].shape == (2, -(-21 * 30 // 8))
    masks = again.gt_instances.masks
    assert isinstance(masks, BitmapMasks) and (masks.height, masks.width) == SIZE
    assert np.array_equal(masks.masks, sample.gt_instances.masks.masks[[0, 2]])
    assert again.gt_instances.labels.tolist() == [0, 2] and masks.masks.dtype == np.uint8
    assert len(again.ignored_instances.masks) == 0
    assert again.ignored_instances.masks.masks.shape == (0, *SIZE)


def test_polygons_come_back_as_bitmaps():
    square = [np.array([2., 3., 20., 3., 20., 18., 2., 18.])]
    polygons = PolygonMasks([square], *SIZE)
    _, again = there_and_back(detection(BOXES[:1], polygons))
    assert np.array_equal(again.gt_instances.masks.masks, polygons.to_ndarray())


def test_masks_of_no_instance():
    arrays, again = there_and_back(detection([], BitmapMasks([], *SIZE)))
    assert arrays['gt_instances.masks.bits'].shape == (0, 79) and len(again.gt_instances.masks) == 0
    empty = resized(arrays, SIZE, (42, 60))
    assert len(to_sample('boxes', empty, (42, 60)).gt_instances.masks) == 0


def test_masks_are_resized_with_the_image():
    arrays = resized(to_arrays(detection(), SIZE), SIZE, (42, 60))
    masks = to_sample('boxes', arrays, (42, 60)).gt_instances.masks
    expected = detection().gt_instances.masks.masks[[0, 2]].repeat(2, 1).repeat(2, 2)
    assert np.array_equal(masks.masks, expected)


def test_label_maps_and_proposals_of_a_detector():
    stuff = PixelData(sem_seg=a_map(torch.uint8))
    stuff.set_metainfo(dict(ignore_index=7, name='no number'))
    proposals = InstanceData(bboxes=torch.rand(4, 4), scores=torch.rand(4))
    arrays, again = there_and_back(detection(gt_sem_seg=stuff, proposals=proposals))
    assert arrays['gt_sem_seg.sem_seg.map'].dtype == np.uint8
    assert torch.equal(again.gt_sem_seg.sem_seg, a_map()) and again.gt_sem_seg.ignore_index == 7
    assert torch.equal(again.proposals.bboxes, proposals.bboxes)
    assert torch.equal(again.proposals.scores, proposals.scores)
    larger = resized(arrays, SIZE, (42, 90))
    assert np.allclose(larger['proposals.bboxes.rows'], proposals.bboxes * torch.tensor(
        [3, 2, 3, 2]))
    assert larger['proposals.scores.rows'] is arrays['proposals.scores.rows']
    assert larger['gt_sem_seg.sem_seg.map'].shape == (1, 42, 90)


def test_maps_of_a_segmentor():
    edges, depth = PixelData(data=a_map()), PixelData(data=torch.rand(1, *SIZE))
    arrays, again = there_and_back(segmentation(gt_edge_map=edges, gt_depth_map=depth))
    assert arrays['gt_edge_map.data.map'].dtype == np.uint8
    assert torch.equal(again.gt_edge_map.data, a_map())
    assert again.gt_edge_map.data.dtype == torch.int64
    assert torch.equal(again.gt_depth_map.data, depth.data)


def test_numbers_of_instances_and_of_the_image():
    sample = detection(BOXES[:2], more=torch.arange(6).view(2, 3))
    sample.gt_instances.keypoints = torch.rand(2, 5, 3)
    sample.gt_instances.seen = np.array([3., 4.])
    arrays, again = there_and_back(sample)
    assert torch.equal(again.gt_instances.keypoints, sample.gt_instances.keypoints[:1])
    assert again.gt_instances.seen.tolist() == [3.]
    assert torch.equal(again.more, sample.more)
    with pytest.raises(ConfigError, match='^proxy.input_size: how gt_instances.keypoints changes'):
        resized(arrays, SIZE, (42, 60))


def test_samples_share_nothing():
    arrays = to_arrays(detection(gt_sem_seg=PixelData(sem_seg=a_map())), SIZE)
    sample = to_sample('boxes', arrays, SIZE)
    sample.gt_sem_seg.sem_seg[:] = 3
    sample.gt_instances.masks.masks[:] = 0
    assert arrays['gt_instances.masks.bits'].any() and arrays['gt_sem_seg.sem_seg.map'].max() > 3


def test_what_cannot_be_kept_is_named():
    sample = detection(caption='a dog', label=LabelData(item=torch.ones(1)), many=[[1], [1, 2]])
    sample.gt_instances.texts = ['a', 'b', 'c']
    assert not_kept(sample) == ['caption', 'gt_instances.texts', 'label.item', 'many']
    assert not any('text' in name or 'caption' in name for name in to_arrays(sample, SIZE))
    assert not_kept(detection()) == []


def test_nothing_is_added_to_what_older_banks_hold():
    sample = detection()
    del sample.gt_instances.masks, sample.ignored_instances.masks
    assert not any(map(is_extra, to_arrays(sample, SIZE)))


@pytest.mark.parametrize('sample, words', [
    (detection(masks=bitmaps(3, (9, 9))), 'gt_instances.masks is 3 x 9 x 9, its image 21 x 30'),
    (segmentation(gt_edge_map=PixelData(data=a_map(size=(20, 30)))),
     'gt_edge_map.data is 1 x 20 x 30, its image'),
    (segmentation(gt_edge_map=PixelData(data=a_map() + 1)),
     'keeps gt_edge_map.data as uint8; its numbers are')])
def test_maps_that_do_not_fit(sample, words):
    with pytest.raises(ConfigError, match=f'^train_pipeline: .*{words}'):
        to_arrays(sample, SIZE)
