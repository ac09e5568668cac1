"""The teacher speaks once: its outputs as memory-mapped arrays on disk.

Below ``engine`` and ``models``: both write or read banks, neither knows the other.
"""
from autokd_mm.bank.arrays import RaggedArray, ShardedArray
from autokd_mm.bank.damage import damaged
from autokd_mm.bank.feature_bank import FeatureBank
from autokd_mm.bank.manifest import TornBank, read_manifest
from autokd_mm.bank.plan import Plan
from autokd_mm.bank.records import TeacherRecords
from autokd_mm.bank.writing import mend, write

__all__ = ['FeatureBank', 'Plan', 'RaggedArray', 'ShardedArray', 'TeacherRecords', 'TornBank',
           'damaged', 'mend', 'read_manifest', 'write']
