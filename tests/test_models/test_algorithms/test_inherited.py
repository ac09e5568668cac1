"""Parts of the student that begin as the teacher's."""
import copy
import re

import dense_tasks
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.hooks import EMAHook
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from torch import nn

from autokd_mm.errors import ConfigError
from autokd_mm.models.algorithms.inherited import (copy_part, freeze_part, keep_statistics,
                                                   parts_of, starts_of)
from autokd_mm.registry import MODELS

SGD = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.02, momentum=0.9,
                                               weight_decay=0.1))
DENSE = ('head', 'neck_head')


class Network(nn.Module):
    """Modules by name."""

    def __init__(self, **modules):
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)


def head(width=4, classes=3, norm=False):
    return Network(conv=nn.Conv2d(width, 4, 1), norm=nn.BatchNorm2d(4) if norm else nn.Identity(),
                   cls=nn.Conv2d(4, classes, 1))


def detector(width=4, classes=3, **more):
    return Network(backbone=nn.Conv2d(3, width, 1), neck=nn.Conv2d(width, 4, 1),
                   bbox_head=head(classes=classes), **more)


# ---------------------------------------------------------------------- what fits
def test_neck_and_head_of_a_detector():
    found = parts_of(detector(), detector(), DENSE)
    assert {start: part.modules for start, part in found.fitting.items()} == dict(
        head=('bbox_head', ), neck_head=('neck', 'bbox_head'))
    assert found.fitting['neck_head'].tensors == 2 + 4 and not found.faults
    assert found.in_words() == [
        "start=head: bbox_head as the teacher's (4 tensors)",
        "start=neck_head: neck, bbox_head as the teacher's (6 tensors)"]
    assert starts_of(detector(), False) == DENSE and starts_of(detector(), True) == ('classifier', )
    assert starts_of(Network(decode_head=head()), False) == ('head', )


def test_a_neck_behind_a_wider_backbone():
    found = parts_of(detector(), detector(8), DENSE)
    assert list(found.fitting) == ['head']  # the neck is one convolution
    assert found.in_words()[1] == ('start=neck_head left out: neck.weight is 4 x 8 x 1 x 1 in the '
                                   'teacher and 4 x 4 x 1 x 1 in the student')


@pytest.mark.parametrize('student, teacher, fault', [
    (detector(), detector(classes=5), 'bbox_head.cls.weight is 5 x 4 x 1 x 1 in the teacher and '
                                      '3 x 4 x 1 x 1 in the student'),
    (detector(), Network(backbone=nn.Conv2d(3, 4, 1)), 'the teacher (Network) has no bbox_head'),
    (Network(backbone=nn.Conv2d(3, 4, 1)), detector(), 'the student (Network) has no head with '
                                                       'weights'),
    (Network(decode_head=head(norm=True)), Network(decode_head=head()),
     'decode_head.norm.weight is in the student alone'),
    (Network(decode_head=head()), Network(decode_head=head(norm=True)),
     'decode_head.norm.weight is in the teacher alone')])
def test_a_head_that_does_not_fit(student, teacher, fault):
    found = parts_of(student, teacher, ('head', ))
    assert not found.fitting and found.faults == dict(head=fault)


def test_every_head_must_fit_but_auxiliary_ones():
    student, teacher = (detector(rpn_head=head(), aux_head=head(width))
                        for width in (4, 8))
    assert parts_of(student, teacher, ('head', )).fitting['head'].modules == ('bbox_head',
                                                                              'rpn_head')
    assert 'aux_head' in parts_of(student, student, ('head', )).fitting['head'].modules
    other = detector(rpn_head=head(classes=1))
    assert 'rpn_head.cls.weight' in parts_of(student, other, ('head', )).faults['head']


def levels(shared):
    convs = [nn.Conv2d(4, 4, 1)] * 2 if shared else [nn.Conv2d(4, 4, 1) for _ in range(2)]
    return Network(bbox_head=nn.ModuleList(convs))


def test_a_head_that_levels_share():
    assert parts_of(levels(True), levels(True), ('head', )).fitting['head'].tensors == 2
    assert parts_of(levels(False), levels(True), ('head', )).fitting  # the same numbers twice
    assert parts_of(levels(True), levels(False), ('head', )).faults == dict(
        head='bbox_head.1.weight and bbox_head.0.weight are one tensor in the student alone')
    student, teacher = levels(True), levels(True)
    copy_part(student, teacher, ['bbox_head'])
    assert student.bbox_head[0] is student.bbox_head[1]
    assert torch.equal(student.bbox_head[1].weight, teacher.bbox_head[0].weight)


def test_buffers_are_copied_and_the_teacher_stays():
    student, teacher = (Network(decode_head=head(norm=True)) for _ in range(2))
    teacher.decode_head.norm.running_var.fill_(3)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    copy_part(student, teacher, ['decode_head'])
    with torch.no_grad():
        student.decode_head.cls.weight.zero_()
    assert student.decode_head.norm.running_var.eq(3).all()
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


