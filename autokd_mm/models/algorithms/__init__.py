from autokd_mm.models.algorithms.frozen_teacher_distill import FrozenTeacherDistill
from autokd_mm.models.algorithms.teacher import load_teacher

__all__ = ['FrozenTeacherDistill', 'load_teacher']
