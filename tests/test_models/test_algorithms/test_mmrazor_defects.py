"""Defects of mmrazor 1.0.0 around the teacher: its behaviour beside ours.

If one of the upper halves fails, MMRazor was mended and a work-around can go.
"""
import copy
import inspect
import re
import warnings

import pytest
import torch
from mmcv.cnn.bricks import DropPath
from mmengine.model import ExponentialMovingAverage
from mmrazor.models.algorithms import SingleTeacherDistill
from torch import nn

from autokd_mm.models import losses as our_losses
from autokd_mm.models.algorithms import FrozenTeacherDistill
from autokd_mm.registry import MODELS

THEIRS, OURS = SingleTeacherDistill, FrozenTeacherDistill


def distiller(source, teacher_source=None):
    return dict(
        type='mmrazor.ConfigurableDistiller',
        student_recorders=dict(f=dict(type='mmrazor.ModuleOutputs', source=source)),
        teacher_recorders=dict(f=dict(type='mmrazor.ModuleOutputs',
                                      source=teacher_source or source)),
        distill_losses=dict(loss_f=dict(type='mmrazor.FeatureLoss')),
        loss_forward_mappings=dict(loss_f=dict(student=dict(recorder='f', from_student=True),
                                               teacher=dict(recorder='f', from_student=False))))


def made(kind, source, student, teacher):
    model = kind(distiller=distiller(source), architecture=student, teacher=teacher)
    model.train()
    return model


def run(model, seed=0):
    torch.manual_seed(seed)
    return model(torch.randn(4, 3, 8, 8), mode='loss')


def record(model, side):
    """What the recorder of ``side`` was given in a step, as the loss sees it."""
    seen = []
    compute = model.distiller.compute_distill_losses

    def look():
        seen.append(model.distiller.get_record('f', from_student=side == 'student').clone())
        return compute()

    model.distiller.compute_distill_losses = look
    run(model)
    return seen[0]


@pytest.mark.parametrize('side', ['student', 'teacher'])
def test_1_recorded_batch_norm_is_overwritten_by_relu(toy, side):
    on_new_torch = type(nn.Module()._modules) is dict  # was OrderedDict, which MMRazor looks for
    theirs = made(THEIRS, 'bn', toy(), toy())
    assert bool(record(theirs, side).min() < 0) != on_new_torch
    ours = made(OURS, 'bn', toy(), toy())
    assert record(ours, side).min() < 0
    assert not ours.student.act[0].inplace and not ours.teacher.act[0].inplace


@pytest.mark.parametrize('drop', [nn.Dropout(0.5), DropPath(0.5)], ids=['Dropout', 'DropPath'])
def test_2_dropout_of_the_teacher_is_active(toy, drop):
    def teacher_record(kind, seed):
        torch.manual_seed(0)
        teacher = toy()
        teacher.drop = drop
        model = made(kind, 'fc', toy(), teacher)
        torch.manual_seed(seed)
        seen = []
        teacher.fc.register_forward_hook(lambda module, inputs, output: seen.append(output))
        model(torch.ones(4, 3, 8, 8), mode='loss')
        return seen[0]

    assert not torch.equal(teacher_record(THEIRS, 1), teacher_record(THEIRS, 2))
    assert torch.equal(teacher_record(OURS, 1), teacher_record(OURS, 2))


def test_3_teacher_weights_are_in_checkpoints_and_averages(toy):
    models = {kind: kind(distiller=distiller('bn'), architecture=toy(), teacher=toy())
              for kind in (THEIRS, OURS)}
    for state in (lambda model: model.state_dict(),
                  lambda model: ExponentialMovingAverage(model).state_dict()):
        assert [name for name in state(models[THEIRS]) if 'teacher' in name]
        assert not [name for name in state(models[OURS]) if 'teacher' in name]


def test_4_the_teacher_gets_the_students_preprocessing(build, batch, configs):
    teacher = configs[0](dict(type='ClsDataPreprocessor', mean=[0., 0., 0.], std=[255.] * 3,
                              to_rgb=False), channels=8)

    def seen(kind):
        model, inputs = build(kind, teacher=teacher), []
        model.train()
        model.teacher.backbone.register_forward_pre_hook(lambda _, x: inputs.append(x[0]))
        model(**model.data_preprocessor(copy.deepcopy(batch), True), mode='loss')
        return inputs[0], model.teacher.data_preprocessor(copy.deepcopy(batch))['inputs']

    inputs, own = seen('SingleTeacherDistill')
    assert (inputs - own).abs().max() > 1
    inputs, own = seen('FrozenTeacherDistill')
    torch.testing.assert_close(inputs, own)


