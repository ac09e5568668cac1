from autokd_mm.models.algorithms.bare_teacher import BareTeacher, predicts_as
from autokd_mm.models.algorithms.frozen_teacher_distill import FrozenTeacherDistill
from autokd_mm.models.algorithms.teacher import load_teacher
from autokd_mm.models.algorithms.teachers import Teachers
from autokd_mm.models.algorithms.with_preprocessor import with_preprocessor

__all__ = [
    'BareTeacher', 'FrozenTeacherDistill', 'Teachers', 'load_teacher', 'predicts_as',
    'with_preprocessor'
]
