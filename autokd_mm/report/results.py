"""What a search leaves in its work dir: the leaderboard, and the best distiller as a config."""
from __future__ import annotations

import os
import time
import warnings
from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

from optuna.study import Study
from optuna.trial import FrozenTrial

from autokd_mm.errors import AutoKDWarning
from autokd_mm.models.algorithms.inherited import Parts
from autokd_mm.models.distillers import Layers
from autokd_mm.report import export, words
from autokd_mm.report.found import found_config
from autokd_mm.study.patience import is_away
from autokd_mm.study.ranking import Standing, best, spec_of
from autokd_mm.study.view import VIEW_JOURNAL, View


class Results:
    """Writes both files, each in one step, and keeps the study for viewers up to date.

    Args:
        work_dir: where to.
        config: of the search.
        full_training: the ``train_cfg`` of the full training.
        layers: where the distiller listens.
        teacher_ckpt: the teacher's weights, of several teachers a list.
        sampler: its name.
        baseline: the undistilled student on the proxy.
        differences: between the proxy and the full training, in words.
        parts: of the teacher, from which students may start.
    """

    def __init__(self, work_dir: str, config: Any, full_training: Dict[str, Any], layers: Layers,
                 teacher_ckpt: Union[str, List[str]], sampler: str,
                 baseline: Mapping[str, Any], differences: Sequence[str] = (),
                 parts: Optional[Parts] = None) -> None:
        self.leaderboard = os.path.join(work_dir, export.LEADERBOARD)
        self.best = os.path.join(work_dir, export.BEST)
        self.config, self.full_training, self.layers = config, full_training, layers
        self.teacher_ckpt = export.beside(teacher_ckpt, work_dir)
        start = config.get('load_from')
        self.start = start and export.beside(str(start), work_dir)
        self.sampler, self.baseline = sampler, dict(baseline)
        self.differences = list(differences)
        self.parts = parts
        self._view: Optional[View] = View(os.path.join(work_dir, VIEW_JOURNAL))
        self._cost = 0.0

    def write_leaderboard(self, trials: Sequence[FrozenTrial],
                          final: Mapping[int, Standing]) -> None:
        """
        Args:
            final: of the final round by trial number.
        """
        start = time.perf_counter()
        export.write_leaderboard(self.leaderboard, trials, final)
        self._cost = time.perf_counter() - start

    def write_view(self, study: Study,
                   final: Optional[Mapping[int, Standing]] = None) -> None:
        """What others show (see :class:`View`); where it cannot be written the search goes on.

        Args:
            study: of the search.
            final: of the final round, when it is over.
        """
        if self._view is None:
            return
        start = time.perf_counter()
        try:
            self._view.update(study, final)
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            if is_away(error):
                raise
            self._view = None
            warnings.warn(f'{VIEW_JOURNAL} cannot be kept up to date ({error}); autokd view makes '
                          'it again', AutoKDWarning, stacklevel=2)
        self._cost += time.perf_counter() - start

    def fresh(self) -> bool:
        """Whether some worker has just written the leaderboard: all together shall not spend more
        than a twentieth of their turns with it. Clocks that differ cost a few writes more."""
        try:
            age = time.time() - os.stat(self.leaderboard).st_mtime
        except OSError:
            return False
        return 0 <= age < 20 * self._cost

    def write_best(self, trials: Sequence[FrozenTrial],
                   final: Mapping[int, Standing],
                   about_final: Sequence[str] = ()) -> Optional[FrozenTrial]:
        """Write the winner's config, if there is a winner; returns it.

        Args:
            about_final: lines about the final round for the comment on top.
        """
        top = best(trials, final)
        spec = top and spec_of(top)
        if not (top and spec):
            return None
        config = found_config(self.config, spec, self.layers, self.parts, self.full_training,
                              self.teacher_ckpt, self.start)
        export.write_best(self.best, config, words.header(
            top, spec, len(trials), self.sampler, self.baseline, about_final, self.differences))
        return top
