"""The teacher on one image: strides, padding, and what of its maps is kept."""
import numpy as np
import pytest
import torch
from mmengine.model import BaseDataPreprocessor, ImgDataPreprocessor
from torch import nn

from autokd_mm.errors import ConfigError
from autokd_mm.models.algorithms.teacher_input import TeacherInput
from autokd_mm.models.distillers import LayerPair, Layers
from autokd_mm.teacher.dense import DenseTeacher


class Pooled(nn.Module):
    """A pyramid of sums over squares of pixels; the last level rounds its cells down."""

    def __init__(self, sides=(4, 8), flooring=()):
        super().__init__()
        self.sides, self.flooring = sides, flooring

    def forward(self, x):
        return tuple(nn.functional.avg_pool2d(x, side, ceil_mode=side not in self.flooring,
                                              divisor_override=1) for side in self.sides)


class Teacher(nn.Module):

    def __init__(self, data_preprocessor, **pyramid):
        super().__init__()
        self.data_preprocessor = data_preprocessor
        self.neck = Pooled(**pyramid)
        self.line = nn.Flatten()
        self.whole = nn.AdaptiveAvgPool2d(1)
        self.slanted = nn.AvgPool2d((4, 2))

    def forward(self, inputs, mode='tensor'):
        return self.neck(inputs), self.line(inputs), self.whole(inputs), self.slanted(inputs)


class Model(nn.Module):
    """What is asked of a FrozenTeacherDistill."""

    def __init__(self, divisor=1, own=True, **pyramid):
        super().__init__()
        self.data_preprocessor = ImgDataPreprocessor(pad_size_divisor=1 if own else divisor)
        teacher = (ImgDataPreprocessor(pad_size_divisor=divisor, pad_value=3) if own
                   else BaseDataPreprocessor())
        self.teacher = Teacher(teacher, **pyramid)
        self.to_teacher = None
        self.weight = nn.Parameter(torch.zeros(1))


def layers(*sources, logits=()):
    return Layers(*(tuple(LayerPair(f'{branch}_{at}', 'any', source, (3, 1, 1), (3, 1, 1))
                          for at, source in enumerate(found))
                    for branch, found in (('feature', sources), ('logits', logits))))


def image(height, width):
    return np.random.default_rng(0).integers(0, 256, (3, height, width)).astype(np.uint8)


