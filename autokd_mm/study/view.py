"""A study for viewers, such as optuna-dashboard and ``optuna.visualization``.

It is derived from the search's, in a file of its own: nobody who searches has to read it, it can be
deleted and made again at any time, and the other studies stay as they are.
"""
from __future__ import annotations

import csv
import json
import os
import warnings
from typing import Any, Dict, List, Optional, Sequence

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.storages.journal import JournalFileBackend
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from autokd_mm.errors import StudyError
from autokd_mm.study import study as studies
from autokd_mm.study.journal import DAMAGED, JournalLock
from autokd_mm.study.ranking import Standing, in_order
from autokd_mm.study.shown import Levels, Standings, levels_of, lost, show

VIEW, VIEW_JOURNAL = 'autokd_mm_view', 'view.journal'
_STANDINGS = 'autokd_mm:standings'  # system attribute: those that the values are made of
_ABOUT = ('value: the reward, which is the gain over the same student without distillation; of the '
          'final round where a trial has run there, else that of the proxy (proxy_reward), lowered '
          'by the mean that those who ran there lost')


class View:
    """Keeps the file up to date. For the holder of the work dir's turn.

    Nothing is remembered but the file: what is missing in it is seen by the number of its trials,
    so it does not matter who wrote them, or whether somebody was killed in between.

    Args:
        path: of the file.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._study: Optional[Study] = None

    def update(self, search: Study, standings: Optional[Standings] = None) -> int:
        """Add the trials that are over, in their order, up to the first that is not; returns how
        many there are in the view.

        A trial that is finished cannot be changed: where other rewards than before count, all are
        written anew.

        Args:
            search: the study of the search.
            standings: behind the final round; ``None``: as they are in the view.
        """
        trials, view = search.get_trials(deepcopy=False), self._open()
        space = (search.user_attrs.get('search') or {}).get('space') or {}
        seen, known = view.get_trials(deepcopy=False), _stored_standings(view)
        standings = known if standings is None else _rounded(standings)
        there = _levels_in(seen)
        levels = levels_of({level: one.choices[:-1] for level, one in there.items()} or space,
                           trials[len(seen):])
        if standings != known or _is_of_another(seen, trials) or there not in ({}, levels):
            optuna.delete_study(study_name=VIEW, storage=view._storage)
            self._study, seen = None, []
            view, levels = self._open(standings), levels_of(space, trials)
        done, lowered = len(seen), lost(standings, trials)
        for trial in trials[done:]:
            if not _is_over(trial):
                break
            view.add_trial(show(trial, levels, standings, lowered))
            done += 1
        return done

    def _open(self, standings: Optional[Standings] = None) -> Study:
        if self._study is not None and os.path.isfile(self.path):
            return self._study
        try:
            view = _stored(self.path)
        except DAMAGED:  # all that was in it can be derived again
            os.remove(self.path)
            view = _stored(self.path)
        if standings or not view.metric_names:
            self._describe(view, standings or {})
        self._study = view
        return view

    @staticmethod
    def _describe(view: Study, standings: Standings) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', ExperimentalWarning)
            view.set_metric_names(['reward'])
        view.set_user_attr('about', _ABOUT)
        if standings:
            view.set_user_attr('winner', f'trial {in_order(standings)[0]}')
            view._storage.set_study_system_attr(
                view._study_id, _STANDINGS, {str(key): list(one) for key, one in standings.items()})


class _WithoutWaiting(JournalFileBackend):
    """Does not wait until the disk has a line: what a machine that goes down loses is derived
    again, and a search would wait for each trial twice."""

    def __init__(self, path: str) -> None:
        super().__init__(path, lock_obj=JournalLock(path))
        self._path, self._line_lock = path, JournalLock(path)

    def append_logs(self, logs: List[Dict[str, Any]]) -> None:
        lines = ''.join(json.dumps(log, separators=(',', ':')) + '\n' for log in logs)
        self._line_lock.acquire()
        try:
            with open(self._path, 'ab') as file:
                file.write(lines.encode('utf-8'))
        finally:
            self._line_lock.release()


def standings_in(leaderboard: str) -> Optional[Standings]:
    """Behind the final round, as ``leaderboard.csv`` has them; ``None`` where there is none."""
    try:
        with open(leaderboard, newline='', encoding='utf-8') as file:
            rows = [row for row in csv.DictReader(file) if row.get('final_reward')]
        # The first versions had no lengths and no seeds.
        return {int(row['trial']): Standing(int(row.get('final_length') or 1),
                                           float(row['final_reward']),
                                           int(row.get('final_seeds') or 0)) for row in rows}
    except OSError:
        return None
    except (KeyError, TypeError, ValueError):
        raise StudyError(f'work_dir: {leaderboard} is not the leaderboard of a search; move it '
                         'away, the next --resume writes it again') from None


def _stored(path: str) -> Study:
    storage = optuna.storages.JournalStorage(_WithoutWaiting(path))
    there = [study.study_name for study in storage.get_all_studies()]
    return (optuna.load_study(storage=storage, study_name=VIEW) if VIEW in there else
            optuna.create_study(storage=storage, study_name=VIEW, direction='maximize'))


def _stored_standings(view: Study) -> Standings:
    stored = view._storage.get_study_system_attrs(view._study_id).get(_STANDINGS) or {}
    return {int(number): Standing(int(length), reward, *map(int, seeds))
            for number, (length, reward, *seeds) in stored.items()}


def _rounded(standings: Standings) -> Standings:
    """As the leaderboard has them, from which a view may be made, too."""
    return {number: Standing(length, float(f'{reward:.6g}'), *seeds)
            for number, (length, reward, *seeds) in standings.items()}


def _levels_in(seen: Sequence[FrozenTrial]) -> Levels:
    """Of a view; empty where it has no trial with a distiller yet."""
    last = next((trial for trial in reversed(seen) if trial.distributions), None)
    return {} if last is None else {
        level: one for level, one in last.distributions.items()
        if isinstance(one, CategoricalDistribution)}


def _is_of_another(seen: Sequence[FrozenTrial], trials: Sequence[FrozenTrial]) -> bool:
    """Whether a view is of a study that was here before."""
    return len(seen) > len(trials) or bool(seen) and _begun(seen[0]) != _begun(trials[0])


def _begun(trial: FrozenTrial) -> Any:
    return trial.datetime_start or trial.datetime_complete


def _is_over(trial: FrozenTrial) -> bool:
    return trial.state.is_finished() or (
        trial.state == TrialState.RUNNING and studies.is_here(trial) and not studies.alive(trial))
