"""All kinds of MMRazor's recorders with a frozen teacher."""
import copy

import pytest
import torch
from mmengine.config import ConfigDict
from mmpretrain.models import LinearClsHead
from mmpretrain.structures import DataSample

from autokd_mm.errors import ConfigError
from autokd_mm.layers.capture import capture
from autokd_mm.models.distillers import refuse_unknown_sources
from autokd_mm.registry import MODELS

HEAD = 'mmpretrain.models.heads.linear_head.LinearClsHead'


def network(channels):
    return dict(type='mmpretrain.ImageClassifier', _scope_='mmpretrain', backbone=dict(
        type='mmrazor.CifarResNet', depth=8, base_channels=channels, in_channels=1,
        shortcut='pad'), neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=10, in_channels=channels * 4,
                  loss=dict(type='CrossEntropyLoss')))


def algorithm(teacher, student=None, loss='L2Loss', arguments=('s_feature', 't_feature'),
              teacher_at=None, student_at=None, **more):
    fc = dict(type='ModuleOutputs', source='head.fc')
    own = dict(distill_losses=dict(loss_x=dict(type=loss)), loss_forward_mappings=dict(loss_x={
        arguments[0]: dict(from_student=True, recorder='r', **(student_at or {})),
        arguments[1]: dict(from_student=False, recorder='r', **(teacher_at or {}))}))
    return MODELS.build(ConfigDict(
        type='FrozenTeacherDistill', _scope_='mmrazor', architecture=network(4),
        teacher=network(8), distiller=dict(
            type='ConfigurableDistiller', student_recorders=dict(r=student or fc),
            teacher_recorders=dict(r=teacher), **own), **more)).train()


@pytest.fixture
def batch():
    torch.manual_seed(0)
    return torch.rand(4, 1, 8, 8), [DataSample().set_gt_label(i) for i in range(4)]


OF_TEACHER = [
    (dict(type='ModuleOutputs', source='head.fc'), {}),
    (dict(type='MethodOutputs', source=f'{HEAD}.forward'), {}),
    (dict(type='MethodInputs', source='mmpretrain.models.heads.cls_head.ClsHead._get_loss'),
     dict(data_idx=0)),
    (dict(type='ModuleInputs', source='head.loss_module'), dict(data_idx=0))]


@pytest.mark.parametrize('teacher, at', OF_TEACHER)
def test_the_same_logits_by_whatever_recorder(teacher, at, batch):
    model = algorithm(teacher, teacher_at=at)
    for _ in range(2):
        losses = model.loss(*batch)
        student = copy.deepcopy(model.architecture)
        with torch.no_grad():
            expected = model.teacher(batch[0], mode='tensor')
        assert losses['distill.loss_x'] > 0 and losses['distill.loss_x'].requires_grad
        with capture(student.train(), dict(fc='head.fc')) as found:
            student(batch[0], batch[1], mode='loss')
        by_hand = model.distiller.distill_losses['loss_x'](found['fc'], expected)
        assert torch.allclose(losses['distill.loss_x'], by_hand)
    assert LinearClsHead.forward.__qualname__ == 'LinearClsHead.forward'
    assert not hasattr(LinearClsHead.forward, '__wrapped__')  # nothing is left behind


def test_parameters_need_no_teacher(batch, monkeypatch):
    weight = dict(type='Parameter', source='head.fc.bias')
    model = algorithm(weight, student=weight)
    monkeypatch.setattr(model.teacher, 'forward', lambda *args, **kw: pytest.fail('it runs'))
    for twin in (model, copy.deepcopy(model)):
        for _ in range(2):
            assert twin.loss(*batch)['distill.loss_x'].requires_grad
        recorder = twin.distiller.teacher_recorders.recorders['r']
        assert recorder.data_buffer == [twin.teacher.head.fc.bias] and \
            recorder.data_buffer[0] is model.teacher.head.fc.bias
        assert twin.distiller.student_recorders.recorders['r'].data_buffer[0] is \
            twin.architecture.head.fc.bias


def test_two_recorders_of_one_method(batch):
    model = algorithm(OF_TEACHER[1][0])
    both = ConfigDict(a=dict(type='mmrazor.MethodOutputs', source=f'{HEAD}.forward'),
                      b=dict(type='mmrazor.MethodOutputs', source=f'{HEAD}.forward'))
    from mmrazor.models.task_modules import RecorderManager

    from autokd_mm.models.distillers import recording
    model.distiller.teacher_recorders = RecorderManager(both)
    model.distiller.teacher_recorders.initialize(model.teacher)
    before = LinearClsHead.forward
    with recording(model.distiller, 'teacher'):
        model.teacher(batch[0], mode='tensor')
    assert LinearClsHead.forward is before
    assert [len(one.data_buffer) for one in
            model.distiller.teacher_recorders.recorders.values()] == [1, 1]


