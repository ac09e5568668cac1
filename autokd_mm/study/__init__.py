"""The Optuna study on disk or in a database, and what several workers need to share it."""
from autokd_mm.study.heartbeat import Heartbeat
from autokd_mm.study.journal import JournalLock
from autokd_mm.study.lock import exclusive
from autokd_mm.study.patience import PatientStorage, StorageAway, patiently
from autokd_mm.study.storage import check_storage, open_storage
from autokd_mm.study.study import check_study, open_study
from autokd_mm.study.time_limit import TimeLimit
from autokd_mm.study.work_dir import WorkDir

__all__ = ['Heartbeat', 'JournalLock', 'PatientStorage', 'StorageAway', 'TimeLimit', 'WorkDir',
           'check_storage', 'check_study', 'exclusive', 'open_storage', 'open_study', 'patiently']
