"""Hooks of MMEngine's runner."""
from autokd_mm.engine.hooks.sparse_training_hook import SparseTrainingHook

__all__ = ['SparseTrainingHook']