@pytest.mark.parametrize('size', [(16, 24), (17, 30), (5, 3)])
def test_maps_are_cut_to_the_image(size):
    teacher = DenseTeacher(Model(divisor=16), layers('neck[0]', logits=['neck[1]']), image(9, 9))
    assert teacher.strides == dict(feature_0=4, logits_0=8)
    assert teacher.channels == dict(feature_0=3, logits_0=3)
    pixels = image(*size)
    for name, values in teacher(pixels).items():
        stride = teacher.strides[name]
        assert values.shape == (3, -(-size[0] // stride), -(-size[1] // stride))
        padded = np.full((3, 48, 48), 3.)  # the pad_value of the teacher
        padded[:, :size[0], :size[1]] = pixels
        # nothing lies behind the padded sides, which are multiples of 16
        padded[:, -(-size[0] // 16) * 16:] = padded[:, :, -(-size[1] // 16) * 16:] = 0
        sums = padded.reshape(3, 48 // stride, stride, 48 // stride, stride).sum((2, 4))
        assert np.array_equal(values, sums[:, :values.shape[1], :values.shape[2]])


class BaseDetector(Teacher):
    """Known by its name, as MMDetection's; one like DETR asks how large the batch is."""

    def forward(self, inputs, data_samples=None, mode='tensor'):
        assert data_samples is not None
        sample, = data_samples
        self.seen = sample.img_shape, sample.batch_input_shape
        return super().forward(inputs)


def test_a_detector_is_told_how_large_its_image_is():
    model = Model(divisor=16)
    model.teacher = BaseDetector(model.teacher.data_preprocessor)
    teacher = DenseTeacher(model, layers('neck[0]'), image(9, 9))
    assert teacher(image(17, 30))['feature_0'].shape == (3, 5, 8)
    assert model.teacher.seen == ((17, 30), (32, 32))


def test_teacher_that_says_nothing_of_images_is_padded_as_the_student():
    teacher = DenseTeacher(Model(divisor=16, own=False), layers('neck[1]'), image(9, 9))
    values = teacher(image(9, 30))['feature_0']
    assert values.shape == (3, 2, 4)
    assert np.allclose(values[:, 1, 0], image(9, 30)[:, 8, :8].sum(1))


def test_coarse_level_of_a_small_image():
    """One cell of 128 pixels, though the image is smaller."""
    teacher = DenseTeacher(Model(sides=(8, 128)), layers('neck[1]'), image(40, 50))
    assert teacher.strides == dict(feature_0=128) and teacher(image(40, 50))['feature_0'].shape == (
        3, 1, 1)


def test_cells_that_are_rounded_down():
    model = Model(divisor=1, sides=(8, 16), flooring=(16, ))
    teacher = DenseTeacher(model, layers('neck[1]'), image(64, 64))
    assert teacher(image(32, 48))['feature_0'].shape == (3, 2, 3)
    with pytest.raises(ConfigError, match=r"layers.teacher: 'neck\[1\]' has stride 16 and gives "
                                          r'2 x 3 cells for 40 x 50 pixels; .*'
                                          r'pad_size_divisor be 16'):
        teacher(image(40, 50))
    model.teacher.data_preprocessor.pad_size_divisor = 16
    assert DenseTeacher(model, layers('neck[1]'), image(64, 64))(
        image(40, 50))['feature_0'].shape == (3, 3, 4)


@pytest.mark.parametrize('source, words', [
    ('line', "layers.teacher: 'line' gives a tensor of 1 x 98304 for an image of 128 x 256 pixels"),
    ('whole', "layers.teacher: 'whole' gives a tensor of 1 x 3 x 1 x 1 for an image"),
    ('slanted', r"layers.teacher: 'slanted' .* is no map with one stride in both directions")])
def test_outputs_that_are_no_maps(source, words):
    with pytest.raises(ConfigError, match=words):
        DenseTeacher(Model(), layers(source), image(100, 200))
    with pytest.raises(ConfigError, match='layers.teacher_logits: '):
        DenseTeacher(Model(), layers('neck[0]', logits=[source]), image(100, 200))


def test_teacher_with_a_resolution_of_its_own_is_refused():
    model = Model()
    model.to_teacher = TeacherInput.between(None, None, dict(size=64))
    with pytest.raises(ConfigError, match='model.teacher_input.size: .*leave it out or give a '
                                          'scale'):
        DenseTeacher(model, layers('neck[0]'), image(9, 9))


@pytest.mark.parametrize('scale', [2, 0.5, 1.5])
def test_teacher_at_another_scale(scale):
    """As many cells as without, in each the mean of what the teacher says there."""
    model = Model(divisor=16)
    model.to_teacher = TeacherInput.between(None, model.teacher.data_preprocessor,
                                            dict(scale=scale))
    teacher = DenseTeacher(model, layers('neck[0]', logits=['neck[1]']), image(9, 9))
    assert teacher.strides == dict(feature_0=4, logits_0=8)  # of the student's pixels
    seen = []
    model.teacher.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    pixels = image(37, 50)
    found = teacher(pixels)
    assert tuple(seen[0].shape[2:]) == tuple(-(-round(side * scale) // 16) * 16
                                             for side in (48, 64))
    for name, values in found.items():
        stride = teacher.strides[name]
        assert values.shape == (3, -(-37 // stride), -(-50 // stride))
        # sums over squares of the teacher's pixels, by its number of cells
        maps = nn.functional.avg_pool2d(seen[0], stride, divisor_override=1)
        wanted = model.to_teacher.as_unscaled(maps, values.shape[1:])[0]
        assert np.allclose(values, wanted.numpy(), atol=1e-2)
    if scale == 2:  # every pixel four times, sums of 4 x 4 of them
        mean = found['feature_0'][:, 2:7, 2:10].mean()
        assert mean == pytest.approx(16 * pixels[:, 8:28, 8:40].mean(), rel=0.02)


def test_several_teachers_are_padded_for_each_of_them(monkeypatch):
    """To a multiple of 8 and of 12."""
    model = Model(sides=(24, ))
    first, second = Teacher(ImgDataPreprocessor(pad_size_divisor=8)), Teacher(
        ImgDataPreprocessor(pad_size_divisor=12))
    monkeypatch.setattr('autokd_mm.teacher.dense.each_teacher',
                        lambda model: [(first, None), (second, None)])
    seen = []
    model.teacher.register_forward_pre_hook(lambda module, args: seen.append(args[0].shape[2:]))
    # 128 is no multiple of 24, their common multiple is
    teacher = DenseTeacher(model, layers('neck[0]'), image(9, 9))
    assert teacher.strides == dict(feature_0=24) and tuple(seen[0]) == (384, 384)
    assert teacher(image(25, 9))['feature_0'].shape == (3, 2, 1) and tuple(seen[1]) == (48, 24)


@pytest.mark.parametrize('error', [AssertionError, RuntimeError])
def test_a_network_that_takes_no_such_image(error):
    model = Model(divisor=1, sides=(8, ))

    def refuse(module, args):
        if args[0].shape[-1] % 16:
            raise error('sides of 16')

    model.teacher.register_forward_pre_hook(refuse)
    teacher = DenseTeacher(model, layers('neck[0]'), image(64, 64))
    with pytest.raises(ConfigError, match='^model.teacher: it takes no image of 40 x 50 pixels '
                                          r'\(sides of 16.*pad_size_divisor'):
        teacher(image(40, 50))
    model.teacher.data_preprocessor.pad_size_divisor = 16
    assert DenseTeacher(model, layers('neck[0]'), image(64, 64))(
        image(40, 50))['feature_0'].shape == (3, 5, 7)
