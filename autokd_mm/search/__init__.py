"""How the next distiller is chosen: Monte Carlo tree search as an Optuna sampler.

``tree`` keeps the statistics of paths in ``node``s, seen on one ``scale``, and ``option_model``
those of options, shared by all paths; ``selection`` (UCT) and ``planning`` (drawn effects, with
the ``prospects`` behind an option, as ``grammar`` guesses what will be asked) turn statistics into
a choice; ``reward`` says what a distiller is worth; ``study_tree`` reads the trials of a study into
a tree; ``sampler`` is the glue to Optuna; ``factory`` builds samplers from configs; ``tabular``
replays a table of outcomes. Python, NumPy and Optuna: no torch, nothing of OpenMMLab.
"""
from autokd_mm.search.factory import build_sampler, sampler_types
from autokd_mm.search.reward import Outcome, Reward
from autokd_mm.search.sampler import MCTSSampler
from autokd_mm.search.study_tree import StudyTree
from autokd_mm.search.tree import Tree

__all__ = ['MCTSSampler', 'Outcome', 'Reward', 'StudyTree', 'Tree', 'build_sampler',
           'sampler_types']
