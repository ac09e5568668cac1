"""Which heads of mmdet's take the features of another, and why others do not."""
import pytest
import torch
from mmengine.registry import DefaultScope
from torch import nn

from autokd_mm.layers.cross_heads import with_cross_heads
from autokd_mm.layers.heads import read_head
from autokd_mm.models.connectors import CrossHeadConnector
from autokd_mm.models.distillers import LayerPair, Predictions
from autokd_mm.registry import MODELS

pytest.importorskip('mmdet')
STRIDES = [8, 16]
ANCHORS = dict(type='AnchorGenerator', ratios=[1.0], octave_base_scale=4, scales_per_octave=1,
               strides=STRIDES)
SIGMOID = dict(type='CrossEntropyLoss', use_sigmoid=True)
GN = dict(type='GN', num_groups=4)
FCOS = dict(type='FCOSHead', strides=STRIDES, norm_on_bbox=True, norm_cfg=GN,
            regress_ranges=((-1, 64), (64, 1e8)))
POINTS = dict(type='MlvlPointGenerator', offset=0, strides=STRIDES)
HEADS = {
    'retina': dict(type='RetinaHead', anchor_generator=ANCHORS),
    'retina-bn': dict(type='RetinaHead', anchor_generator=ANCHORS, norm_cfg=dict(type='BN')),
    'fcos': FCOS,
    'fcos-on-reg': dict(FCOS, centerness_on_reg=True),
    'gfl': dict(type='GFLHead', anchor_generator=ANCHORS, reg_max=5, norm_cfg=GN,
                loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True, beta=2.0),
                loss_dfl=dict(type='DistributionFocalLoss')),
    'atss': dict(type='ATSSHead', anchor_generator=ANCHORS, norm_cfg=GN, loss_centerness=SIGMOID),
    'rtmdet': dict(type='RTMDetHead', norm_cfg=GN, anchor_generator=POINTS, with_objectness=False,
                   bbox_coder=dict(type='DistancePointBBoxCoder'),
                   loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True, beta=2.0)),
}
TOLD = {
    'retina': dict(classes=1, boxes=1), 'retina-bn': dict(classes=1, boxes=1),
    'fcos': dict(classes=1, boxes=2, quality=1), 'fcos-on-reg': dict(classes=1, boxes=2, quality=1),
    'gfl': dict(classes=1, boxes=2), 'atss': dict(classes=1, boxes=2, quality=1)}


def network(kind, convs=2, width=8, seed=0):
    torch.manual_seed(seed)
    found = nn.Module()
    with DefaultScope.overwrite_default_scope('mmdet'):
        found.bbox_head = MODELS.build(dict(HEADS[kind], num_classes=3, in_channels=width,
                                            stacked_convs=convs, feat_channels=width))
    for module in found.modules():
        if type(module).__name__ == 'Scale':
            module.scale.data.uniform_(0.5, 2)
    return found.eval()


def crossed(student, teacher):
    heads = tuple(read_head(one, 'bbox_head', 'key') for one in (student, teacher))
    pairs = (LayerPair('one', 'one', 'one', (1, 1, 1), (1, 1, 1)), )
    found = Predictions(pairs, 3, boxes=pairs, quality=pairs if heads[0].quality else ())
    names = dict.fromkeys(('student_predictions', 'teacher_predictions'), 'bbox_head')
    return with_cross_heads(found, heads, names, student, teacher), heads


def heard(one, maps, source, outputs):
    """The inputs of the module ``source``, and what the ``outputs`` give."""
    features, said = [], []
    hooks = [one.get_submodule(source).register_forward_hook(
        lambda module, args, output: features.append(args[0]))]
    hooks += [one.get_submodule(name).register_forward_hook(
        lambda module, args, output: said.append(output)) for name in outputs]
    one.bbox_head(maps)
    for hook in hooks:
        hook.remove()
    return features, said


@pytest.mark.parametrize('convs', [0, 1, 3])
@pytest.mark.parametrize('kind', TOLD)
def test_through_its_own_head_a_feature_comes_to_what_the_head_says(kind, convs):
    one = network(kind, convs)
    found, (head, _) = crossed(one, one)
    assert {what: len(cross.modules) for what, cross in found.cross.items()} == TOLD[kind]
    assert not found.cross_fault
    maps = [torch.randn(2, 8, 6, 4), torch.randn(2, 8, 3, 2)]
    for what, cross in found.cross.items():
        features, said = heard(one, maps, cross.source, getattr(head, what))
        for level, wanted in enumerate(said):
            connector = CrossHeadConnector(cross.modules[min(level, len(cross.modules) - 1)])
            connector.borrow(one, 'key')
            torch.testing.assert_close(connector(features[level]), wanted, rtol=0, atol=0)
        assert len(said) == len(features) == 2


def shared(kind):
    found = network(kind)
    found.bbox_head.reg_convs = found.bbox_head.cls_convs
    return found


@pytest.mark.parametrize('student, teacher, words', [
    (lambda: network('rtmdet'), lambda: network('rtmdet'),
     'the towers of a RTMDetHead are not understood, those of RetinaHead, FCOSHead, GFLHead and '
     'ATSSHead are'),
    (lambda: network('retina', 2), lambda: network('retina', 4),
     "the way to classes is cls_convs.3 > retina_cls in the teacher's RetinaHead and cls_convs.1 > "
     "retina_cls in the student's RetinaHead"),
    (lambda: network('fcos'), lambda: network('fcos-on-reg'),
     "the way to quality is reg_convs.1 > conv_centerness in the teacher's FCOSHead and "
     "cls_convs.1 > conv_centerness in the student's FCOSHead"),
    (lambda: network('gfl'), lambda: network('atss'),
     "the way to classes is cls_convs.1 > atss_cls in the teacher's ATSSHead and cls_convs.1 > "
     "gfl_cls in the student's GFLHead"),
    (lambda: network('retina', 2, 4), lambda: network('retina', 2, 8),
     "cls_convs.1 takes 8 channels in the teacher's head and 4 in the student's"),
    (lambda: shared('retina'), lambda: network('retina'),
     "cls_convs.1 and reg_convs.1 are one module in the student's head")])
def test_heads_that_do_not_fit(student, teacher, words):
    found, _ = crossed(student(), teacher())
    assert found.cross == {} and found.cross_fault == words
