"""How the next distiller is chosen: Monte Carlo tree search as an Optuna sampler.

``tree`` keeps statistics, ``selection`` turns statistics into a choice, ``study_tree`` reads the
trials of a study into a tree, ``sampler`` is the glue to Optuna, ``factory`` builds samplers from
configs. Pure Python and Optuna: no torch, nothing of OpenMMLab.
"""
from autokd_mm.search.factory import build_sampler
from autokd_mm.search.sampler import MCTSSampler
from autokd_mm.search.study_tree import StudyTree
from autokd_mm.search.tree import Tree

__all__ = ['MCTSSampler', 'StudyTree', 'Tree', 'build_sampler']