@pytest.mark.parametrize('recorder, words', [
    (dict(type='ModuleOutputs', source='head.fx'), r"r\.source: 'head.fx' is unknown, did you"),
    (dict(type='Parameter', source='head.fc.weigth'), "did you mean 'head.fc.weight'"),
    (dict(type='ParameterOutputs', source='head.fc.weight'), r"r\.type: 'ParameterOutputs'"),
    (dict(type='MethodOutputs', source=f'{HEAD}.forwards'), "did you mean 'forward'"),
    (dict(type='MethodOutputs', source='nowhere.X.y'), 'nowhere cannot be imported'),
    (dict(type='FunctionOutputs', source='mmpretrain'), 'must be MODULE.FUNCTION')])
def test_a_source_that_is_not_there(recorder, words):
    with pytest.raises(ConfigError, match=words):
        algorithm(recorder)


def test_a_source_that_the_teacher_never_calls(batch):
    model = algorithm(dict(type='MethodOutputs',
                           source='mmpretrain.models.heads.vision_transformer_head.'
                           'VisionTransformerClsHead.forward'))
    with pytest.raises(ConfigError, match='teacher_recorders.r: .* is not called while the'):
        model.loss(*batch)
    fewer = algorithm(dict(type='ModuleOutputs', source='head.fc'),
                      teacher_at=dict(record_idx=1))
    with pytest.raises(ConfigError, match=r'called 1 time .*record_idx=1'):
        fewer.loss(*batch)


def test_the_last_record_is_that_of_the_whole_pass(batch):
    """``record_idx=-1`` of a layer that runs twice: the teacher must not stop behind the first."""

    losses = []
    for index in (1, -1, 0, -2):
        torch.manual_seed(0)
        model = algorithm(dict(type='ModuleOutputs', source='head.fc'),
                          teacher_at=dict(record_idx=index), student_at=dict(record_idx=index))
        for network in (model.architecture, model.teacher):
            network.head.forward = lambda feats, fc=network.head.fc: fc(fc(feats[-1])[:, :1].repeat(
                1, fc.in_features))
            network.head.loss = lambda feats, samples, head=network.head, **kw: head._get_loss(
                head.forward(feats), samples, **kw)
        losses.append(model.loss(*batch)['distill.loss_x'].item())
    last, behind, first, before = losses
    assert behind == pytest.approx(last) and before == pytest.approx(first)
    assert abs(last - first) > 1e-3
    less = algorithm(dict(type='ModuleOutputs', source='head.fc'), teacher_at=dict(record_idx=-2))
    with pytest.raises(ConfigError, match=r'called 1 time .*record_idx=-2'):
        less.loss(*batch)


@pytest.mark.parametrize('change, words', [
    (dict(teacher_recorders=dict(r='head.fc')), r"teacher_recorders\.r='head.fc': must be a dict"),
    (dict(student_recorders=[dict(type='ModuleOutputs')]), 'student_recorders=.* must be a dict'),
    (dict(student_recorders=dict(r=dict(type='ModuleOutputs'))), r'r\.source is missing'),
    (dict(distill_deliveries=dict(p='x')), r"distill_deliveries\.p='x': must be a dict"),
    (dict(connectors=dict(c='x')), r"connectors\.c='x': must be a dict"),
    (dict(loss_forward_mappings=dict(loss_x=dict(preds_S='r'))), r"loss_x\.preds_S='r': must be"),
    (dict(loss_forward_mappings=dict(loss_x=dict(preds_S=dict(
        recorder='r', from_student=True, record_idx='1')))), r"preds_S\.record_idx='1': must be"),
    (dict(loss_forward_mappings=dict(loss_x=dict(preds_S=dict(
        recorder='r', from_student=True, record_idx=None)))), 'None: must be a whole')])
def test_what_is_no_dict_or_no_number(change, words):
    with pytest.raises(ConfigError, match=f'^model.distiller.*{words}'):
        refuse_unknown_sources(dict(dict(
            student_recorders=dict(r=dict(type='ModuleOutputs', source='head.fc'))), **change))


def test_student_that_is_not_trained(batch):
    with pytest.raises(ConfigError, match='model.student_trainable=False'):
        algorithm(OF_TEACHER[0][0], student_trainable=False)
