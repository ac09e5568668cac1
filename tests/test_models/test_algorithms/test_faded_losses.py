"""The algorithm under weights that change."""
import copy

import torch

from autokd_mm.models.distillers import fade

OFF = dict(loss_feature='off_third', loss_logits='off_two_thirds')


def step(model, batch):
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    losses = model(**data, mode='loss')
    model.zero_grad()
    sum(losses.values()).backward()
    return losses


def gradients(model):
    return {name: value.grad.clone() for name, value in model.architecture.named_parameters()}


def calls_of(module):
    calls = []
    module.register_forward_pre_hook(lambda *_: calls.append(1))
    return calls


def trained(model):
    return [value for value in model.parameters() if value.requires_grad]


def test_the_students_gradient_has_the_factor(build, batch):
    alone = build(distiller=dict(type='mmrazor.ConfigurableDistiller')).train()
    whole, half = build().train(), build().train()
    fade(half.distiller, dict(loss_feature='linear', loss_logits='linear'), 0.5)
    losses, expected = step(half, batch), step(whole, batch)
    step(alone, batch)
    assert torch.equal(losses['student.loss'], expected['student.loss'])
    for name in ('distill.loss_feature', 'distill.loss_logits'):
        assert torch.equal(losses[name], expected[name] / 2)
    own, all_of, found = (gradients(model) for model in (alone, whole, half))
    for name, grad in found.items():
        torch.testing.assert_close(grad, (own[name] + all_of[name]) / 2, rtol=1e-4, atol=1e-6)


def test_every_parameter_has_a_gradient_behind_the_stop(build, batch):
    """Of MMRazor's StopDistillHook, which says so to the algorithm."""
    model = build().train()
    calls = calls_of(model.teacher)
    model.distillation_stopped = True
    losses = step(model, batch)
    assert not calls and float(losses['distill.loss_feature'].detach()) == 0
    connectors = list(model.distiller.connectors.parameters())
    assert connectors and all(not value.grad.any() for value in connectors)


def test_every_parameter_has_a_gradient_whatever_is_off(build, batch):
    """A distributed training waits for them; the teacher runs only as long as it is heard."""
    model = build().train()
    calls = calls_of(model.teacher)
    for share, runs in ((0, 1), (0.4, 2), (0.7, 2), (0.9, 2)):
        fade(model.distiller, OFF, share)
        losses = step(model, batch)
        assert set(losses) == {'student.loss', 'distill.loss_feature', 'distill.loss_logits'}
        assert all(value.grad is not None for value in trained(model)) and len(calls) == runs
    assert not any(recorder.data_buffer for recorder in
                   model.distiller.student_recorders.recorders.values())
    alone = build(distiller=dict(type='mmrazor.ConfigurableDistiller')).train()
    model = build().train()
    fade(model.distiller, OFF, 0.9)
    step(model, batch), step(alone, batch)
    assert all(torch.equal(grad, gradients(alone)[name]) for name, grad in gradients(model).items())


def test_mixed_precision_and_copies(build, batch):
    model = build().train()
    fade(model.distiller, OFF, 0.5)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = step(model, batch)
    assert losses['distill.loss_feature'] == 0
    assert all(loss.isfinite() for loss in losses.values())
    assert all(value.grad is not None for value in trained(model))
    names = set(model.state_dict())
    assert names == set(build().state_dict())
    twin = copy.deepcopy(model)
    assert step(twin, batch)['distill.loss_feature'] == 0
