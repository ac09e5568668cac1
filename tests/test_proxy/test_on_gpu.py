"""Candidates that are trained on a pretended GPU: the losses of the CPU, and no waits of ours in a
step but for the loss that is looked at."""
from collections import Counter
from dataclasses import replace

import dense_tasks
import pytest
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from ops_in_turn import stand_in_used
from pretend_device import pretend_cuda

from autokd_mm.space import DistillerSpec
from autokd_mm.space.handcrafted import handcrafted

MASKED = DistillerSpec('random_mask', connector='conv3x3', mask_ratio=0.5, intra='multi_scale',
                       inter='sample', distance='l2', feature_weight=1, logits='kl',
                       logits_temperature=4, logits_weight=1)
RELATIONS = DistillerSpec('none', connector='conv1x1_bn', intra='none', inter='sample',
                          distance='rkd_angle', feature_weight=1, logits='pearson_both',
                          logits_temperature=4, logits_weight=1)
HEADS = dict(student_predictions='bbox_head', teacher_predictions='bbox_head')
BOXES = DistillerSpec('none', connector='conv1x1', region='foreground_background',
                      background_weight=0.5, intra='none', inter='none', distance='l2',
                      feature_weight=1, prediction='weighted_bce', prediction_weight=1, box='giou',
                      box_by='difference', box_weight=4)
CROSS = handcrafted('CrossKD')
INSTANCES = DistillerSpec('attention_mask', connector='conv1x1', region='instances', intra='local',
                          patch_grid=2, inter='none', distance='cosine', feature_weight=1)

SEGMENTATION = DistillerSpec('none', connector='conv1x1', intra='none', inter='channel',
                             distance='kl', temperature=4, feature_weight=1, logits='pearson_both',
                             logits_temperature=1, logits_weight=1)


@pytest.fixture
def cuda():
    with pretend_cuda() as device, stand_in_used():
        yield device


def waits_of_steps(cuda, trainer, spec):
    """Waits of ours by line in the steps behind the first, whose loss is looked at."""
    found = []
    for length in (1, 2):
        with cuda.counted() as waits:
            trainer.train(spec, length=length)
        found.append(Counter(wait for wait in waits if wait.ours))
    return {wait.line: number - found[0][wait] for wait, number in found[1].items()
            if number != found[0][wait]}


def alike(cuda, here, there, spec):
    """A training on both devices comes to the same numbers, but for sums in other blocks."""
    wanted, found = here.run(spec), there.run(spec)
    assert (found.held_out_loss, found.gap) == pytest.approx(
        (wanted.held_out_loss, wanted.gap), rel=1e-6)


@pytest.mark.parametrize('channels_last', [False, True])
def test_classification(cuda, parts, banks, channels_last):
    settings = dict(epochs=1, channels_last=channels_last)
    trainer = parts.trainer(banks, device='cuda', **settings)
    alike(cuda, parts.trainer(banks, **settings), trainer, MASKED)
    assert not waits_of_steps(cuda, trainer, RELATIONS)


def test_a_sparse_student(cuda, parts, banks):
    trainer = parts.trainer(banks, device='cuda', epochs=1, sparse=dict(density=0.5))
    assert not waits_of_steps(cuda, trainer, None)


def dense(kind, folder):
    """Banks are written by a teacher on the device that there is."""
    if kind == 'segmentation':
        dense_tasks.write_maps(folder / 'data', 4)
        data, model, scope = (dense_tasks.segmentation_datasets(folder / 'data'), dense_tasks.fcn,
                              'mmseg')
        layers = dict(student='decode_head.convs', teacher='decode_head.convs',
                      student_logits='decode_head.conv_seg', teacher_logits='decode_head.conv_seg')
    else:
        dense_tasks.write_coco(folder / 'data', 4, empty=(), outside=(), crowd=())
        data, model, scope = (dense_tasks.detection_datasets(folder / 'data'),
                              dense_tasks.retinanet, 'mmdet')
        layers = dict(student='neck', teacher='neck', **HEADS)
    task = dense_tasks.task(dense_tasks.built(data), ConfigDict(model(2)), ConfigDict(model(2)),
                            layers, scope)
    task.settings = replace(task.settings, images=2, held_out=2, epochs=1, views=1)
    task.opened = task.banks(folder / 'bank', images=2, held_out=2, views=1)
    return task


def test_detection(cuda, tmp_path):
    task = dense('detection', tmp_path)
    with DefaultScope.overwrite_default_scope(task.scope):
        trainer = dense_tasks.trainer(task, task.opened, 'cuda')
        alike(cuda, dense_tasks.trainer(task, task.opened), trainer, BOXES)
        alike(cuda, dense_tasks.trainer(task, task.opened), trainer, CROSS)
        for spec in (BOXES, CROSS):
            assert not waits_of_steps(cuda, trainer, spec)
        waits = waits_of_steps(cuda, trainer, INSTANCES)
    (line, number), = waits.items()  # the boxes of the one batch, for all five levels
    assert line.startswith('autokd_mm/models/transforms/regions.py') and number == 1


def test_segmentation(cuda, tmp_path):
    task = dense('segmentation', tmp_path)
    with DefaultScope.overwrite_default_scope(task.scope):
        trainer = dense_tasks.trainer(task, task.opened, 'cuda')
        alike(cuda, dense_tasks.trainer(task, task.opened), trainer, SEGMENTATION)
        assert not waits_of_steps(cuda, trainer, SEGMENTATION)
