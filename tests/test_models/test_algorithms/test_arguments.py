"""What an algorithm is given."""
import pytest

from autokd_mm.errors import ConfigError
from autokd_mm.models.algorithms import FrozenTeacherDistill
from autokd_mm.models.algorithms.arguments import check_arguments

GIVEN = dict(architecture={}, teacher={}, distiller={}, student_trainable=True)


def test_what_its_classes_take():
    check_arguments(FrozenTeacherDistill, dict(GIVEN, data_preprocessor=None, teacher_ckpt=None))


@pytest.mark.parametrize('more, says', [
    (dict(teacher=None), 'model.teacher is missing: a distillation needs it'),
    (dict(architecture=None), 'model.architecture is missing'),
    (dict(distiller=None), 'model.distiller is missing'),
    (dict(techer={}), "model: 'techer' is unknown, did you mean 'teacher'")])
def test_mistakes(more, says):
    with pytest.raises(ConfigError) as refused:
        check_arguments(FrozenTeacherDistill, dict(GIVEN, **more))
    assert str(refused.value).startswith(says)
