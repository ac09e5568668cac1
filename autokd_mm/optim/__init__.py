"""The optimiser of a training, as its config asks for it: on a CPU too, and of a distillation."""
from autokd_mm.optim.building import refusing, unmatched
from autokd_mm.optim.cpu_amp import CpuAmpOptimWrapper
from autokd_mm.optim.of_student import StudentOptimWrapperConstructor
from autokd_mm.optim.config import usable
from autokd_mm.optim.start_rates import (rates_fault, start_rate_in, with_start_rate,
                                         without_start_rate)

__all__ = ['CpuAmpOptimWrapper', 'StudentOptimWrapperConstructor', 'rates_fault', 'refusing',
           'start_rate_in', 'unmatched', 'usable', 'with_start_rate', 'without_start_rate']