def test_5_a_wrong_checkpoint_is_loaded(build, tmp_path):
    path = str(tmp_path / 'another.pth')
    torch.save(dict(state_dict=nn.Sequential(nn.Linear(2, 2)).state_dict()), path)
    build('SingleTeacherDistill', teacher_ckpt=path)
    with pytest.raises(ValueError, match='^teacher_ckpt: .*another.pth is of another network: 0% '):
        build(teacher_ckpt=path)


def test_6_the_teacher_runs_after_distillation_has_stopped(toy):
    for kind, modes in ((THEIRS, ['loss']), (OURS, [])):
        model = made(kind, 'bn', toy(), toy())
        model.distillation_stopped = True
        run(model)
        assert model.teacher.calls == modes


def test_6_the_teacher_computes_a_loss_nobody_reads(toy):
    for kind, modes in ((THEIRS, ['loss']), (OURS, ['tensor'])):
        model = made(kind, 'bn', toy(), toy())
        run(model)
        assert model.teacher.calls == modes


def test_7_no_copy_after_a_step(toy):
    theirs = made(THEIRS, 'fc', toy(), toy())
    run(theirs)
    with pytest.raises(RuntimeError, match='deepcopy protocol'):
        copy.deepcopy(theirs)
    ours = made(OURS, 'fc', toy(), toy())
    expected = run(ours)
    assert run(copy.deepcopy(ours)) == expected


def test_7_train_returns_nothing(toy):
    for kind in (THEIRS, OURS):
        model = kind(distiller=distiller('fc'), architecture=toy(), teacher=toy())
        assert model.train() is (None if kind is THEIRS else model)


def test_8_many_names_for_two_tensors():
    names = ('KLDivergence', 'ATLoss', 'ChannelWiseDivergence', 'PKDLoss', 'DISTLoss', 'L2Loss',
             'DistanceWiseRKD', 'MGDLoss')
    vocabularies = {tuple(inspect.signature(MODELS.get(f'mmrazor.{name}').forward).parameters)[1:]
                    for name in names}
    assert len(vocabularies) == 3
    for name in our_losses.__all__:
        thing = getattr(our_losses, name)
        if inspect.isclass(thing):
            given = tuple(inspect.signature(thing.forward).parameters)[1:]
            # A dense head says several things on several levels: student_classes_0 ...
            assert given == ('student', 'teacher') or all(
                re.fullmatch(r'(student|teacher)_(classes|boxes|quality)_\d+', name)
                for name in given)


def test_8_losses_that_grow_with_the_map():
    def growth(loss):
        torch.manual_seed(0)
        small, large = (torch.randn(2, 4, 8, side, side) for side in (4, 16))
        return float(loss(*large) / loss(*small))

    theirs = MODELS.build(dict(type='mmrazor.KLDivergence', tau=1))
    ours = MODELS.build(dict(type='mmrazor.FeatureLoss', distance='kl', temperature=1))
    assert growth(theirs) > 8  # of 16 times as many positions
    assert 0.8 < growth(ours) < 1.25


def test_9_connectors_never_infer_a_shape(toy):
    """Ours come with the numbers of one probe (``distiller_config``) and resize the map."""
    feature = torch.randn(2, 3, 4, 4)
    theirs = MODELS.build(dict(type='mmrazor.ConvModuleConnector', in_channel=3, out_channel=5))
    assert theirs(feature).shape == (2, 5, 4, 4)
    assert 'size' not in inspect.signature(type(theirs).__init__).parameters
    ours = MODELS.build(dict(type='mmrazor.ConvConnector', in_channels=3, out_channels=5,
                             size=(7, 2)))
    assert ours(feature).shape == (2, 5, 7, 2)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        with pytest.raises(ValueError, match='a connector is missing'):
            MODELS.build(dict(type='mmrazor.FeatureLoss'))(theirs(feature), ours(feature))
