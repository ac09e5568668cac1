"""Instance masks of the pipeline, through the bank, to the student's loss and metric."""
import copy
import json

import dense_tasks
import numpy as np
import pytest
from mmdet.structures.mask import BitmapMasks
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope

from autokd_mm.datasets.half import Half
from autokd_mm.errors import ConfigError, DataError
from autokd_mm.proxy.batches import ProxyBatches


def with_triangles(root):
    """Give each box of a COCO file the triangle in it as its mask."""
    found = json.loads((root / 'train.json').read_text())
    for one in found['annotations']:
        left, top, width, height = one['bbox']
        one['segmentation'] = [[left, top, left + width, top, left, top + height]]
    (root / 'train.json').write_text(json.dumps(found))


def mask_rcnn(channels=4):
    config = dense_tasks.faster_rcnn(channels)
    config['type'] = 'mmdet.MaskRCNN'
    config['data_preprocessor']['pad_mask'] = True
    head = config['roi_head']
    head.update(
        mask_roi_extractor=dict(head['bbox_roi_extractor'], roi_layer=dict(
            type='RoIAlign', output_size=4, sampling_ratio=0)),
        mask_head=dict(type='mmdet.FCNMaskHead', num_convs=1, in_channels=8, conv_out_channels=8,
                       num_classes=3, loss_mask=dict(type='mmdet.CrossEntropyLoss',
                                                     use_mask=True)))
    config['train_cfg']['rcnn'].update(mask_size=8)
    config['test_cfg']['rcnn'].update(mask_thr_binary=0.5)
    return config


@pytest.fixture(scope='module')
def task(tmp_path_factory):
    folder = tmp_path_factory.mktemp('masks')
    dense_tasks.write_coco(folder)
    with_triangles(folder)
    data = dense_tasks.detection_datasets(folder)
    data[0]['pipeline'][1]['with_mask'] = True  # training's, which the held-out images get, too
    task = dense_tasks.task(dense_tasks.built(data), ConfigDict(mask_rcnn()),
                            ConfigDict(mask_rcnn(6)), dict(student='neck', teacher='neck'), 'mmdet')
    task.opened = task.banks(folder / 'bank')
    return task


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


@pytest.mark.parametrize('name', ['train', 'held_out'])
def test_the_masks_of_the_pipeline_come_back(task, name):
    bank = task.opened[name]
    images = ProxyBatches(bank, task.model.data_preprocessor.device)
    shares = []
    for row in range(len(bank.arrays['labels'])):
        pixels, samples = images.batch(np.array([row]))
        masks, boxes = samples[0].gt_instances.masks, samples[0].gt_instances.bboxes.tensor
        assert isinstance(masks, BitmapMasks) and len(masks) == len(boxes)
        assert masks.masks.shape[1:] == pixels[0].shape[1:] == (masks.height, masks.width)
        for mask, (left, top, right, bottom) in zip(masks.masks, boxes.round().int().tolist()):
            inside = mask[top:bottom, left:right]
            assert mask.sum() - inside.sum() <= 0.2 * mask.sum()  # where it is, resized or flipped
            shares.append(inside.mean())
    assert len(shares) >= 4 and 0.4 < np.median(shares) < 0.7  # triangles, some of them cut


def test_candidates_are_trained_and_measured(task):
    trainer = dense_tasks.trainer(task, task.opened)
    outcome = trainer.run(None)
    assert np.isfinite(outcome.held_out_loss) and 0 <= outcome.metric <= 1
    inputs, samples = next(trainer.held_out.batches(task.student))
    masks = samples[0].gt_instances.masks
    assert (masks.height, masks.width) == tuple(inputs.shape[-2:])  # padded with the images
    losses = task.student.eval()(inputs, samples, mode='loss')
    assert 'loss_mask' in losses


def test_some_images_without(task, monkeypatch):
    read = Half.read

    def forgetful(self, index, *args, **values):
        sample = read(self, index, *args, **values)
        if index == self.indices[1]:
            del sample['data_samples'].gt_instances.masks
        return sample

    monkeypatch.setattr(Half, 'read', forgetful)
    with pytest.raises(DataError, match='^train_dataloader: some images have gt_instances.masks, '):
        task.banks('nowhere')


def test_held_out_images_without(task):
    data = copy.deepcopy(task.datasets)
    for step in data['held_out'].pipeline.transforms:
        if hasattr(step, 'with_mask'):
            step.with_mask = False
    with pytest.raises(ConfigError, match='^val_dataloader.dataset.pipeline: the held-out images '
                                          'have no gt_instances.masks'):
        task.banks('nowhere', datasets=data)
