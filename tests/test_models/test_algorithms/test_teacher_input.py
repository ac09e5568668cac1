import math

import pytest
import torch
from mmengine.model import ImgDataPreprocessor
from mmpretrain.models import ClsDataPreprocessor
from torch.nn import functional as F

from autokd_mm.errors import ConfigError
from autokd_mm.models.algorithms.teacher_input import TeacherInput


def test_same_images_need_nothing():
    student = ClsDataPreprocessor(mean=[1.0], std=[2.0])
    assert TeacherInput.between(student, ClsDataPreprocessor(mean=[1.0], std=[2.0])) is None
    assert TeacherInput.between(student, None) is None


def test_normalised_first_then_resized():
    raw = torch.rand(2, 1, 8, 8) * 255
    student = ClsDataPreprocessor(mean=[100.0], std=[50.0])
    teacher = ClsDataPreprocessor(mean=[10.0], std=[5.0])
    view = TeacherInput.between(student, teacher, dict(size=(4, 2)))
    found = view((raw - 100) / 50)
    wanted = F.interpolate((raw - 10) / 5, (4, 2), mode='bilinear', antialias=True)
    assert found.shape == (2, 1, 4, 2)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-4)


def test_its_own_size_is_left_alone():
    view = TeacherInput.between(None, None, dict(size=8))
    images = torch.rand(2, 3, 8, 8)
    assert view(images) is images
    assert view(torch.rand(2, 3, 4, 4)).shape == (2, 3, 8, 8)


@pytest.mark.parametrize('config, words', [
    (dict(sise=3), "sise.*size"), (32, 'dict'), (dict(size=0), 'size=0'),
    (dict(size=(3, )), 'height'), (dict(size=(3, 4.0)), 'height'), (dict(), 'size=None'),
    (dict(scale=0), 'scale=0: must be a number above 0'), (dict(scale=-2.0), 'scale=-2.0'),
    (dict(scale=float('inf')), 'scale=inf'), (dict(scale=float('nan')), 'scale=nan'),
    (dict(scale='2'), "scale='2'"), (dict(scale=True), 'scale=True'), (dict(scal=2), 'scal.*scale'),
    (dict(size=8, scale=2), 'has a size and a scale')])
def test_mistakes(config, words):
    with pytest.raises(ConfigError, match=f'model.teacher_input.*{words}'):
        TeacherInput.between(None, None, config)


@pytest.mark.parametrize('scale, sides', [(2, (96, 128)), (0.5, (32, 32)), (1.5, (64, 96)),
                                          (0.01, (32, 32))])
def test_scaled_behind_the_normalisation_and_padded(scale, sides):
    teacher = ImgDataPreprocessor(mean=[10.0], std=[5.0], pad_size_divisor=32, pad_value=7)
    view = TeacherInput.between(ImgDataPreprocessor(mean=[100.0], std=[50.0]), teacher,
                                dict(scale=scale))
    raw = torch.rand(2, 1, 40, 60) * 255
    found = view((raw - 100) / 50)
    height, width = (max(1, round(side * scale)) for side in (40, 60))
    wanted = F.interpolate((raw - 10) / 5, (height, width), mode='bilinear', antialias=True)
    assert found.shape == (2, 1, *sides)
    torch.testing.assert_close(found[:, :, :height, :width], wanted, rtol=1e-4, atol=1e-3)
    assert (found[:, :, height:] == 7).all() and (found[:, :, :, width:] == 7).all()


def test_a_scale_of_one_is_none():
    assert TeacherInput.between(None, None, dict(scale=1)) is None


@pytest.mark.parametrize('scale', [0.3, 0.5, 1.1, 1.5, 2, 3, 4])
@pytest.mark.parametrize('stride', [8, 32])
def test_maps_lie_on_the_students_pixels(scale, stride):
    """Of a ramp: each cell has the mean of its pixels (up to 7 % of a cell), but at the borders."""
    view = TeacherInput.between(None, None, dict(scale=scale))
    view.divisor = stride
    feature = F.avg_pool2d(view(torch.arange(960.).expand(1, 1, 130, 960)), stride)
    size = -(-130 // stride), -(-960 // stride)
    found = view.as_unscaled(feature, size)
    assert found.shape == (1, 1, *size)
    wanted = torch.arange(size[1]) * stride + (stride - 1) / 2
    border = math.ceil(1.5 / min(scale, 1)) + 1
    inner = slice(border, -border)
    torch.testing.assert_close(found[0, 0, 0, inner], wanted[inner], atol=0.07 * stride, rtol=0)


def test_what_is_no_map_or_not_scaled_stays():
    vectors, maps = torch.rand(3, 5), torch.rand(2, 3, 4, 4)
    view = TeacherInput.between(None, None, dict(scale=2))
    assert view.as_unscaled(vectors, (2, 2)) is vectors
    assert TeacherInput.between(None, None, dict(size=9)).as_unscaled(maps, (2, 2)) is maps


def images_of_two_sizes():
    return [(torch.rand(3, *size) * 255).to(torch.uint8) for size in ((24, 30), (32, 20))]


def test_the_padding_of_a_batch_is_that_of_the_teachers_own():
    """A preprocessor pads what it has normalised: that is no colour to be brought over."""
    pytest.importorskip('mmdet')
    from mmdet.models import DetDataPreprocessor
    from mmdet.structures import DetDataSample
    student = DetDataPreprocessor(mean=[123.0] * 3, std=[58.0] * 3, pad_value=7, pad_size_divisor=8)
    teacher = DetDataPreprocessor(mean=[10.0] * 3, std=[5.0] * 3, pad_value=3, pad_size_divisor=8)
    images = images_of_two_sizes()

    def prepared(preprocessor):
        samples = [DetDataSample(metainfo=dict(img_shape=tuple(image.shape[1:])))
                   for image in images]
        return preprocessor(dict(inputs=list(images), data_samples=samples))

    own = prepared(student)
    wanted = prepared(teacher)['inputs']
    assert (wanted == 3).any()
    found = TeacherInput.between(student, teacher)(own['inputs'], own['data_samples'])
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-3)


def test_the_padding_of_a_segmentors_batch_likewise():
    pytest.importorskip('mmseg')
    from mmengine.structures import PixelData
    from mmseg.models import SegDataPreProcessor
    from mmseg.structures import SegDataSample
    student = SegDataPreProcessor(mean=[123.0] * 3, std=[58.0] * 3, size=(32, 32), pad_val=0)
    teacher = SegDataPreProcessor(mean=[10.0] * 3, std=[5.0] * 3, size=(32, 32), pad_val=3)
    images = images_of_two_sizes()

    def prepared(preprocessor):
        samples = [SegDataSample(
            metainfo=dict(img_shape=tuple(image.shape[1:])),
            gt_sem_seg=PixelData(data=torch.zeros(1, *image.shape[1:], dtype=torch.long)))
            for image in images]
        return preprocessor(dict(inputs=list(images), data_samples=samples), training=True)

    own = prepared(student)
    found = TeacherInput.between(student, teacher)(own['inputs'], own['data_samples'])
    torch.testing.assert_close(found, prepared(teacher)['inputs'], rtol=1e-4, atol=1e-3)


def test_where_an_image_was_before_a_resize_is_no_padding():
    student, teacher = (ClsDataPreprocessor(mean=[mean], std=[2.0]) for mean in (1.0, 5.0))
    from mmpretrain.structures import DataSample
    samples = [DataSample(metainfo=dict(img_shape=(4, 4)))]
    view, images = TeacherInput.between(student, teacher), torch.rand(1, 1, 8, 8)
    assert torch.equal(view(images, samples), view(images))
