"""HOW MMEngine runs it: the search loop, the proxy, the feature bank, the study on disk."""
from autokd_mm.bank import FeatureBank
from autokd_mm.engine.hooks import SparseTrainingHook
from autokd_mm.engine.hooks.view_report_hook import ViewReportHook
from autokd_mm.engine.runner import SearchLoop

__all__ = ['FeatureBank', 'SearchLoop', 'SparseTrainingHook', 'ViewReportHook']
