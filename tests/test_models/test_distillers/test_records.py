import copy

import pytest
import torch
from mmrazor.models.task_modules import RecorderManager
from torch import nn
from torch.nn import functional as F

from autokd_mm.errors import ConfigError
from autokd_mm.models.distillers import (RecordGuard, bring_to_one_grid, clear_records,
                                         disable_inplace, feed_teacher)
from autokd_mm.registry import MODELS


class Net(nn.Module):
    """``bn`` and what happens to its output."""

    def __init__(self, after):
        super().__init__()
        self.bn, self.relu = nn.BatchNorm2d(2), nn.ReLU(inplace=True)
        self.after = after

    def forward(self, x):
        return self.after(self, self.bn(x), x)


def in_place_relu(net, out, x):
    return net.relu(out)


def functional_relu(net, out, x):
    return F.relu_(out)


def add(net, out, x):
    out += x
    return out


def through_a_view(net, out, x):
    out.flatten(1).mul_(2)
    return out


def nothing(net, out, x):
    return F.relu(out) + x


def watched(after, kind='ModuleOutputs', source='bn'):
    net = Net(after)
    manager = RecorderManager(dict(f=dict(type=f'mmrazor.{kind}', source=source)))
    manager.initialize(net)
    return net, manager, RecordGuard(manager, 'student').watch(net)


def run(net, manager):
    with manager:
        return net(torch.randn(2, 2, 3, 3))


@pytest.mark.parametrize('after', [in_place_relu, functional_relu, add, through_a_view])
@pytest.mark.parametrize('grad', [True, False])
def test_an_overwritten_record_is_noticed(after, grad):
    net, manager, guard = watched(after)
    with torch.set_grad_enabled(grad):
        run(net, manager)
    with pytest.raises(ConfigError, match="student_recorders.f.source: the output of 'bn' is "
                                          'overwritten in place by what follows it; record the'):
        guard.check()
    guard.check()  # it is forgotten


def test_a_record_that_stays_is_fine():
    net, manager, guard = watched(nothing)
    run(net, manager)
    guard.check()
    net, manager, guard = watched(in_place_relu)
    disable_inplace(net)
    run(net, manager)
    guard.check()
    assert manager.recorders['f'].data_buffer[0].min() < 0


def test_what_is_not_recorded_is_not_watched():
    net, manager, guard = watched(in_place_relu)
    net(torch.randn(2, 2, 3, 3))
    assert not guard._versions
    guard.check()


def test_forget_lets_the_tensors_go():
    net, manager, guard = watched(in_place_relu)
    run(net, manager)
    assert guard._versions
    guard.forget()
    assert not guard._versions
    guard.check()


def test_inputs_are_watched_where_inputs_are_recorded():
    net, manager, guard = watched(lambda net, out, x: F.relu(net.relu(out)) + out.mul_(2),
                                  'ModuleInputs', 'relu')
    disable_inplace(net)
    run(net, manager)
    with pytest.raises(ConfigError, match="the output of 'relu'"):
        guard.check()
    net, manager, guard = watched(in_place_relu, 'ModuleInputs', 'bn')  # its output is not recorded
    run(net, manager)
    guard.check()


def test_tuples_are_watched():
    net, manager, guard = watched(nothing)
    net.bn.register_forward_hook(lambda m, i, o: (o, [o + 1]))
    net.after = lambda net, outs, x: outs[1][0].add_(1)
    manager = RecorderManager(dict(f=dict(type='mmrazor.ModuleOutputs', source='bn')))
    manager.initialize(net)
    guard = RecordGuard(manager, 'student').watch(net)
    run(net, manager)
    with pytest.raises(ConfigError, match='overwritten'):
        guard.check()


def test_a_copy_has_a_guard_of_its_own():
    original = watched(add)
    net, manager, guard = copy.deepcopy(original)
    run(net, manager)
    original[2].check()
    with pytest.raises(ConfigError, match='overwritten'):
        guard.check()


def test_disable_inplace_reaches_nested_modules():
    model = nn.Sequential(nn.Sequential(nn.ReLU(inplace=True), nn.Dropout(0.1, inplace=True)),
                          nn.ModuleDict(dict(a=nn.SiLU(inplace=True))), nn.Hardswish(inplace=True))
    disable_inplace(model)
    assert not any(getattr(module, 'inplace', False) for module in model.modules())


# ---------------------------------------------------------------------- buffers
def make_distiller():
    records = {name: dict(type='mmrazor.ModuleOutputs', source='bn') for name in 'ab'}
    return MODELS.build(dict(type='mmrazor.ConfigurableDistiller', student_recorders=records,
                             teacher_recorders=records))


def test_feed_teacher_and_clear_records():
    distiller = make_distiller()
    values = dict(a=torch.ones(1), b=torch.zeros(2), more=None)
    feed_teacher(distiller, values)
    feed_teacher(distiller, values)
    for name in 'ab':
        assert distiller.get_record(name, from_student=False) is values[name]
        assert len(distiller.teacher_recorders.recorders[name].data_buffer) == 1
    distiller.student_recorders.recorders['a'].data_buffer.append(1)
    clear_records(distiller)
    assert not any(recorder.data_buffer
                   for manager in (distiller.student_recorders, distiller.teacher_recorders)
                   for recorder in manager.recorders.values())


def test_maps_are_brought_to_the_size_of_the_students():
    """Each once, whichever losses read it; what is no map stays."""

    def mapping(call, index):
        place = {} if index is None else dict(data_idx=index)
        return {who: dict(recorder='a', from_student=who == 'student', record_idx=call, **place)
                for who in ('student', 'teacher')}

    losses = {f'loss_{number}': dict(type='mmrazor.FeatureLoss') for number in range(4)}
    places = [(0, 1), (-3, -1), (1, None), (2, None)]  # the first two are one
    distiller = MODELS.build(dict(
        type='mmrazor.ConfigurableDistiller', distill_losses=losses,
        student_recorders=dict(a=dict(type='mmrazor.ModuleOutputs', source='bn')),
        teacher_recorders=dict(a=dict(type='mmrazor.ModuleOutputs', source='bn')),
        loss_forward_mappings={name: mapping(*place) for name, place in zip(losses, places)}))
    student = [(torch.rand(1, 2, 9, 9), torch.rand(1, 2, 3, 4)), torch.rand(1, 2, 5, 6),
               torch.rand(7, 2)]
    teacher = [(torch.rand(1, 2, 9, 9), torch.rand(1, 2, 6, 8)), torch.rand(1, 2, 10, 12),
               torch.rand(7, 2)]
    for manager, buffer in ((distiller.student_recorders, student),
                            (distiller.teacher_recorders, teacher)):
        manager.recorders['a'].data_buffer.extend(buffer)
    calls = []

    def resize(feature, size):
        calls.append(size)
        return feature[:, :, :size[0], :size[1]] * 2

    bring_to_one_grid(distiller, resize)
    assert calls == [(3, 4), (5, 6)]
    found = distiller.teacher_recorders.recorders['a'].data_buffer
    assert found[0][0] is teacher[0][0] and found[2] is teacher[2]
    assert torch.equal(found[0][1], teacher[0][1][:, :, :3, :4] * 2)
    assert torch.equal(found[1], teacher[1][:, :, :5, :6] * 2)


def test_a_recorder_that_gets_nothing():
    with pytest.raises(KeyError, match=r"no teacher output for recorder 'b'; given: \['a'\]"):
        feed_teacher(make_distiller(), dict(a=torch.ones(1)))
