"""The optimiser of a training, as its config asks for it: on a CPU too, and of a distillation."""
from autokd_mm.optim.building import refusing, unmatched
from autokd_mm.optim.cpu_amp import CpuAmpOptimWrapper
from autokd_mm.optim.of_student import StudentOptimWrapperConstructor
from autokd_mm.optim.config import usable

__all__ = ['CpuAmpOptimWrapper', 'StudentOptimWrapperConstructor', 'refusing', 'unmatched',
           'usable']
