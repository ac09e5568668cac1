"""Images and initial weights of the frozen teacher."""
import copy

import pytest
import torch


def teacher_of_another_kind(**changes):
    return dict(
        type='ImageClassifier',
        data_preprocessor=dict(dict(type='ClsDataPreprocessor', mean=[100., 110., 120.],
                                    std=[60., 61., 62.], to_rgb=False), **changes),
        backbone=dict(type='mmrazor.CifarResNet', depth=8, base_channels=8),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=10, in_channels=32,
                  loss=dict(type='CrossEntropyLoss')))


def seen_by_the_teacher(model, batch):
    seen = []
    model.teacher.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model.train()(**model.data_preprocessor(copy.deepcopy(batch), True), mode='loss')
    return seen[0]


@pytest.mark.parametrize('changes', [
    dict(), dict(to_rgb=True), dict(mean=None, std=None), dict(mean=None, std=None, to_rgb=True)])
def test_the_teacher_sees_its_own_normalisation(build, batch, changes):
    model = build(teacher=teacher_of_another_kind(**changes))
    expected = model.teacher.data_preprocessor(copy.deepcopy(batch))['inputs']
    torch.testing.assert_close(seen_by_the_teacher(model, batch), expected.float())


def test_a_teacher_with_the_same_preprocessing_sees_the_same_tensor(build, batch):
    model = build()
    assert model.to_teacher is None
    expected = model.data_preprocessor(copy.deepcopy(batch))['inputs']
    assert torch.equal(seen_by_the_teacher(model, batch), expected)


def test_a_teacher_that_says_nothing_of_images_sees_the_students(build, batch):
    """As in configs with one ``data_preprocessor`` for all."""
    model = build(teacher=dict(teacher_of_another_kind(), data_preprocessor=None))
    assert model.to_teacher is None
    expected = model.data_preprocessor(copy.deepcopy(batch))['inputs']
    assert torch.equal(seen_by_the_teacher(model, batch), expected)


def test_the_preprocessor_of_the_model_wins_over_the_students(build, batch):
    """MMEngine hands a config's top-level ``data_preprocessor`` to the algorithm."""
    own = dict(type='ClsDataPreprocessor', mean=[1., 2., 3.], std=[4., 5., 6.], to_rgb=False)
    model = build(data_preprocessor=own, teacher=teacher_of_another_kind())
    expected = model.teacher.data_preprocessor(copy.deepcopy(batch))['inputs']
    torch.testing.assert_close(seen_by_the_teacher(model, batch), expected.float())


# ---------------------------------------------------------------------- initial weights
def test_a_built_teacher_keeps_its_weights(build):
    teacher = build().teacher.eval()
    weight = teacher.head.fc.weight.detach().clone()
    model = build(teacher=teacher)
    model.init_weights()
    assert model.teacher is teacher and torch.equal(teacher.head.fc.weight, weight)


def test_a_configured_teacher_is_initialised_by_its_init_cfg(build):
    config = teacher_of_another_kind()
    config['backbone']['init_cfg'] = [dict(type='Constant', layer='Conv2d', val=0.125)]
    model = build(teacher=config)
    model.init_weights()
    assert bool((model.teacher.backbone.conv1.weight == 0.125).all())
    assert not any(parameter.requires_grad for parameter in model.teacher.parameters())


def test_a_loaded_teacher_keeps_its_weights(build, tmp_path):
    path = str(tmp_path / 'teacher.pth')
    weights = {name: torch.full_like(value, 0.25)
               for name, value in build().teacher.state_dict().items()}
    torch.save(dict(state_dict=weights), path)
    model = build(teacher_ckpt=path)
    model.init_weights()
    assert bool((model.teacher.head.fc.weight == 0.25).all())
