import pytest
import torch
from mmpretrain.models import ClsDataPreprocessor
from torch.nn import functional as F

from autokd_mm.models.algorithms.teacher_input import TeacherInput
from autokd_mm.space.errors import ConfigError


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
    (dict(size=(3, )), 'height'), (dict(size=(3, 4.0)), 'height'), (dict(), 'size=None')])
def test_mistakes(config, words):
    with pytest.raises(ConfigError, match=f'model.teacher_input.*{words}'):
        TeacherInput.between(None, None, config)
