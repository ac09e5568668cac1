"""Dense heads of mmdet and mmseg: what was read of them is what they say, and their boxes are
theirs."""
import pytest
import torch
from mmengine.registry import DefaultScope
from torch import nn

from autokd_mm.errors import ConfigError
from autokd_mm.layers.capture import capture
from autokd_mm.layers.heads import read_head
from autokd_mm.layers.predictions import modules_of
from autokd_mm.layers.tensors import tensors_at
from autokd_mm.models.losses.box_coding import giou
from autokd_mm.registry import MODELS

STRIDES, SIDES = (8, 16), ((4, 6), (2, 3))
SIGMOID = dict(type='CrossEntropyLoss', use_sigmoid=True)
QFL = dict(type='QualityFocalLoss', use_sigmoid=True, beta=2.0)
ANCHORS = dict(type='AnchorGenerator', ratios=[1.0], octave_base_scale=4, scales_per_octave=1,
               strides=list(STRIDES))
POINTS = dict(type='MlvlPointGenerator', offset=0, strides=list(STRIDES))
HEADS = {
    'retina': dict(type='RetinaHead', anchor_generator=dict(ANCHORS, ratios=[0.5, 2.0]),
                   bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_stds=(.1, .1, .2, .2))),
    'retina-softmax': dict(type='RetinaHead', anchor_generator=ANCHORS,
                           loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False)),
    'fcos': dict(type='FCOSHead', strides=list(STRIDES), norm_on_bbox=True,
                 regress_ranges=((-1, 64), (64, 1e8))),
    'fcos-exp': dict(type='FCOSHead', strides=list(STRIDES), norm_on_bbox=False,
                     regress_ranges=((-1, 64), (64, 1e8))),
    'gfl': dict(type='GFLHead', anchor_generator=ANCHORS, reg_max=5, loss_cls=QFL,
                loss_dfl=dict(type='DistributionFocalLoss')),
    'ld': dict(type='LDHead', anchor_generator=ANCHORS, reg_max=5, loss_cls=QFL,
               loss_ld=dict(type='KnowledgeDistillationKLDivLoss')),
    'atss': dict(type='ATSSHead', anchor_generator=ANCHORS,
                 bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_stds=(.1, .1, .2, .2)),
                 loss_centerness=SIGMOID),
    'yolox': dict(type='YOLOXHead', strides=list(STRIDES)),
    'rtmdet': dict(type='RTMDetHead', anchor_generator=POINTS, with_objectness=False,
                   bbox_coder=dict(type='DistancePointBBoxCoder'), loss_cls=QFL),
    'rtmdet-sep': dict(type='RTMDetSepBNHead', anchor_generator=POINTS, with_objectness=False,
                       exp_on_reg=True, bbox_coder=dict(type='DistancePointBBoxCoder'),
                       loss_cls=QFL, norm_cfg=dict(type='BN')),
}
SAID = {  # anchors, classes, exclusive, objectness, what there is
    'retina': (2, 3, False, False, 'classes boxes'),
    'retina-softmax': (1, 4, True, False, 'classes boxes'),
    'fcos': (1, 3, False, False, 'classes boxes quality'),
    'fcos-exp': (1, 3, False, False, 'classes boxes quality'),
    'gfl': (1, 3, False, False, 'classes boxes'), 'ld': (1, 3, False, False, 'classes boxes'),
    'atss': (1, 3, False, False, 'classes boxes quality'),
    'yolox': (1, 3, False, True, 'classes boxes quality'),
    'rtmdet': (1, 3, False, False, 'classes boxes'),
    'rtmdet-sep': (1, 3, False, False, 'classes boxes'),
}


class Network(nn.Module):
    """A head on maps that are given."""

    def __init__(self, head):
        super().__init__()
        self.bbox_head = head

    def forward(self, inputs, samples=None, mode='tensor'):
        generator = torch.Generator().manual_seed(len(inputs))
        maps = [torch.randn(len(inputs), 8, *side, generator=generator) for side in SIDES]
        return self.bbox_head.forward(maps)


def built(name, **values):
    pytest.importorskip('mmdet')
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        config = dict(HEADS[name], num_classes=3, in_channels=8, feat_channels=32, stacked_convs=1,
                      **values)
        head = MODELS.build(dict(config, type=f'mmdet.{config["type"]}'))
    for parameter in head.parameters():
        if parameter.dim():
            nn.init.normal_(parameter, std=0.3)
        else:  # factor of a level: no side of a box is below 0
            nn.init.uniform_(parameter, 0.5, 1.5)
    return Network(head).eval()


def heard(network, head, images=2):
    """By 'classes', 'boxes' and 'quality' the maps of all levels."""
    found = tensors_at(network, modules_of(head, 'student'), torch.zeros(images, 3, 32, 48))
    sources = {f'{key.split(".")[1]}_{level}': one.source
               for key, ones in found.items() for level, one in enumerate(ones)}
    with torch.no_grad(), capture(network, sources) as outputs:
        said = network(torch.zeros(images, 3, 32, 48))
    levels = range(len(SIDES))
    return {what: [outputs[f'{what}_{level}'] for level in levels]
            for what in ('classes', 'boxes', 'quality') if f'{what}_0' in outputs}, said


