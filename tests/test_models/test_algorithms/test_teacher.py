import logging

import pytest
import torch
from mmengine.logging import MMLogger
from torch import nn

from autokd_mm.errors import CheckpointError
from autokd_mm.models.algorithms.teacher import (load_network, load_teacher, read_checkpoint,
                                                 refuse_not_loaded)


@pytest.fixture
def net(build):
    return build().teacher


def weights(net, value=0.5):
    return {name: torch.full_like(tensor, value) for name, tensor in net.state_dict().items()}


def saved(tmp_path, thing, name='t.pth'):
    path = str(tmp_path / name)
    torch.save(thing, path)
    return path


def is_loaded(net):
    return bool((net.head.fc.weight == 0.5).all() and (net.backbone.bn1.running_var == 0.5).all())


@pytest.mark.parametrize('wrap', [
    lambda state: state,
    lambda state: dict(state_dict=state, meta=dict(epoch=3)),
    lambda state: dict(model=state, best_acc=0.9),
    lambda state: dict(state_dict={f'module.{name}': value for name, value in state.items()}),
    lambda state: dict(state_dict=dict(
        {f'architecture.{name}': value for name, value in state.items()},
        **{f'teacher.{name}': value * 0 for name, value in state.items()},
        **{'distiller.connectors.f.conv.weight': torch.zeros(1)})),
    lambda state: {('linear' + name[7:] if name.startswith('head.fc') else name[9:]): value
                   for name, value in state.items() if 'num_batches' not in name},
], ids=['plain', 'mmengine', 'model', 'module', 'distilled', 'published'])
def test_all_kinds_of_checkpoints_load(net, tmp_path, wrap):
    load_teacher(net, saved(tmp_path, wrap(weights(net))))
    assert is_loaded(net) and net._is_init


def test_a_path_in_the_home_folder(net, tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    saved(tmp_path, weights(net))
    load_teacher(net, '~/t.pth')
    assert is_loaded(net)


def message_of(net, path, key='teacher_ckpt'):
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(CheckpointError) as info:
        load_network(net, path, key)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert '\n' not in str(info.value)
    return str(info.value)


def test_there_is_no_such_file(net, tmp_path):
    path = str(tmp_path / 'none.pth')
    assert message_of(net, path) == f'teacher_ckpt: there is no file {path}'
    assert message_of(net, path, 'CHECKPOINT').startswith('CHECKPOINT: there is no file')
    assert message_of(net, str(tmp_path)).startswith('teacher_ckpt: there is no file')


def test_a_torn_file(net, tmp_path):
    path = saved(tmp_path, weights(net))
    content = (tmp_path / 't.pth').read_bytes()
    for part in (b'', content[:100], content[:len(content) // 2], b'<html>not found</html>'):
        (tmp_path / 't.pth').write_bytes(part)
        assert message_of(net, path).startswith(f'teacher_ckpt: {path} cannot be read (')


def test_a_scheme_nobody_serves(net):
    path = 'file-of-nobody://x/t.pth'
    assert message_of(net, path).startswith(f'teacher_ckpt: {path} cannot be read (')


def test_not_a_state_dict(net, tmp_path):
    path = saved(tmp_path, [1, 2])
    assert message_of(net, path) == f'teacher_ckpt: {path} holds a list, not a state dict'


def test_another_network(net, tmp_path):
    path = saved(tmp_path, nn.Sequential(nn.Linear(2, 3)).state_dict())
    assert message_of(net, path) == (
        f'teacher_ckpt: {path} is of another network: 0% of the parameters of ImageClassifier are '
        'in it, 95% are needed (first that is not: backbone.conv1.weight; the file begins with '
        '0.weight)')
    assert 'the file begins with nothing' in message_of(net, saved(tmp_path, {}))


def test_a_deeper_and_a_wider_network(net, build, configs, tmp_path):
    for change in (dict(depth=14, channels=8), dict(depth=8, channels=16)):
        other = build(teacher=configs[0](**change)).teacher
        path = saved(tmp_path, other.state_dict())
        if change['depth'] == 14:
            load_network(other, saved(tmp_path, weights(other)), 'teacher_ckpt')
            path = saved(tmp_path, net.state_dict())
            assert 'is of another network: 4' in message_of(other, path)
        else:
            assert 'is of another network: 0%' in message_of(net, path)


def test_a_head_for_other_classes(net, tmp_path):
    """Few parameters, and all of what the teacher has to say."""
    state = weights(net)
    state['head.fc.weight'], state['head.fc.bias'] = torch.zeros(100, 32), torch.zeros(100)
    path = saved(tmp_path, state)
    assert message_of(net, path) == (
        f'teacher_ckpt: {path} is of another network: head.fc.weight has shape (100, 32) there and '
        '(10, 32) here')


def test_the_95_percent(net, tmp_path, caplog):
    """By the number of values: the head is 2 % of them, one convolution of the last stage 45 %."""
    logger = MMLogger.get_current_instance()
    state = weights(net)
    del state['head.fc.weight']
    path = saved(tmp_path, state)
    with caplog.at_level(logging.WARNING, logger.name):
        logger.addHandler(caplog.handler)
        load_network(net, path, 'teacher_ckpt')
        logger.removeHandler(caplog.handler)
    assert f'teacher_ckpt: {path} has no head.fc.weight; they stay as initialised' in caplog.text
    assert bool((net.head.fc.bias == 0.5).all()) and not bool((net.head.fc.weight == 0.5).any())
    del state['backbone.layer3.0.conv2.weight']
    assert 'is of another network: ' in message_of(net, saved(tmp_path, state))


def test_read_checkpoint_gives_the_state_dict(tmp_path):
    state = dict(a=torch.zeros(1))
    for thing in (state, dict(state_dict=state), dict(model=state)):
        assert list(read_checkpoint(saved(tmp_path, thing), 'key')) == ['a']


def test_a_head_that_is_not_in_the_file_is_not_listened_to(net, tmp_path):
    """Below 5 % of the parameters a checkpoint may lack, but not of what teaches."""
    for parameter in net.head.parameters():  # a small one, as of a large backbone
        parameter.data = parameter.data[:1].clone()
    found = weights(net)
    path = saved(tmp_path, {name: value for name, value in found.items() if 'head' not in name})
    load_network(net, path, 'teacher_ckpt')
    refuse_not_loaded(net, ['backbone', 'backbone.layer1', 'nowhere'])
    for source in ('head.fc', 'head', 'head.fc[0]'):
        with pytest.raises(CheckpointError, match=r"^teacher_ckpt: the file has no head.fc.weight, "
                                                  r"and what the teacher says at 'head"):
            refuse_not_loaded(net, [source])
    load_network(net, saved(tmp_path, found), 'teacher_ckpt')
    refuse_not_loaded(net, ['head.fc'])
