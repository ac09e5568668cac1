import pytest
import torch
from mmdet.models import DetDataPreprocessor
from mmengine.model import ImgDataPreprocessor
from mmpretrain.models import ClsDataPreprocessor
from mmseg.models import SegDataPreProcessor

from autokd_mm.models.algorithms.renormalise import Renormalise

IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
OTHER = dict(mean=[100., 110., 120.], std=[1., 2., 4.])
KINDS = dict(
    cls=lambda rgb, **kw: ClsDataPreprocessor(to_rgb=rgb, **kw),
    det=lambda rgb, **kw: DetDataPreprocessor(bgr_to_rgb=rgb, **kw),
    seg=lambda rgb, **kw: SegDataPreProcessor(bgr_to_rgb=rgb, size=(6, 5), **kw),
    img=lambda rgb, **kw: ImgDataPreprocessor(bgr_to_rgb=rgb, **kw))


def images():
    generator = torch.Generator().manual_seed(0)
    return list(torch.randint(0, 256, (4, 3, 6, 5), generator=generator, dtype=torch.uint8))


def processed(preprocessor):
    if isinstance(preprocessor, SegDataPreProcessor):
        from mmseg.structures import SegDataSample
        data = dict(inputs=images(), data_samples=[SegDataSample() for _ in range(4)])
        return preprocessor(data, True)['inputs']
    if isinstance(preprocessor, DetDataPreprocessor):
        from mmdet.structures import DetDataSample
        samples = [DetDataSample(metainfo=dict(img_shape=(6, 5))) for _ in range(4)]
        return preprocessor(dict(inputs=images(), data_samples=samples))['inputs']
    return preprocessor(dict(inputs=images(), data_samples=None))['inputs'].float()


@pytest.mark.parametrize('student', KINDS)
@pytest.mark.parametrize('teacher', KINDS)
@pytest.mark.parametrize('rgb', [(True, False), (False, True), (True, True)])
def test_it_is_what_the_teachers_preprocessor_makes_of_raw_pixels(student, teacher, rgb):
    student, teacher = KINDS[student](rgb[0], **IMAGENET), KINDS[teacher](rgb[1], **OTHER)
    made = Renormalise.between(student, teacher)(processed(student))
    torch.testing.assert_close(made, processed(teacher), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize('first, second', [(IMAGENET, {}), ({}, IMAGENET)])
def test_a_side_without_statistics_has_raw_pixels(first, second):
    student, teacher = ClsDataPreprocessor(to_rgb=True, **first), ClsDataPreprocessor(**second)
    made = Renormalise.between(student, teacher)(processed(student))
    torch.testing.assert_close(made, processed(teacher), rtol=1e-5, atol=1e-3)


def test_one_channel():
    student, teacher = (ClsDataPreprocessor(mean=[m], std=[s]) for m, s in ((78., 95.), (0., 255.)))
    pixels = torch.arange(256.).view(1, 1, 16, 16)
    torch.testing.assert_close(Renormalise.between(student, teacher)((pixels - 78) / 95),
                               pixels / 255)


def test_nothing_to_do():
    for kind in KINDS.values():
        assert Renormalise.between(kind(True, **IMAGENET), kind(True, **IMAGENET)) is None
    assert Renormalise.between(None, KINDS['cls'](True, **OTHER)) is None
    assert Renormalise.between(KINDS['cls'](True, **OTHER), None) is None


def test_a_swap_alone_is_something_to_do():
    module = Renormalise.between(*(KINDS['cls'](rgb, mean=[1.] * 3, std=[2.] * 3)
                                   for rgb in (True, False)))
    x = torch.randn(2, 3, 2, 2)
    torch.testing.assert_close(module(x), x.flip(1))


def test_it_is_no_part_of_a_checkpoint():
    module = Renormalise.between(*(ClsDataPreprocessor(**args) for args in (IMAGENET, OTHER)))
    assert not module.state_dict() and len(list(module.buffers())) == 2


@pytest.mark.parametrize('flips, teacher_flips', [(False, True), (False, False), (True, True)])
def test_images_that_come_as_rgb(flips, teacher_flips):
    """CIFAR's: a student that takes them as they come sees red first, as a teacher of files does
    that flips them."""
    student = ClsDataPreprocessor(to_rgb=flips, **IMAGENET)
    teacher = ClsDataPreprocessor(to_rgb=teacher_flips, **OTHER)
    red = torch.zeros(1, 3, 2, 2)
    red[:, 0] = 255
    given = student(dict(inputs=list(red.to(torch.uint8))))['inputs'].float()
    made = Renormalise.between(student, teacher, rgb=True)(given)
    pixels = made * teacher.std + teacher.mean
    torch.testing.assert_close(pixels, red, rtol=1e-4, atol=1e-3)
