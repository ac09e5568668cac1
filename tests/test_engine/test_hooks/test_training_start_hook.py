"""What is looked at when a full training starts."""
import copy
from types import SimpleNamespace

import pytest
import torch

from autokd_mm.engine.hooks import TrainingStartHook
from autokd_mm.errors import CheckpointError, ConfigError
from autokd_mm.models.algorithms.held_teacher import _names_weights
from autokd_mm.registry import MODELS


class Log:

    def __init__(self):
        self.info, self.warning, self.lines = self.keep, self.keep, []

    def keep(self, line):
        self.lines.append(line)


@pytest.fixture
def runner(parts):
    """As far as the hook looks at one; the model has a connector."""
    config = copy.deepcopy(parts.config.model)
    config.teacher_ckpt = None
    config.distiller = dict(
        type='mmrazor.ConfigurableDistiller',
        student_recorders=dict(x=dict(type='mmrazor.ModuleOutputs', source='head.fc')),
        teacher_recorders=dict(x=dict(type='mmrazor.ModuleOutputs', source='head.fc')),
        connectors=dict(x=dict(type='mmrazor.ConvConnector', in_channels=4, out_channels=8)),
        distill_losses=dict(loss=dict(type='mmrazor.FeatureLoss')),
        loss_forward_mappings=dict(loss=dict(
            student=dict(recorder='x', from_student=True, connector='x'),
            teacher=dict(recorder='x', from_student=False))))
    model = MODELS.build(config)
    assert model.teacher_is_random
    model.teacher_is_random = False  # as if a file had been read
    return SimpleNamespace(model=model, _resume=False, _load_from='a.pth',
                           logger=Log(), hooks=[], epoch=0, max_epochs=1, iter=0, max_iters=9,
                           train_loop=None, val_loop=None,
                           train_dataloader=torch.utils.data.DataLoader(parts.datasets['train']))


def given(runner, weights, **more):
    checkpoint = dict(state_dict=weights, **more)
    TrainingStartHook().after_load_checkpoint(runner, checkpoint)
    return checkpoint


def test_a_whole_checkpoint_keeps_its_connectors(runner):
    weights = runner.model.state_dict()
    checkpoint = given(runner, dict(weights), ema_state_dict=dict(steps=1))
    assert set(checkpoint['state_dict']) == set(weights) and 'ema_state_dict' not in checkpoint
    assert runner.logger.lines == [
        'load_from: a.pth: 37 of 37 tensors fit (100.0% of the numbers), the averaged weights '
        '(EMAHook), which were validated']


@pytest.mark.parametrize('distills', [True, False])
@pytest.mark.parametrize('prefix', ['', 'module.', 'architecture.'])
def test_a_student_alone(runner, distills, prefix):
    student = runner.model.architecture
    weights = {prefix + name: value for name, value in student.state_dict().items()}
    weights[f'{prefix}head.fc.weight'] = torch.ones(3, 16)
    if not distills:
        runner.model = student
    checkpoint = given(runner, weights)
    names = {name for name in runner.model.state_dict() if not name.startswith('distiller.')}
    head = ('architecture.' if distills else '') + 'head.fc.weight'
    assert set(checkpoint['state_dict']) == names - {head}
    assert 'head.fc.weight (3, 16) there and (10, 16) here' in runner.logger.lines[0]


def test_nothing_fits_and_resuming(runner):
    with pytest.raises(CheckpointError, match='load_from: a.pth is of another network'):
        given(runner, dict(x=torch.ones(1)))
    runner._resume = True
    assert given(runner, dict(x=1)) == dict(state_dict=dict(x=1))


def test_classes_of_student_and_teacher(runner):
    hook = TrainingStartHook()
    hook.before_train(runner)
    assert not runner.logger.lines
    runner.model.teacher._trained_on = list('1023456789')
    with pytest.raises(CheckpointError, match="teacher_ckpt: .* another order: '0' is class 1"):
        hook.before_train(runner)
    for recorder in runner.model.distiller.teacher_recorders.recorders.values():
        recorder._source = 'backbone.layer3'  # features have no order
    hook.before_train(runner)
    assert 'another order' in runner.logger.lines[0]
    runner.model.architecture.head.num_classes = 9
    with pytest.raises(ConfigError, match='model.architecture.head.num_classes=9'):
        hook.before_train(runner)


