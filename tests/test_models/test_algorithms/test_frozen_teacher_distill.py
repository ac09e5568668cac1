import copy
from types import MethodType

import pytest
import torch
from mmengine.hooks import EMAHook
from mmengine.model import ExponentialMovingAverage
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmrazor.engine.hooks import StopDistillHook

from autokd_mm.errors import ConfigError
from autokd_mm.registry import MODELS
from autokd_mm.safe_load import load_weights, use_everywhere

OTHER = dict(type='ClsDataPreprocessor', mean=[100., 110., 120.], std=[60., 61., 62.])
SGD = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.02, momentum=0.9))


def step(model, batch):
    """Losses of one batch, before any optimiser."""
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    return model(**data, mode='loss')


def calls_of(module):
    """A list that grows with every forward of ``module``, also one that is ended early."""
    calls = []
    module.register_forward_pre_hook(lambda *_: calls.append(1))
    return calls


# ---------------------------------------------------------------------- training
def test_the_losses_of_a_step(build, batch):
    model = build().train()
    losses = step(model, batch)
    assert set(losses) == {'student.loss', 'distill.loss_feature', 'distill.loss_logits'}
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in model.student.parameters())
    assert all(parameter.grad is not None for parameter in model.distiller.parameters())
    assert not any(parameter.requires_grad or parameter.grad is not None
                   for parameter in model.teacher.parameters())


def test_hooks_find_the_students_modules(build):
    """mmdet's YOLOXModeSwitchHook sets ``model.bbox_head.use_l1``."""
    model = build()
    for one in (model, copy.deepcopy(model)):
        assert one.backbone is one.architecture.backbone and one.head is one.architecture.head
    assert not hasattr(model, 'bbox_head') and not hasattr(model, 'detector')
    with pytest.raises(AttributeError, match='no_such_name'):
        assert model.no_such_name


@pytest.mark.parametrize('with_labels', [True, False])
def test_training_lowers_the_loss(build, batch, with_labels):
    model = build(calculate_student_loss=with_labels).train()
    optim = build_optim_wrapper(model, SGD)
    logs = [model.train_step(copy.deepcopy(batch), optim) for _ in range(15)]
    # A teacher that knows nothing contradicts the labels: together only the sum must fall.
    for name in ['loss'] if with_labels else logs[0]:
        assert logs[-1][name] < logs[0][name], name
    assert not torch.equal(build().student.head.fc.weight, model.student.head.fc.weight)


def test_the_same_losses_as_mmrazor_where_mmrazor_is_right(build, batch):
    """No Dropout, one preprocessing: the teacher's BatchNorm is in evaluation mode in both."""
    ours, theirs = build().train(), build('SingleTeacherDistill')
    theirs.train()
    theirs.load_state_dict(dict(ours.state_dict(), **{
        f'teacher.{name}': value for name, value in ours.teacher.state_dict().items()}))
    losses, expected = step(ours, batch), step(theirs, batch)
    for name in losses:
        torch.testing.assert_close(losses[name], expected[name])


def test_without_a_loss_of_the_student(build, batch):
    model = build(calculate_student_loss=False).train()
    assert set(step(model, batch)) == {'distill.loss_feature', 'distill.loss_logits'}
    model = build(calculate_student_loss=False, student_trainable=False).train()
    sum(step(model, batch).values()).backward()
    assert all(parameter.grad is None for parameter in model.student.parameters())
    assert not any(parameter.requires_grad for parameter in model.student.parameters())
    assert all(parameter.grad is not None for parameter in model.distiller.connectors.parameters())


def test_autocast(build, batch):
    model = build().train()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = step(model, batch)
    assert all(loss.isfinite() for loss in losses.values())
    assert losses['distill.loss_feature'].dtype == torch.float32
    sum(losses.values()).backward()


def test_an_empty_distiller_is_the_plain_student(build, batch):
    model = build(distiller=dict(type='mmrazor.ConfigurableDistiller')).train()
    calls = calls_of(model.teacher)
    assert set(step(model, batch)) == {'student.loss'} and not calls


def test_the_teacher_is_never_trained(build):
    with pytest.raises(ValueError, match='^model.teacher_trainable: FrozenTeacherDistill never '
                                         'trains its teacher; use mmrazor.SingleTeacherDistill'):
        build(teacher_trainable=True)


# ---------------------------------------------------------------------- who sees the teacher
def test_the_optimiser_sees_student_and_connectors_only(build):
    model = build()
    seen = {id(parameter) for group in build_optim_wrapper(model, SGD).param_groups
            for parameter in group['params']}
    assert seen == {id(parameter) for part in (model.student, model.distiller)
                    for parameter in part.parameters()}
    assert not seen & {id(parameter) for parameter in model.teacher.parameters()}


