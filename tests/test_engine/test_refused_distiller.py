"""A distiller that fails in its first training step: one line names the key and the shapes."""
import copy

import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from mmrazor.models.task_modules import RecorderManager

from autokd_mm.engine.mistakes import mistake
from autokd_mm.errors import CandidateFailed, ConfigError
from autokd_mm.proxy.candidate import Candidate
from autokd_mm.registry import MODELS

KINDS = ['FrozenTeacherDistill', 'SingleTeacherDistill']
LOSSES = 'model.distiller.distill_losses.'
S_FEATURE = 'model.distiller.loss_forward_mappings.loss_byp.s_feature'


def classifier(channels):
    return dict(
        type='ImageClassifier', backbone=dict(type='mmrazor.CifarResNet', depth=8,
                                              base_channels=channels),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=10, in_channels=4 * channels,
                  loss=dict(type='CrossEntropyLoss')))


def written():
    """A distiller as MMRazor's own configs write it, without a mistake."""
    def heard(**more):
        return dict({name: dict(type='mmrazor.ModuleOutputs', source=source) for name, source in
                     (('feat', 'backbone.layer3'), ('fc', 'head.fc'))}, **more)

    labels = dict(type='mmrazor.ModuleInputs', source='head.loss_module')
    return dict(
        type='mmrazor.ConfigurableDistiller', student_recorders=heard(labels=labels),
        teacher_recorders=heard(),
        connectors=dict(sf=dict(type='mmrazor.ConvModuleConnector', in_channel=16,
                                out_channel=32)),
        distill_losses=dict(loss_byp=dict(type='mmrazor.L2Loss', normalize=True),
                            loss_dkd=dict(type='mmrazor.DKDLoss')),
        loss_forward_mappings=dict(
            loss_byp=dict(s_feature=dict(from_student=True, recorder='feat', connector='sf'),
                          t_feature=dict(from_student=False, recorder='feat')),
            loss_dkd=dict(preds_S=dict(from_student=True, recorder='fc'),
                          preds_T=dict(from_student=False, recorder='fc'),
                          gt_labels=dict(recorder='labels', from_student=True, data_idx=1))))


def algorithm(kind, changes):
    """Between two tiny classifiers; ``changes`` of the distiller by their keys."""
    config = written()
    for path, value in changes.items():
        *parts, last = path.split('.')
        place = config
        for part in parts:
            place = place[part]
        if value is None:
            del place[last]
        else:
            place[last] = value
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(dict(
            type=f'mmrazor.{kind}', architecture=classifier(4), teacher=classifier(8),
            data_preprocessor=dict(type='ClsDataPreprocessor'), distiller=config))


def step(model):
    data = dict(inputs=[torch.zeros(3, 16, 16, dtype=torch.uint8)] * 4,
                data_samples=[DataSample().set_gt_label(label) for label in range(4)])
    return model(**model.data_preprocessor(data, True), mode='loss')


def error_of(model):
    with pytest.raises(Exception) as info:
        step(model)
    return info.value


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('changes, starts, words', [
    ({'connectors.sf.out_channel': 64}, f'{LOSSES}loss_byp (L2Loss): ', [
        'must match', "s_feature is 4x64x4x4 (the student's backbone.layer3 through connector sf)",
        "t_feature is 4x32x4x4 (the teacher's backbone.layer3)",
        'model.distiller.connectors.sf must give 32 channels']),
    ({'loss_forward_mappings.loss_byp.s_feature.connector': None},
     f'{LOSSES}loss_byp (L2Loss): ', ['s_feature is 4x16x4x4', 'channels (16 and 32)',
                                      'needs a connector']),
    ({'connectors.sf.in_channel': 64}, 'model.distiller.connectors.sf (ConvModuleConnector): ',
     ["given 4x16x4x4 (the student's backbone.layer3)", S_FEATURE, '64 channels']),
    ({'loss_forward_mappings.loss_dkd.gt_labels.data_idx': 7},
     'model.distiller.loss_forward_mappings.loss_dkd.gt_labels.data_idx=7: ',
     ["student's head.loss_module has 2 entries; valid: 0, 1"]),
    ({'loss_forward_mappings.loss_byp.s_feature.data_idx': 0}, f'{S_FEATURE}.data_idx=0: ',
     ['is 4x16x4x4 and no list']),
    ({'loss_forward_mappings.loss_byp.s_feature.record_idx': 3}, f'{S_FEATURE}.record_idx=3: ',
     ['has 1 records', 'valid: 0']),
    ({'loss_forward_mappings.loss_byp.s_feature.connector_idx': 9},
     f'{S_FEATURE}.connector_idx=9: ', ['out of bounds']),
    ({'loss_forward_mappings.loss_byp.s_feature.conector': 'sf'}, f"{S_FEATURE}: 'conector'",
     ["did you mean 'connector'?"]),
    ({'loss_forward_mappings.loss_byp.s_feature': None}, f'{LOSSES}loss_byp (L2Loss): ',
     ["missing 1 required positional argument: 's_feature'", 't_feature is 4x32x4x4']),
    ({'distill_losses.loss_byp.loss_weight': 'a'}, f"{LOSSES}loss_byp.loss_weight='a': ",
     ['must be a number']),
    ({'distill_losses.loss_dkd': dict(type='mmrazor.FeatureLoss'),
      'loss_forward_mappings.loss_dkd': dict(
          student=dict(from_student=True, recorder='feat'),
          teacher=dict(from_student=False, recorder='feat'))},
     f'{LOSSES}loss_dkd: FeatureLoss: ', ['(4, 16, 4, 4)', '(4, 32, 4, 4)']),
    ({'distill_losses.loss_dkd': dict(type='mmrazor.LogitsLoss'),
      'loss_forward_mappings.loss_dkd': dict(
          student=dict(from_student=True, recorder='labels'),
          teacher=dict(from_student=False, recorder='fc'))},
     f'{LOSSES}loss_dkd (LogitsLoss): ', ['student is tuple of 4x10, 4'])])