@pytest.mark.parametrize('kind', ['retinanet', 'faster_rcnn', 'fcn'])
def test_networks_of_mmdet_and_mmseg(kind):
    make = getattr(dense_tasks, kind)
    with DefaultScope.overwrite_default_scope('mmseg' if kind == 'fcn' else 'mmdet'):
        student, other, twin = (MODELS.build(ConfigDict(make(width))) for width in (4, 6, 4))
    found = parts_of(student, twin, DENSE).fitting
    heads = dict(retinanet=('bbox_head', ), faster_rcnn=('rpn_head', 'roi_head'),
                 fcn=('decode_head', ))[kind]
    assert found['head'].modules == heads
    if kind == 'fcn':
        assert 'neck_head' not in found
        assert 'decode_head.convs.0.conv.weight is 8 x 48' in parts_of(
            student, other, ('head', )).faults['head']
    else:
        assert found['neck_head'].modules == ('neck', *heads)
        # The lateral convolutions, and that of P6, read another backbone.
        part = parts_of(student, other, DENSE).fitting['neck_head']
        assert part.modules == (*(f'neck.fpn_convs.{level}' for level in (0, 1, 2, 4)), *heads)
        assert str(part.without).startswith('neck.lateral_convs.0.conv.weight is ')
        freeze_part(student, part.modules)
        copy_part(student, other, part.modules)
        for name, own in student.named_parameters():
            copied = name.startswith(tuple(f'{module}.' for module in part.modules))
            assert own.requires_grad != copied
            assert not copied or torch.equal(own, other.get_parameter(name))


# ---------------------------------------------------------------------- in a distillation
@pytest.fixture
def alike(build, configs):
    """An algorithm whose teacher is as wide as its student, and deeper."""
    classifier, distiller = configs

    def make(part='classifier', ckpt=None, **options):
        mapping = distiller()['loss_forward_mappings']['loss_logits']
        logits = distiller(connectors={}, loss_forward_mappings=dict(loss_logits=mapping),
                           distill_losses=dict(loss_logits=dict(type='mmrazor.LogitsLoss')))
        return build(teacher=classifier(depth=14), distiller=logits, teacher_ckpt=ckpt,
                     start=dict(options, part=part) if part else None)

    return make


def equal(model, module='head'):
    ours, theirs = (dict(getattr(network, module).state_dict())
                    for network in (model.student, model.teacher))
    return all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_init_weights_copies_once(alike):
    model, plain = alike(), alike(None)
    model.init_weights(), plain.init_weights()
    assert equal(model) and not equal(plain) and model.inherited == ('head', )
    assert set(model.state_dict()) == set(plain.state_dict())  # checkpoints are any student's
    with torch.no_grad():
        model.student.head.fc.weight.zero_()
    model.init_weights()
    assert not equal(model)


