"""A teacher of colours sees the grey images of a student, and the reverse."""
import pytest
import torch
from mmpretrain.models.utils import ClsDataPreprocessor
from torch import nn

from autokd_mm.models.algorithms.colours import OtherColours, channels_of
from autokd_mm.models.algorithms.teacher_input import TeacherInput

GREY = dict(mean=[100.], std=[50.])
COLOURS = dict(mean=[120., 110., 90.], std=[60., 50., 40.])


def network(channels):
    made = nn.Module()
    made.backbone = nn.Sequential(nn.BatchNorm2d(channels), nn.Conv2d(channels, 8, 3),
                                  nn.Conv2d(8, 5, 1))
    return made


def pixels(channels):
    return torch.randint(0, 256, (2, channels, 4, 6), dtype=torch.uint8)


def processed(images, **preprocessor):
    return ClsDataPreprocessor(**preprocessor)(dict(inputs=images))['inputs']


@pytest.mark.parametrize('to_rgb', [False, True])
def test_grey_images_in_three_colours(to_rgb):
    images = pixels(1)
    view = TeacherInput.between(ClsDataPreprocessor(**GREY),
                                ClsDataPreprocessor(to_rgb=to_rgb, **COLOURS), None,
                                (network(1), network(3)))
    made = view(processed(images, **GREY))
    torch.testing.assert_close(made, processed(images.repeat(1, 3, 1, 1), **COLOURS),
                               atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('to_rgb', [False, True])
def test_colours_as_luma(to_rgb):
    import cv2
    images = pixels(3)  # as files are read: blue, green, red
    view = TeacherInput.between(ClsDataPreprocessor(to_rgb=to_rgb, **COLOURS),
                                ClsDataPreprocessor(**GREY), None, (network(3), network(1)))
    made = view(processed(images, to_rgb=to_rgb, **COLOURS)) * 50 + 100
    for image, found in zip(images, made):
        grey = cv2.cvtColor(image.permute(1, 2, 0).numpy(), cv2.COLOR_BGR2GRAY)
        assert found.shape == (1, 4, 6)
        assert (found[0] - torch.from_numpy(grey).float()).abs().max() < 0.51  # it rounds


def test_a_teacher_without_a_preprocessor_gets_the_images_of_the_student():
    view = TeacherInput.between(ClsDataPreprocessor(**GREY), None, None, (network(1), network(3)))
    inputs = torch.randn(2, 1, 4, 6)
    assert torch.equal(view(inputs), inputs.repeat(1, 3, 1, 1))


def test_channels_of_a_stem_that_folds_pixels():
    from mmdet.models.backbones import CSPDarknet
    assert channels_of(CSPDarknet()) == 3


def test_networks_with_the_same_channels():
    for channels in (1, 3):
        assert OtherColours.between(None, None, channels, channels) is None
    assert OtherColours.between(None, None, 3, 4) is None and channels_of(nn.Linear(2, 3)) is None
    assert TeacherInput.between(None, None, None, (network(3), network(3))) is None
