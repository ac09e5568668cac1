"""What two heads have in common, and what is refused in one line."""
import pytest
from mmengine.registry import DefaultScope
from torch import nn

from autokd_mm.errors import ConfigError
from autokd_mm.layers.heads import Head
from autokd_mm.layers.predictions import (modules_of, predictions_of, read_heads,
                                          tell_of_reading)
from autokd_mm.layers.tensors import Found
from autokd_mm.models.losses.box_coding import BoxCoding
from autokd_mm.registry import MODELS

DELTA = BoxCoding('delta', stds=(.1, .1, .2, .2))
RETINA = Head('RetinaHead', ['bbox_head.retina_cls'], 3, False, ['bbox_head.retina_reg'], DELTA)
ATSS = Head('ATSSHead', ['bbox_head.atss_cls'], 3, False, ['bbox_head.scales.0'], DELTA,
            ['bbox_head.atss_centerness'])
FCOS = Head('FCOSHead', ['bbox_head.conv_cls'], 3, False, ['bbox_head.scales.0'],
            BoxCoding('distance', activation='exp'), ['bbox_head.conv_centerness'])
SIDES = ((8, 6), (4, 3))


def found(student, teacher, anchors=(1, 1), sides=SIDES):
    maps = {}
    for who, head, count in zip(('student', 'teacher'), (student, teacher), anchors):
        for key, names in modules_of(head, who).items():
            width = {'classes': head.numbers, 'boxes': 4, 'quality': 1}[key.split('.')[1]]
            maps[key] = [Found(f'{names[0]}[{level}]', (count * width, *side), True)
                         for level, side in enumerate(sides)]
    return maps


def compared(student, teacher, **values):
    said = []
    return predictions_of((student, teacher), found(student, teacher, **values), said.append), said


def test_two_of_a_kind():
    both, said = compared(RETINA, RETINA, anchors=(6, 6))
    assert not said and both.in_words() == \
        '2 levels of 6 x 3 classes by sigmoid, boxes as deltas (stds 0.1, 0.1, 0.2, 0.2)'
    assert [pair.name for pair in both.all] == ['classes_0', 'classes_1', 'boxes_0', 'boxes_1']
    assert both.boxes[1].record('teacher') == dict(recorder='boxes_1', from_student=False,
                                                   record_idx=1)


def test_heads_of_different_types_have_what_both_write_alike():
    both, said = compared(ATSS, FCOS)
    assert both.coding is None and not both.boxes and len(both.quality) == 2
    assert said == ["layers.teacher_predictions: no boxes are compared, the student's ATSSHead has "
                    "deltas (stds 0.1, 0.1, 0.2, 0.2), the teacher's FCOSHead has distances behind "
                    'exp']
    both, said = compared(RETINA, ATSS)
    assert both.boxes and not both.quality and 'no centerness or objectness' in said[0]


def test_a_teacher_without_boxes():
    both, said = compared(RETINA, RETINA._replace(coding=None, boxes=[]))
    assert not both.boxes and "teacher's RetinaHead has none that are understood" in said[0]


@pytest.mark.parametrize('change, words', [
    (dict(anchors=(6, 9)), r'teacher are 27 x 8 x 6, 27 x 4 x 3, those of the student 18 x 8 x 6'),
    (dict(anchors=(6, 6), sides=()), 'levels and anchors')])
def test_anchors_and_levels_must_be_the_same(change, words):
    with pytest.raises(ConfigError, match=words):
        compared(RETINA, RETINA, **change)


class Stub(nn.Module):
    """A network with two heads, of which :func:`read_head` is told below."""

    def __init__(self):
        super().__init__()
        self.bbox_head = nn.Identity()


@pytest.mark.parametrize('names, words', [
    (dict(student_predictions='bbox_head'), 'layers.teacher_predictions is missing'),
    (dict(teacher_predictions='bbox_head'), 'layers.student_predictions is missing'),
    (dict(student_predictions=['bbox_head'], teacher_predictions='bbox_head'), 'name of a dense'),
    (dict(student_predictions='bbox_head', teacher_predictions='bbox_head'),
     'is a Identity, whose predictions are not understood')])
def test_names_that_lead_nowhere(names, words):
    with pytest.raises(ConfigError, match=words):
        read_heads(names, Stub(), Stub(), False)


