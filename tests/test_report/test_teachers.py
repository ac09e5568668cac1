"""Several teachers in a found config: those that nobody listens to are not in it."""
import pytest
from mmengine.config import Config

from autokd_mm.report.teachers import leave_out_unheard

SOURCES = dict(mean='mean_logits', first='0.head.fc', second='1.neck[2]', third='2.head.fc')


def found(*heard, **model):
    recorders = {name: dict(type='mmrazor.ModuleOutputs', source=SOURCES[name]) for name in heard}
    config = Config(dict(teacher_ckpt=['a.pth', None, 'c.pth'], model=dict(dict(
        distiller=dict(teacher_recorders=recorders), teacher_ckpt=['a.pth', None, 'c.pth'],
        teacher_input=[None, dict(size=8), None], teacher=dict(
            type='mmrazor.Teachers', mean_logits=['x', 'y', 'z'],
            teachers=[dict(type='A'), dict(type='B'), dict(type='C')])), **model)))
    leave_out_unheard(config)
    read = Config.fromstring(config.pretty_text, '.py')
    return read.model, read.teacher_ckpt, {
        name: one.source for name, one in read.model.distiller.teacher_recorders.items()}


@pytest.mark.parametrize('heard', [('mean', ), ('mean', 'first'), ('first', 'second', 'third')])
def test_all_are_heard(heard):
    model, checkpoints, sources = found(*heard)
    assert len(model.teacher.teachers) == len(checkpoints) == 3 and 'mean_logits' in model.teacher
    assert sources == {name: SOURCES[name] for name in heard}


@pytest.mark.parametrize('heard, kind, checkpoint, images, source', [
    ('first', 'A', 'a.pth', None, 'head.fc'), ('second', 'B', None, dict(size=8), 'neck[2]'),
    ('third', 'C', 'c.pth', None, 'head.fc')])
def test_one_is_a_teacher_as_any_other(heard, kind, checkpoint, images, source):
    model, checkpoints, sources = found(heard)
    assert model.teacher == dict(type=kind) and model.teacher_input == images
    assert model.teacher_ckpt == checkpoints == checkpoint and sources == {heard: source}


def test_some_are_numbered_anew():
    model, checkpoints, sources = found('second', 'third')
    assert [one.type for one in model.teacher.teachers] == ['B', 'C']
    assert 'mean_logits' not in model.teacher and checkpoints == model.teacher_ckpt == [
        None, 'c.pth']
    assert sources == dict(second='0.neck[2]', third='1.head.fc')


@pytest.mark.parametrize('heard, modules', [
    (('third', ), ['head.convs.1', 'head.fc']),
    (('second', 'third'), ['1.head.convs.1', '1.head.fc'])])
def test_modules_that_a_connector_runs_through_are_the_same_teachers(heard, modules):
    recorders = {name: dict(type='mmrazor.ModuleOutputs', source=SOURCES[name]) for name in heard}
    config = Config(dict(model=dict(
        distiller=dict(teacher_recorders=recorders, connectors=dict(
            cross=dict(type='mmrazor.CrossHeadConnector', modules=['2.head.convs.1', '2.head.fc']),
            other=dict(type='mmrazor.IdentityConnector'))),
        teacher=dict(type='mmrazor.Teachers', teachers=[dict(type=one) for one in 'ABC']))))
    leave_out_unheard(config)
    assert config.model.distiller.connectors.cross.modules == modules


def test_the_first_is_kept_where_the_student_starts_with_a_part_of_it():
    model, checkpoints, sources = found('third', start=dict(part='head'))
    assert [one.type for one in model.teacher.teachers] == ['A', 'C']
    assert sources == dict(third='1.head.fc') and checkpoints == ['a.pth', 'c.pth']
    model, checkpoints, _ = found(start=dict(part='head'))
    assert model.teacher.type == 'A' and checkpoints == 'a.pth'


def test_one_teacher_stays_as_it_is():
    config = Config(dict(teacher_ckpt='a.pth', model=dict(
        teacher=dict(type='A'), teacher_ckpt='a.pth',
        distiller=dict(teacher_recorders=dict(r=dict(source='0'))))))
    before = config.pretty_text
    leave_out_unheard(config)
    assert config.pretty_text == before
