"""Hooks of MMEngine's runner."""
from autokd_mm.engine.hooks.distill_schedule_hook import DistillScheduleHook
from autokd_mm.engine.hooks.sparse_training_hook import SparseTrainingHook
from autokd_mm.engine.hooks.training_start_hook import TrainingStartHook
from autokd_mm.engine.hooks.view_report_hook import ViewReportHook

__all__ = ['DistillScheduleHook', 'SparseTrainingHook', 'TrainingStartHook', 'ViewReportHook']
