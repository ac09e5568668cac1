"""What a search of detectors or segmentors finds out before anything is written."""
import copy
from dataclasses import replace

import dense_tasks
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from autokd_mm.errors import ConfigError
from autokd_mm.models.distillers import LayerPair, Layers
from autokd_mm.proxy.settings import ProxySettings
from autokd_mm.registry import MODELS
from autokd_mm.task.probe import refuse_unfit
from autokd_mm.task.task import Task

SETTINGS = ProxySettings(images=6, held_out=3, batch_size=2, epochs=1)
NECK = dict(student='neck', teacher='neck')
CLS = dict(student_logits='bbox_head.retina_cls', teacher_logits='bbox_head.retina_cls')


class Loader(list):
    dataset = None


def looked(folder, scope, student, teacher, data, layers, settings=SETTINGS, **arguments):
    train, val = data
    config = Config(dict(
        model=dict(type='mmrazor.FrozenTeacherDistill', architecture=student, teacher=teacher,
                   distiller=dict(type='mmrazor.ConfigurableDistiller')),
        train_dataloader=dict(dataset=train), val_dataloader=dict(dataset=val),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1))))
    loader = Loader([0])
    loader.dataset = DATASETS.build(copy.deepcopy(train))
    with DefaultScope.overwrite_default_scope(scope):
        torch.manual_seed(0)
        return Task(config, loader, MODELS.build(config.model), layers, settings, space={},
                    warm_start=arguments.pop('warm_start', ()),
                    say=arguments.pop('say', lambda line: None))


@pytest.fixture
def detectors(tmp_path):
    dense_tasks.write_coco(tmp_path)
    data = dense_tasks.detection_datasets(tmp_path)

    def look(layers=NECK, student=None, teacher=None, **arguments):
        return looked(tmp_path, 'mmdet', student or dense_tasks.retinanet(4),
                      teacher or dense_tasks.retinanet(6), data, layers, **arguments)

    return look


def test_a_space_with_boxes(detectors):
    said = []
    task = detectors(dict(NECK, **CLS), warm_start=['FGD-focal', 'PKD', 'KD'], say=said.append)
    shapes = task.space.shapes
    assert task.kind == 'boxes' and shapes.boxes and task.has_metric
    # The largest level of the smallest image: 30 x 64 pixels, padded to 32 x 64.
    assert (shapes.channels, shapes.height, shapes.width) == (8, 4, 8) and shapes.same
    assert task.layers.classes == shapes.classes == 3 and shapes.logits_positions == 32
    assert [pair.student for pair in task.layers.logits] == [
        f'bbox_head.retina_cls[{level}]' for level in range(5)]
    assert 'region' in dict(task.space.levels()) and len(task.first) == 3
    import json
    assert json.loads(json.dumps(task.description([1.0])))['shapes']['boxes'] is True


def test_segmentation(tmp_path):
    dense_tasks.write_maps(tmp_path)
    names = dict(student='decode_head.convs', teacher='decode_head.convs')
    for logits in (True, False):
        task = looked(tmp_path, 'mmseg', dense_tasks.fcn(4), dense_tasks.fcn(6),
                      dense_tasks.segmentation_datasets(tmp_path), dict(names, **(dict(
                          student_logits='decode_head.conv_seg',
                          teacher_logits='decode_head.conv_seg') if logits else {})))
        assert task.kind == 'segmentation' and task.has_metric
        assert task.space.shapes.boxes is None and len(task.layers.pairs) == 1


def other_levels(levels):
    config = dense_tasks.retinanet(6)
    config['neck']['num_outs'] = levels
    config['bbox_head']['anchor_generator']['strides'] = [8, 16, 32, 64, 128][:levels]
    return config


def other_classes(number):
    config = dense_tasks.retinanet(6)
    config['bbox_head']['num_classes'] = number
    return config


def other_stride():
    config = dense_tasks.retinanet(6)
    config['backbone']['strides'] = (1, 2, 2, 1)
    return config


@pytest.mark.parametrize('arguments, words', [
    (dict(layers=dict(student='neck', teacher='neck[0]')),
     r'^layers.teacher: 1 tensors \(neck\[0\]\) and layers.student: 5 tensors \(neck\); name '
     'those to compare'),
    (dict(teacher=other_classes(7), layers=dict(NECK, **CLS)),
     'the teacher has 7 classes and the student 3'),
    (dict(settings=replace(SETTINGS, precision='bfloat16')),
     "^proxy.precision='bfloat16': detectors compute in float32"),
    (dict(layers=dict(NECK, factor_temperature=2)), '^layers.factor_temperature means something'),
    (dict(settings=replace(SETTINGS, frozen=('bbox_head', ))),
     "^proxy.frozen: 'bbox_head' does not run before layers.student='neck'"),
])
def test_what_does_not_fit(detectors, arguments, words):
    with pytest.raises(ConfigError, match=words):
        detectors(**arguments)


def test_levels_and_strides_that_differ(detectors):
    fewer = detectors(teacher=other_levels(4))
    assert [pair.teacher for pair in fewer.layers.pairs] == [f'neck[{level}]' for level in range(4)]
    coarser = detectors(teacher=other_stride(), layers=dict(student='neck[2]', teacher='neck[2]'))
    assert coarser.layers.pairs[0].strides == (32, 16)


def test_what_is_no_map_of_the_image():
    pair = LayerPair('feature', 'neck[0]', 'pooled', (8, 8, 10), (8, 1, 1))
    with pytest.raises(ConfigError, match="^layers.teacher: the map at 'pooled' is 1 x 1 and that "
                                          r"at layers.student 'neck\[0\]' 8 x 10; .* one stride"):
        refuse_unfit(Layers((pair, )), 'boxes', SETTINGS)


def test_first_stages_of_a_detector_are_frozen(detectors):
    task = detectors(settings=replace(SETTINGS, frozen=('backbone.conv1', 'backbone.layer1')))
    assert set(task.frozen) == {'backbone.conv1', 'backbone.layer1', 'backbone.bn1'}