def test_no_walk_over_the_model_meets_the_teacher(build):
    model = build()
    assert not [name for name, _ in model.named_modules() if 'teacher' in name]
    assert not [name for name, _ in model.named_parameters() if 'teacher' in name]
    assert not [name for name in model.state_dict() if 'teacher' in name]


@pytest.mark.parametrize('dtype', [torch.float16, torch.float64])
def test_the_teacher_moves_with_the_model(build, configs, dtype):
    model = build(teacher=configs[0](OTHER, channels=8)).to(dtype)
    assert {parameter.dtype for parameter in model.teacher.parameters()} == {dtype}
    assert model.to_teacher.renormalise.scale.dtype == dtype
    assert model.float() is model
    assert {parameter.dtype for parameter in model.teacher.parameters()} == {torch.float32}
    model.to('meta')
    assert {parameter.device.type for parameter in model.teacher.parameters()} == {'meta'}


def test_train_returns_the_model_and_leaves_the_teacher_alone(build):
    model = build()
    assert model.train() is model and model.eval() is model and model.train(True) is model
    assert model.training and model.student.training
    assert not any(module.training for module in model.teacher.modules())
    model.eval()
    assert not model.student.training


# ---------------------------------------------------------------------- copies and averages
def test_a_copy_after_a_step_trains_by_itself(build, batch):
    model = build().train()
    losses = step(model, batch)
    sum(losses.values()).backward()
    model.zero_grad()
    for twin in (copy.deepcopy(model), copy.deepcopy(copy.deepcopy(model))):
        assert twin.teacher is model.teacher and twin.student is not model.student
        again = step(twin, batch)
        for name, loss in losses.items():
            torch.testing.assert_close(again[name], loss)
        sum(again.values()).backward()
        assert twin.student.head.fc.weight.grad is not None
        assert model.student.head.fc.weight.grad is None
    assert set(step(model, batch)) == set(losses)


def test_the_average_has_no_teacher(build, batch):
    model = build().train()
    average = ExponentialMovingAverage(model)
    step(model, batch)
    average.update_parameters(model)
    assert not [name for name in average.state_dict() if 'teacher' in name]
    assert average.module.teacher is model.teacher


# ---------------------------------------------------------------------- when it does not run
def test_the_teacher_does_not_run_at_validation(build, batch):
    model = build().eval()
    calls = calls_of(model.teacher)
    predictions = model.val_step(copy.deepcopy(batch))
    assert len(predictions) == 8 and not calls
    assert model.test_step(copy.deepcopy(batch)) and not calls
    assert model(torch.rand(1, 3, 16, 16)).shape == (1, 10) and not calls


def test_the_teacher_runs_no_further_than_it_is_listened_to(build, batch, configs):
    _, distiller = configs
    config = distiller()
    for kind in ('student_recorders', 'teacher_recorders', 'distill_losses'):
        config[kind] = {name: value for name, value in config[kind].items()
                        if 'logits' not in name}
    config['loss_forward_mappings'].pop('loss_logits')
    whole, part = build(), build(distiller=config)
    heads = [calls_of(model.teacher.head.fc) for model in (whole, part)]
    stages = [calls_of(model.teacher.backbone.layer3) for model in (whole, part)]
    losses = [step(model, batch) for model in (whole, part)]
    assert [len(calls) for calls in heads] == [1, 0]
    assert [len(calls) for calls in stages] == [1, 1]
    assert torch.equal(losses[0]['distill.loss_feature'], losses[1]['distill.loss_feature'])


@pytest.mark.parametrize('index, runs', [(None, 1), (0, 1), (2, 3)])
def test_a_module_that_runs_several_times_runs_until_it_is_read(build, batch, configs, index, runs):
    _, distiller = configs
    config = distiller('backbone.twice')
    for kind in ('student_recorders', 'teacher_recorders', 'distill_losses'):
        config[kind] = {name: value for name, value in config[kind].items()
                        if 'logits' not in name}
    config['loss_forward_mappings'].pop('loss_logits')
    config['student_recorders']['feature'] = dict(type='mmrazor.ModuleOutputs',
                                                  source='backbone.layer3')
    if index is not None:
        config['loss_forward_mappings']['loss_feature']['teacher']['record_idx'] = index
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        teacher = MODELS.build(configs[0](channels=8))
    teacher.backbone.twice = torch.nn.Identity()
    inner = teacher.backbone.layer3.forward

    def forward(x):
        for factor in (1, 2, 3, 4):
            out = teacher.backbone.twice(inner(x) * factor)
        return out

    teacher.backbone.layer3.forward = forward
    model = build(teacher=teacher, distiller=config)
    calls = calls_of(model.teacher.backbone.twice)
    step(model, batch)
    assert len(calls) == runs


