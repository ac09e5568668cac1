from autokd_mm.engine.runner.distill_val_loop import SingleTeacherDistillValLoop
from autokd_mm.engine.runner.search_loop import SearchLoop

__all__ = ['SearchLoop', 'SingleTeacherDistillValLoop']
