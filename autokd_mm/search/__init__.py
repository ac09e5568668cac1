"""How the next distiller is chosen: Monte Carlo tree search as an Optuna sampler.

``tree`` keeps the statistics of paths in ``node``s, seen on one ``scale``, and ``option_model``
those of options, shared by all paths (``vocabulary``: their names, ``posterior``: what follows from
them, ``wide``: of very many), with a ``prior`` from earlier searches that the study keeps
(``remembered``); ``selection`` (UCT) and ``planning`` (drawn effects, with the ``prospects`` behind
an option, as ``grammar`` guesses what will be asked) turn statistics into a choice; ``numeric``
makes numbers ways down the tree, ``order`` sorts questions that come in any order, ``changes``
knows which are asked now; ``reward`` says what a distiller is worth; ``study_tree`` reads the
trials of a study (``reading``) into a tree, ``guide`` leads a trial through it; ``sampler`` is the
glue to Optuna (``arguments``: what it may be given); ``recommend`` says what to take in the end;
``factory`` builds samplers from configs; ``tabular`` replays a table of outcomes. Python, NumPy and
Optuna: no torch, nothing of OpenMMLab.
"""
from autokd_mm.search.factory import build_sampler, sampler_types
from autokd_mm.search.prior import Belief, Prior
from autokd_mm.search.recommend import Recommendation, leaders, recommend_best
from autokd_mm.search.remembered import Believed, believed
from autokd_mm.search.reward import Outcome, Reward
from autokd_mm.search.sampler import MCTSSampler
from autokd_mm.search.study_tree import StudyTree
from autokd_mm.search.tree import Tree

__all__ = ['Belief', 'Believed', 'MCTSSampler', 'Outcome', 'Prior', 'Recommendation', 'Reward',
           'StudyTree', 'Tree', 'believed', 'build_sampler', 'leaders', 'recommend_best',
           'sampler_types']