def test_the_teacher_does_not_run_once_distillation_has_stopped(build, batch):
    model = build().train()
    calls = calls_of(model.teacher)
    hook = StopDistillHook(stop_epoch=1)

    class Run:
        epoch, logger = 0, type('Quiet', (), dict(info=lambda self, text: None))()

    run = Run()
    run.model = model
    hook.before_train_epoch(run)
    assert len(step(model, batch)) == 3 and len(calls) == 1
    run.epoch = 1
    hook.before_train_epoch(run)
    for _ in range(2):
        losses = step(model, batch)
        assert len(losses) == 3 and len(calls) == 1
        assert {name: float(loss) for name, loss in losses.items() if 'distill' in name} == {
            name: 0. for name in losses if 'distill' in name}
    # Nothing is kept of the steps.
    assert not any(guard._versions for guard in model._guards)
    assert not any(recorder.data_buffer for recorder in
                   model.distiller.student_recorders.recorders.values())


# ---------------------------------------------------------------------- overwritten records
def overwriting(model):
    """``out += identity`` behind the last BatchNorm of the student, as many ResNets do."""
    def forward(self, x):
        out = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu2(out)

    block = model.student.backbone.layer3[-1]
    block.forward = MethodType(forward, block)
    return model.train()


def recorded_at(configs, layer):
    return configs[1](student_recorders=dict(
        feature=dict(type='mmrazor.ModuleOutputs', source=layer),
        logits=dict(type='mmrazor.ModuleOutputs', source='head.fc')))


def test_an_overwritten_record_is_an_error_that_names_the_layer(build, batch, configs):
    model = overwriting(build(distiller=recorded_at(configs, 'backbone.layer3.0.bn2')))
    for _ in range(2):  # and nothing is left over from the first
        with pytest.raises(ConfigError, match='student_recorders.feature.source: the output of '
                                              "'backbone.layer3.0.bn2' is overwritten in place"):
            step(model, batch)
    assert not any(guard._versions for guard in model._guards)
    twin = copy.deepcopy(model)
    with pytest.raises(ConfigError, match='overwritten in place'):
        step(twin, batch)


def test_a_record_around_it_is_fine(build, batch, configs):
    assert len(step(overwriting(build(distiller=recorded_at(configs, 'backbone.layer3'))),
                    batch)) == 3


# ---------------------------------------------------------------------- under a Runner
class Images(torch.utils.data.Dataset):

    def __init__(self, batch):
        self.batch = batch

    def __len__(self):
        return len(self.batch['inputs'])

    def __getitem__(self, index):
        return {name: values[index] for name, values in self.batch.items()}


def test_checkpoints_and_averages_of_a_runner_have_no_teacher(build, batch, tmp_path):
    """Two epochs with EMA, distillation stopped after the first, then resumed."""
    use_everywhere()

    def run(resume):
        loader = dict(dataset=Images(batch), batch_size=4, num_workers=0,
                      sampler=dict(type='DefaultSampler', shuffle=False),
                      collate_fn=dict(type='pseudo_collate'))
        model = build()
        calls = calls_of(model.teacher)
        runner = Runner(
            model=model, work_dir=str(tmp_path), train_dataloader=loader,
            train_cfg=dict(by_epoch=True, max_epochs=3 if resume else 2), optim_wrapper=SGD,
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1)),
            custom_hooks=[EMAHook(), StopDistillHook(1)], resume=resume,
            load_from=str(tmp_path / 'epoch_2.pth') if resume else None, log_level='ERROR',
            default_scope='mmengine', experiment_name=f'frozen-teacher-{tmp_path.name}-{resume}')
        runner.train()
        return model, calls

    model, calls = run(False)
    assert len(calls) == 2  # both batches of the first epoch
    saved = load_weights(str(tmp_path / 'epoch_2.pth'))
    assert not [name for part in ('state_dict', 'ema_state_dict') for name in saved[part]
                if 'teacher' in name]
    assert any(name.startswith('distiller.connectors') for name in saved['state_dict'])
    assert len(run(True)[1]) == 0


def test_it_is_registered():
    assert MODELS.get('mmrazor.FrozenTeacherDistill').__name__ == 'FrozenTeacherDistill'