def test_the_line_names_the_key(kind, changes, starts, words):
    line = str(mistake(error_of(algorithm(kind, changes))))
    assert line.startswith(starts) and all(word in line for word in words), line
    assert '\n' not in line


@pytest.mark.parametrize('error', [torch.cuda.OutOfMemoryError('CUDA out of memory.'),
                                   RuntimeError('CUDA error: device-side assert triggered'),
                                   ZeroDivisionError(), CandidateFailed('x')])
def test_what_is_no_mistake_of_the_distiller(error, monkeypatch):
    model = algorithm(KINDS[0], {})

    def fails(*args, **kwargs):
        raise error

    monkeypatch.setattr(model.distiller.distill_losses['loss_byp'], 'forward', fails)
    line = str(mistake(error_of(model)))
    assert 'model.distiller' not in line
    assert 'the GPU has not enough memory' in line if 'memory' in str(error) else line == 'None'


@pytest.mark.parametrize('kind', KINDS)
def test_the_students_own_loss_keeps_its_traceback(kind, monkeypatch):
    model = algorithm(kind, {})
    monkeypatch.setattr(model.student.head.loss_module, 'forward', lambda *_, **__: [].missing)
    assert mistake(error_of(model)) is None


def test_a_candidate_of_a_search_has_its_own_way():
    """What a search composes is not the user's writing; the trainer rejects or reports it."""
    model = algorithm(KINDS[0], {'connectors.sf.out_channel': 64})
    candidate = Candidate(copy.deepcopy(model.architecture), model.distiller)
    model.distiller.prepare_from_student(candidate.student)
    teacher = dict(feat=torch.zeros(4, 32, 4, 4), fc=torch.zeros(4, 10))
    samples = [DataSample().set_gt_label(0)] * 4
    with pytest.raises(RuntimeError, match='must match') as info:
        candidate.losses(torch.zeros(4, 3, 16, 16), samples, teacher)
    assert mistake(info.value) is None


def test_a_fault_in_a_loss_of_ours_is_no_mistake(monkeypatch):
    """It was given what it takes."""
    from autokd_mm.models.losses import LogitsLoss
    model = algorithm(KINDS[0], {
        'distill_losses.loss_dkd': dict(type='mmrazor.LogitsLoss'),
        'loss_forward_mappings.loss_dkd': dict(student=dict(from_student=True, recorder='fc'),
                                               teacher=dict(from_student=False, recorder='fc'))})
    assert isinstance(model.distiller.distill_losses['loss_dkd'], LogitsLoss)
    model.distiller.distill_losses['loss_dkd'].__dict__.pop('loss_weight', None)
    model.distiller.distill_losses['loss_dkd']._modules.clear()
    error = error_of(model)
    assert not isinstance(error, ConfigError) and mistake(error) is None


def test_a_recorder_in_the_scope_of_another_package():
    """MMRazor adds a word to the type, which nobody can write."""
    recorders = dict(fc=dict(type='ModuleOutputs', source='head.fc'))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        with pytest.raises(KeyError) as info:
            RecorderManager(recorders)
    assert str(mistake(info.value)) == (
        "model.distiller: the recorder type 'ModuleOutputs' is unknown among the task utils of "
        "mmpretrain and of the packages that are loaded, did you mean 'mmrazor.ModuleOutputs'?")