@pytest.mark.parametrize('teacher, words', [
    (RETINA._replace(numbers=4), 'RetinaHead with 4 classes by sigmoid and .*RetinaHead with 3'),
    (RETINA._replace(exclusive=True), 'by softmax'),
    (RETINA._replace(objectness=True), 'only one of them has objectness')])
def test_classes_that_differ(teacher, words, monkeypatch):
    heads = iter((RETINA, teacher))
    monkeypatch.setattr('autokd_mm.layers.predictions.read_head', lambda *args: next(heads))
    names = dict.fromkeys(('student_predictions', 'teacher_predictions'), 'bbox_head')
    with pytest.raises(ConfigError, match=words):
        read_heads(names, Stub(), Stub(), False)


def test_anchors_of_other_sides():
    """Their maps have equal shapes, and are about other boxes."""
    pytest.importorskip('mmdet')
    networks = [Stub(), Stub()]
    for network, side in zip(networks, (4, 8)):
        with DefaultScope.overwrite_default_scope('mmdet'):
            network.bbox_head = MODELS.build(dict(
                type='mmdet.RetinaHead', num_classes=3, in_channels=8, feat_channels=8,
                stacked_convs=1, anchor_generator=dict(
                    type='AnchorGenerator', ratios=[1.0], octave_base_scale=side,
                    scales_per_octave=1, strides=[8, 16])))
    names = dict.fromkeys(('student_predictions', 'teacher_predictions'), 'bbox_head')
    with pytest.raises(ConfigError, match=r"anchor of level 0 is \(-32, -32, 32, 32\) in the "
                                          r"teacher's RetinaHead and \(-16, -16, 16, 16\) in"):
        read_heads(names, *networks, False)
    assert read_heads(names, networks[0], networks[0], False) is not None
    assert read_heads(names, networks[0], networks[0], False)[0].anchors[1][0] == (-32, -32, 32, 32)


def test_a_teacher_at_another_scale():
    names = dict.fromkeys(('student_predictions', 'teacher_predictions'), 'bbox_head')
    with pytest.raises(ConfigError, match='model.teacher_input.scale'):
        read_heads(names, Stub(), Stub(), True)
    assert read_heads({}, Stub(), Stub(), True) is None


class Named(nn.Module):
    """A head that is not understood."""

    def __init__(self, **values):
        super().__init__()
        for name, value in values.items():
            setattr(self, name, value)


class GaussianFocalLoss(nn.Module):
    """Known by its name, as MMDetection's."""


def loss(**values):
    return Named(use_sigmoid=False, **values)


@pytest.mark.parametrize('head, channels, words', [
    (Named(use_sigmoid_cls=True, cls_out_channels=3), 3, 'are sigmoids'),
    (Named(loss_cls=Named(use_sigmoid=True), cls_out_channels=3), 3, 'are sigmoids'),  # DINO
    (Named(loss_center_heatmap=GaussianFocalLoss()), 3, 'are sigmoids'),  # CenterNet
    (Named(use_sigmoid_cls=False, loss_cls=loss(), cls_out_channels=4), 36,
     'are those of 9 anchors'),
    (Named(use_sigmoid_cls=False, loss_cls=loss(), cls_out_channels=4), 4, None),
    (Named(loss_cls=loss(), cls_out_channels=4), 4, None)])
def test_logits_that_are_no_softmax_are_told_of(head, channels, words):
    network, said = Named(bbox_head=head), []
    tell_of_reading([Found(f'bbox_head.cls[{level}]', (channels, *side), False)
                     for level, side in enumerate(SIDES)], network, said.append)
    assert said == ([] if words is None else [
        f"layers.student_logits: the classes of 'bbox_head.cls' {words}, and are read as one "
        'softmax; leave the logits out to compare features alone'])


def test_a_head_that_is_understood_names_the_other_way(monkeypatch):
    from autokd_mm.layers import predictions
    monkeypatch.setattr(predictions, 'read_head', lambda *args: RETINA)
    said = []
    tell_of_reading([Found('bbox_head.retina_cls', (27, 4, 3), True)],
                    Named(bbox_head=Named(use_sigmoid_cls=True)), said.append)
    assert said[0].endswith("layers.student_predictions='bbox_head' and "
                            'layers.teacher_predictions compare them as they are')
