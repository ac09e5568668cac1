"""What a search is about: both networks looked at once, before anything is written."""
from autokd_mm.task.description import describe
from autokd_mm.task.factors import weigh
from autokd_mm.task.spaces import space_over
from autokd_mm.task.task import Task
from autokd_mm.task.teacher_entropy import entropy

__all__ = ['Task', 'describe', 'entropy', 'space_over', 'weigh']
