"""The layers that are compared, and their shapes."""
import pytest
import torch

from autokd_mm.engine.layers import find_layers, forward, inputs_for
from autokd_mm.space.errors import ConfigError

PIXELS = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)


def test_layers_and_shapes(parts):
    assert parts.layers.student_shape == (16, 2, 2) and parts.layers.teacher_shape == (32, 2, 2)
    assert parts.classes == 10 and not parts.layers.same_shape
    layers, classes = find_layers(parts.model, parts.student,
                                  dict(student='neck', teacher='backbone.layer3'), PIXELS)
    assert layers.student_shape == (16, 1, 1) and classes == 0 and layers.student_logits is None


@pytest.mark.parametrize('change, words', [
    (dict(student='backbone.layer4'), "layers.student: ImageClassifier has no layer "
     "'backbone.layer4'; the nearest are backbone.layer"),
    (dict(teacher_logits='head.fd'), 'layers.teacher_logits: .*head.fc'),
    (dict(studnet='neck'), "layers: 'studnet' is unknown, did you mean 'student'"),
    (dict(student=None), 'layers.student is missing'),
    (dict(teacher_logits=None), 'layers.teacher_logits is missing'),
])
def test_bad_layers(parts, change, words):
    with pytest.raises(ConfigError, match=words):
        find_layers(parts.model, parts.student, {**parts.config.train_cfg.layers, **change},
                    PIXELS)


def test_missing_layer_key(parts):
    with pytest.raises(ConfigError, match='layers.teacher is missing'):
        find_layers(parts.model, parts.student, dict(student='neck'), PIXELS)


def test_different_classes(parts):
    with pytest.raises(ConfigError, match='teacher has 32 classes and the student 10'):
        find_layers(parts.model, parts.student,
                    {**parts.config.train_cfg.layers, 'teacher_logits': 'neck'}, PIXELS)


def test_each_network_gets_its_images_as_in_training(parts):
    """A teacher with statistics of its own, and one whose config says nothing of images."""
    import copy

    from autokd_mm.registry import MODELS
    pixels = torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8)
    config = copy.deepcopy(parts.config.model)
    config.teacher.data_preprocessor.update(mean=[10.0], std=[20.0])
    model = MODELS.build(config)
    expected = (pixels.float() - 10) / 20
    assert torch.allclose(inputs_for(model, pixels, teacher=True), expected, atol=1e-5)
    expected = (pixels.float() - 78.35) / 95.95
    assert torch.allclose(inputs_for(model, pixels, teacher=False), expected, atol=1e-5)
    config.teacher.pop('data_preprocessor')
    model = MODELS.build(config)
    assert torch.allclose(inputs_for(model, pixels, teacher=True), expected, atol=1e-5)


def test_forward_leaves_the_teacher_alone(parts):
    before = {name: value.clone() for name, value in parts.teacher.state_dict().items()}
    pixels = torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8)
    out = forward(parts.teacher.train(), dict(feature='backbone.layer3'),
                  inputs_for(parts.model, pixels, teacher=True))
    assert out['feature'].shape == (4, 32, 2, 2) and not out['feature'].requires_grad
    assert all(torch.equal(value, before[name])
               for name, value in parts.teacher.state_dict().items())
