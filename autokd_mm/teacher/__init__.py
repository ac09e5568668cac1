"""The teacher: its checkpoint, what it says, the banks that it fills."""
from autokd_mm.teacher.bank_config import train_from
from autokd_mm.teacher.checkpoint import (ensure_teacher, find_checkpoint, made_from, save_weights,
                                          train_teacher)
from autokd_mm.teacher.dense import DenseTeacher
from autokd_mm.teacher.full_bank import TeacherBank
from autokd_mm.teacher.proxy_banks import open_banks

__all__ = ['DenseTeacher', 'TeacherBank', 'ensure_teacher', 'find_checkpoint', 'made_from',
           'open_banks', 'save_weights', 'train_from', 'train_teacher']