@pytest.mark.parametrize('name', HEADS)
def test_the_maps_are_those_that_the_head_returns(name):
    network = built(name)
    head = read_head(network, 'bbox_head', 'layers.student_predictions')
    maps, said = heard(network, head)
    anchors, numbers, exclusive, objectness, what = SAID[name]
    assert ' '.join(maps) == what
    assert (head.numbers, head.exclusive, head.objectness) == (numbers, exclusive, objectness)
    for level in range(2):
        torch.testing.assert_close(maps['classes'][level], said[0][level])
        assert maps['classes'][level].shape[1] == anchors * numbers
        assert maps['boxes'][level].shape[1] == anchors * head.coding.numbers
        if 'quality' in maps:
            torch.testing.assert_close(maps['quality'][level], said[2][level])


def decoded(head, name, said, level):
    """Boxes in pixels by the head's own means, (N H W A) x 4."""
    boxes = said[1][level].permute(0, 2, 3, 1)
    if name.startswith('yolox'):
        priors = head.prior_generator.grid_priors(SIDES, device='cpu', with_stride=True)[level]
        return head._bbox_decode(priors, boxes.reshape(2, -1, 4)).reshape(-1, 4)
    priors = head.prior_generator.grid_priors(SIDES, device='cpu')[level]
    if name in ('gfl', 'ld'):
        distances = head.integral(boxes.reshape(-1, 4 * 6)).reshape(-1, 4) * STRIDES[level]
        priors = head.anchor_center(priors)
    else:
        distances = boxes.reshape(-1, 4)
    return head.bbox_coder.decode(priors.repeat(2, 1), distances)


@pytest.mark.parametrize('name', HEADS)
def test_boxes_overlap_as_those_that_the_head_decodes(name):
    """Those of one image with those of another."""
    from mmdet.structures.bbox import bbox_overlaps
    network = built(name)
    head = read_head(network, 'bbox_head', 'layers.student_predictions')
    maps, said = heard(network, head)
    for level in range(2):
        boxes = decoded(network.bbox_head, name, said, level).view(2, -1, 4)
        theirs = bbox_overlaps(boxes[0], boxes[1], mode='giou', is_aligned=True)
        values = maps['boxes'][level]
        corners = head.coding.corners(values.flatten(2).unflatten(1, (-1, head.coding.numbers)))
        ours = giou(corners[:1], corners[1:])[0]  # A x P
        torch.testing.assert_close(ours.t().reshape(-1), theirs, rtol=1e-4, atol=1e-4)


def test_heads_with_an_output_of_their_own_are_not_understood():
    network = built('rtmdet')
    network.bbox_head.with_objectness = True
    with pytest.raises(ConfigError, match="'bbox_head' is a RTMDetHead.*RetinaHead, FCOSHead"):
        read_head(network, 'bbox_head', 'layers.student_predictions')

    class Mine(type(built('retina').bbox_head)):

        def forward_single(self, x):
            return super().forward_single(x)

    network = built('retina')
    network.bbox_head.__class__ = Mine
    with pytest.raises(ConfigError, match='Mine'):
        read_head(network, 'bbox_head', 'layers.student_predictions')
    with pytest.raises(ConfigError, match="no layer 'bbox_haed'.*bbox_head"):
        read_head(network, 'bbox_haed', 'layers.student_predictions')


def test_boxes_of_a_coder_that_is_not_known():
    network = built('retina')
    network.bbox_head.bbox_coder.add_ctr_clamp = True
    assert read_head(network, 'bbox_head', 'layers.student_predictions').coding is None


@pytest.mark.parametrize('sigmoid', (True, False))
def test_a_segmentor_has_predictions_where_its_classes_are_not_exclusive(sigmoid):
    pytest.importorskip('mmseg')
    with DefaultScope.overwrite_default_scope('mmseg'):
        head = MODELS.build(dict(type='mmseg.FCNHead', in_channels=8, channels=4, num_classes=3,
                                 num_convs=1, norm_cfg=dict(type='BN'),
                                 loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=sigmoid)))
    network = nn.Module()
    network.decode_head = head
    if sigmoid:
        found = read_head(network, 'decode_head', 'layers.student_predictions')
        assert (found.classes, found.numbers, found.exclusive, found.coding) == (
            ['decode_head.conv_seg'], 3, False, None)
    else:
        with pytest.raises(ConfigError, match='layers.student_logits'):
            read_head(network, 'decode_head', 'layers.student_predictions')


def test_how_well_a_box_fits_is_no_centerness():
    """PAA's head is ATSS's, and learns something else at that output."""
    with DefaultScope.overwrite_default_scope('mmdet'):
        network = nn.Module()
        network.bbox_head = MODELS.build(dict(
            HEADS['atss'], type='PAAHead', num_classes=3, in_channels=4, feat_channels=4,
            stacked_convs=1, norm_cfg=None))
    found = read_head(network, 'bbox_head', 'key')
    assert found.classes == ['bbox_head.atss_cls'] and not found.quality
    assert set(found.tails) == {'classes', 'boxes'}