@pytest.mark.parametrize('reached, line', [
    (dict(epoch=30, max_epochs=5), r'train_cfg\.max_epochs=5: a\.pth has 30 already'),
    (dict(iter=400, max_iters=40), r'train_cfg\.max_iters=40: a\.pth has 400 already')])
def test_a_checkpoint_of_a_longer_training(runner, reached, line):
    vars(runner).update(reached)
    with pytest.raises(ConfigError, match=line):
        TrainingStartHook().before_train(runner)
    # Larger batches make fewer steps of as many epochs.
    vars(runner).update(epoch=5, max_epochs=5, iter=400, max_iters=40)
    TrainingStartHook().before_train(runner)


def test_a_teacher_without_weights_is_refused(runner, monkeypatch):
    """It would teach what it was initialised with, and nobody would notice."""
    model = runner.model
    monkeypatch.setattr(model, 'teacher_is_random', True)
    with pytest.raises(ConfigError, match='^model.teacher_ckpt: nothing gives the teacher weights'):
        TrainingStartHook().before_train(runner)
    monkeypatch.setattr(model, 'teacher_is_random', False)
    TrainingStartHook().before_train(runner)
    monkeypatch.setattr(model, 'teacher_is_random', True)
    model.distiller.teacher_recorders.recorders.clear()
    TrainingStartHook().before_train(runner)  # nobody hears it


@pytest.mark.parametrize('place', ['network', 'backbone'])
def test_a_teacher_that_its_init_cfg_gives_weights_is_taken(parts, place):
    config = copy.deepcopy(parts.config.model)
    config.update(teacher_ckpt=None, distiller=dict(type='mmrazor.ConfigurableDistiller'))
    given = config.teacher if place == 'network' else config.teacher.backbone
    given.init_cfg = dict(type='Pretrained', checkpoint='a.pth')
    assert not MODELS.build(config).teacher_is_random
    given.init_cfg = [dict(type='Kaiming', layer='Conv2d')]
    assert MODELS.build(config).teacher_is_random


@pytest.mark.parametrize('config, names', [
    (dict(type='TimmClassifier', model_name='resnet18', pretrained=True), True),
    (dict(type='TimmClassifier', model_name='resnet18', pretrained=False), False),
    (dict(type='A', backbone=dict(type='B', checkpoint_path='b.pth')), True),
    (dict(type='A', backbone=[dict(type='B', pretrained=None)], init_cfg=None), False),
    (dict(type='DETRHead', loss_cls=dict(class_weight=torch.ones(3), class_weights=torch.ones(3))),
     False),  # MMDetection's own head writes it there
    (torch.nn.Identity(), True)])
def test_what_may_read_weights_by_itself(config, names):
    """Wrappers of other packages read them when they are built, and no module shows it."""
    assert _names_weights(config) is names


def test_a_backbone_that_began_with_nothing_of_its_file(runner, tmp_path):
    path = str(tmp_path / 'other.pth')
    torch.save({'stem.weight': torch.rand(3, 3)}, path)
    runner.model.architecture.backbone.init_cfg = dict(type='Pretrained', checkpoint=path)
    TrainingStartHook().before_train(runner)  # load_from has given it other weights
    runner._load_from = None
    with pytest.raises(CheckpointError, match=r'^model.architecture.backbone.init_cfg.checkpoint: '
                                              r'0% of the values of .* it has stem.weight, the '):
        TrainingStartHook().before_train(runner)
    runner.iter = 1  # it goes on
    TrainingStartHook().before_train(runner)


@pytest.mark.parametrize('stop', ['x', None, 1.5, True])
def test_a_distillation_that_stops_at_no_number(runner, stop):
    from mmrazor.engine.hooks import StopDistillHook
    runner.hooks = [StopDistillHook(stop_epoch=stop)]
    with pytest.raises(ConfigError, match=f'^custom_hooks.StopDistillHook.stop_epoch={stop!r}: '):
        TrainingStartHook().before_train(runner)


def test_a_distillation_that_stops_and_leaves_nothing(runner):
    from mmrazor.engine.hooks import StopDistillHook
    runner.hooks, runner.max_epochs = [StopDistillHook(stop_epoch=3)], 4
    TrainingStartHook().before_train(runner)
    runner.model.calculate_student_loss = False
    with pytest.raises(ConfigError, match='StopDistillHook.stop_epoch=3: behind it nothing is '):
        TrainingStartHook().before_train(runner)
    runner.max_epochs = 3
    TrainingStartHook().before_train(runner)
