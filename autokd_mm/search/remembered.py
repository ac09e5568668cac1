"""The prior that a study began with is kept in the study: whoever goes on with it uses that one,
whatever a file says later."""
from __future__ import annotations

import warnings
from typing import Any, Callable, NamedTuple, Optional

from optuna.study import Study
from optuna.trial import TrialState

from autokd_mm.errors import AutoKDWarning
from autokd_mm.search.option_model import OptionModel
from autokd_mm.search.prior import Prior
from autokd_mm.search.study_tree import StudyTree, only_direction

PRIOR = 'mcts:prior'  # user attribute of a study


class Believed(NamedTuple):
    """How far the trials of a study bear its prior out.

    Attributes:
        share: probability that it is of use.
        factor: of its effects, if so.
    """
    share: float
    factor: float


def prior_of(storage: Any, study_id: int, own: Optional[Prior] = None) -> Optional[Prior]:
    """The prior of a study; a study without any that has no finished trial takes ``own``."""
    kept = storage.get_study_user_attrs(study_id).get(PRIOR)
    if kept is not None:
        return Prior.from_json(kept, PRIOR)
    if own is None:
        return None
    if any(trial.state.is_finished()
           for trial in storage.get_all_trials(study_id, deepcopy=False)):
        warnings.warn('the study began without a prior (experience), and goes on without: its '
                      'trials were proposed so', AutoKDWarning, stacklevel=2)
        return None
    storage.set_study_user_attr(study_id, PRIOR, own.to_json())
    return Prior.from_json(own.to_json())  # rounded as those read it who come later


def believed(study: Study, shared_name: Optional[Callable[[str], str]] = None
             ) -> Optional[Believed]:
    """How far the trials of a study bear out the prior it began with; None where it has none.

    Args:
        shared_name: as for :class:`~autokd_mm.search.MCTSSampler`; that of the study's sampler by
            default.

    Raises:
        ValueError: several objectives.
    """
    prior = prior_of(study._storage, study._study_id)
    if prior is None:
        return None
    if shared_name is None:
        shared_name = getattr(study.sampler, 'shared_name', None)
    view = StudyTree(only_direction(study.directions),
                     model=OptionModel(shared_name=shared_name, prior=prior))
    view.sync([trial for trial in study.get_trials(deepcopy=False)
               if trial.state != TrialState.RUNNING])
    found = view.tree.hypotheses()
    share = sum(one.probability for one in found if one.factor)
    mean = sum(one.probability * one.factor for one in found)
    return Believed(share, mean / share if share else 0.0)
