"""HOW MMEngine runs a search: the loop, its phases, a trial, the final round, hooks."""
from autokd_mm.engine.config import load_config
from autokd_mm.engine.ending import Ending
from autokd_mm.engine.final_round import FinalRound
from autokd_mm.engine.final_settings import FinalSettings
from autokd_mm.engine.hooks import SparseTrainingHook, ViewReportHook
from autokd_mm.engine.one_trial import TrialRunner
from autokd_mm.engine.phases import Phases
from autokd_mm.engine.preparation import Prepared, prepare, prepare_trainer
from autokd_mm.engine.pruning import build_pruner
from autokd_mm.engine.runner import SearchLoop, SingleTeacherDistillValLoop
from autokd_mm.engine.settings import SearchSettings

__all__ = ['Ending', 'FinalRound', 'FinalSettings', 'Phases', 'Prepared', 'SearchLoop',
           'SearchSettings', 'SingleTeacherDistillValLoop', 'SparseTrainingHook', 'TrialRunner',
           'ViewReportHook', 'build_pruner', 'load_config', 'prepare', 'prepare_trainer']