def test_a_teacher_without_weights_is_warned_of(alike, configs, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr('autokd_mm.models.algorithms.inherited.print_log',
                        lambda line, *_: said.append(line))
    model = alike()
    model.init_weights()
    assert said == ['model.start: teacher_ckpt is not set, so head begin as the teacher is '
                    'initialised']
    torch.save(dict(state_dict=model.teacher.state_dict()), str(tmp_path / 'teacher.pth'))
    trained = alike(ckpt=str(tmp_path / 'teacher.pth'))
    trained.init_weights()
    assert len(said) == 1 and equal(trained)
    assert torch.equal(trained.student.head.fc.weight, model.student.head.fc.weight)


def test_a_checkpoint_that_is_resumed_has_the_last_word(alike):
    model = alike()
    model.init_weights()
    trained = {name: value + 1 for name, value in model.state_dict().items()}
    resumed = alike()
    resumed.init_weights()
    resumed.load_state_dict(trained)
    assert torch.equal(resumed.student.head.fc.bias, model.student.head.fc.bias + 1)


@pytest.mark.parametrize('frozen', [False, True])
def test_a_frozen_part_stays_the_teachers(alike, batch, frozen):
    model = alike(frozen=frozen)
    model.init_weights()
    model.train()
    optim = build_optim_wrapper(model, SGD)
    for _ in range(3):
        model.train_step(copy.deepcopy(batch), optim)
    assert equal(model) == frozen


def test_the_average_begins_with_what_was_copied(alike, batch):
    """EMAHook makes its copy before the weights are initialised, and fills it at the first step."""
    model = alike(frozen=True)
    hook = EMAHook(momentum=0.5)
    hook.before_run(_Runner(model))
    model.init_weights()
    optim = build_optim_wrapper(model, SGD)
    model.train()
    for _ in range(2):
        model.train_step(copy.deepcopy(batch), optim)
        hook.ema_model.update_parameters(model)
    average = hook.ema_model.module.student.head
    assert torch.equal(average.fc.weight, model.teacher.head.fc.weight)
    assert not average.fc.weight.requires_grad


class _Runner:

    def __init__(self, model):
        self.model = model


def test_norms_of_a_frozen_head_normalise_as_the_teachers_do():
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(dict(
            type='mmrazor.FrozenTeacherDistill', architecture=dense_tasks.fcn(),
            teacher=dense_tasks.fcn(), distiller=dict(type='mmrazor.ConfigurableDistiller'),
            start=dict(part='head', frozen=True)))
        model.init_weights()
    student, teacher = model.student.decode_head, model.teacher.decode_head
    for norm in (student.convs[0].bn, teacher.convs[0].bn):
        norm.running_mean.fill_(0.25), norm.running_var.fill_(4)
    model.train()
    assert student.training and model.student.backbone.training
    maps = torch.randn(2, 32, 6, 6)
    with torch.no_grad():
        assert torch.equal(student.convs(maps), teacher.convs(maps))
    assert student.convs[0].bn.running_mean.eq(0.25).all()
    assert student.convs[0].bn.num_batches_tracked == 0
    model.eval()
    model.train()
    assert not student.convs[0].bn.training


def test_only_norms_with_statistics_are_kept():
    network = Network(head=Network(norm=nn.BatchNorm2d(2), drop=nn.Dropout(),
                                   instance=nn.InstanceNorm2d(2, track_running_stats=True)))
    network.train()
    keep_statistics(network, ['head'])
    assert [network.head.norm.training, network.head.drop.training,
            network.head.instance.training] == [False, True, False]


def test_the_first_of_several_teachers(build, configs):
    classifier, _ = configs
    model = build(teacher=dict(type='mmrazor.Teachers', teachers=[classifier(), classifier()]),
                  distiller=dict(type='mmrazor.ConfigurableDistiller'),
                  start=dict(part='classifier'))
    model.init_weights()
    first, second = model.teacher.networks()
    assert torch.equal(model.student.head.fc.weight, first.head.fc.weight)
    assert not torch.equal(model.student.head.fc.weight, second.head.fc.weight)


@pytest.mark.parametrize('start, message', [
    (dict(prt='head'), "model.start: 'prt' is unknown, did you mean 'part'? Valid: part, frozen"),
    (dict(frozen=True), 'model.start.part is missing: one of head, neck_head, classifier'),
    (dict(part='head', frozen='False'), "model.start.frozen='False': must be True or False"),
    ('head', "model.start='head': must be a dict such as dict(part='head')"),
    (dict(part='hed'), "model.start.part: 'hed' is unknown, did you mean 'head'? Valid: head, "
                       'neck_head, classifier'),
    (dict(part='head', frosen=True), "model.start: 'frosen' is unknown, did you mean 'frozen'?"),
    (dict(part='classifier'), "model.start.part='classifier' cannot be copied: head.fc.weight is "
                              '10 x 32 in the teacher and 10 x 16 in the student')])
def test_mistakes(build, start, message):
    with pytest.raises(ConfigError) as info:
        build(start=start)
    assert str(info.value).startswith(message) and '\n' not in str(info.value)


def test_another_key_beside_the_start(build):
    with pytest.raises(ConfigError, match="^model: 'strat' is unknown, did you mean 'start'"):
        build(strat=dict(part='head'))


FCOS = dict(type='FCOSHead', num_classes=3, in_channels=4, feat_channels=4, stacked_convs=1,
            strides=[8], regress_ranges=((-1, 1e8), ), norm_cfg=None)
RETINA = dict(type='RetinaHead', num_classes=3, in_channels=4, feat_channels=4, stacked_convs=1)


def test_a_list_and_a_tuple_mean_the_same():
    anchors = dict(type='AnchorGenerator', ratios=[1.0], octave_base_scale=4, scales_per_octave=9,
                   strides=[8])
    with DefaultScope.overwrite_default_scope('mmdet'):
        student, teacher = (Network(bbox_head=MODELS.build(dict(
            RETINA, anchor_generator=anchors, bbox_coder=dict(
                type='DeltaXYWHBBoxCoder', target_means=kind([0., 0., 0., 0.]),
                target_stds=kind([1., 1., 1., 1.]))))) for kind in (list, tuple))
    assert 'head' in parts_of(student, teacher, ('head', )).fitting


@pytest.mark.parametrize('head, changes, words', [
    (FCOS, dict(norm_on_bbox=True), 'bbox_head.norm_on_bbox is True in the teacher and False in'),
    (RETINA, dict(bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_stds=(.1, .1, .2, .2))),
     r'bbox_coder.stds is \(0.1, 0.1, 0.2, 0.2\) in the teacher'),
    (RETINA, dict(anchor_generator=dict(type='AnchorGenerator', ratios=[1.0], octave_base_scale=8,
                                        scales_per_octave=9, strides=[8])),
     r'bbox_head.anchors is')])
def test_equal_shapes_that_mean_something_else(head, changes, words):
    retina = dict(anchor_generator=dict(type='AnchorGenerator', ratios=[1.0], octave_base_scale=4,
                                        scales_per_octave=9, strides=[8])) \
        if head is RETINA else {}
    with DefaultScope.overwrite_default_scope('mmdet'):
        student, teacher, twin = (Network(bbox_head=MODELS.build(dict(head, **{**retina, **more})))
                                  for more in ({}, changes, {}))
    assert 'head' in parts_of(student, twin, ('head', )).fitting
    fault = parts_of(student, teacher, ('head', )).faults['head']
    assert re.search(words, fault) and 'mean something else' in fault
