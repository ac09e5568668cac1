"""The way out of a search: ``best_distiller.py`` and ``leaderboard.csv``."""
from __future__ import annotations

import copy
import csv
import io
import os
from typing import Any, Dict, List, Optional

from mmengine.config import Config
from optuna.trial import FrozenTrial, TrialState

from autokd_mm.space import LEVELS, DistillerSpec

LEADERBOARD, BEST = 'leaderboard.csv', 'best_distiller.py'
SPEC, OUTCOME = 'spec', 'outcome'
_COLUMNS = ('trial', 'state', 'reward', 'held_out_loss', 'calibrated_loss', 'gap', 'metric',
            'seconds', 'reason')
_STATES = {TrialState.COMPLETE: 'complete', TrialState.FAIL: 'failed',
           TrialState.PRUNED: 'pruned', TrialState.RUNNING: 'running'}


def write_atomically(path: str, text: str) -> None:
    """Replace a file in one step, so that a reader never sees half of it."""
    unfinished = f'{path}.unfinished-{os.getpid()}'
    try:
        with open(unfinished, 'w', newline='') as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException:
        if os.path.exists(unfinished):
            os.remove(unfinished)
        raise


def ranked(trials: List[FrozenTrial]) -> List[FrozenTrial]:
    """Best reward first; failed trials behind, in the order in which they ran."""
    return sorted(trials, key=lambda trial: (trial.value is None, -(trial.value or 0.0),
                                             trial.number))


def best(trials: List[FrozenTrial]) -> Optional[FrozenTrial]:
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    return ranked(complete)[0] if complete else None


def spec_of(trial: FrozenTrial) -> Optional[DistillerSpec]:
    values = trial.user_attrs.get(SPEC)
    return DistillerSpec.from_dict(values) if values else None


def write_leaderboard(path: str, trials: List[FrozenTrial]) -> None:
    """One row per trial, best first, one column per option of the space."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator='\n')
    table.writerow(_COLUMNS + LEVELS)
    for trial in ranked([trial for trial in trials if trial.state in _STATES]):
        outcome = trial.user_attrs.get(OUTCOME) or {}
        spec = trial.user_attrs.get(SPEC) or {}
        reward = '' if trial.value is None else f'{trial.value:.6g}'
        table.writerow([trial.number, _STATES[trial.state], reward]
                       + [_number(outcome.get(name)) for name in _COLUMNS[3:8]]
                       + [trial.user_attrs.get('reason', '')]
                       + [spec.get(level, '') for level in LEVELS])
    write_atomically(path, text.getvalue())


def best_config(config: Config, distiller: Dict[str, Any], full_training: Dict[str, Any],
                teacher_ckpt: Optional[str]) -> Config:
    """The config that trains with ``distiller`` at full length: nothing of the search is left.

    Args:
        config: of the search.
        distiller: ``model.distiller`` of the best trial.
        full_training: the ``train_cfg`` of the full training.
        teacher_ckpt: where the teacher's weights are now.
    """
    result = copy.deepcopy(config)
    result.model.distiller = distiller
    result.model.teacher_ckpt = teacher_ckpt
    result.teacher_ckpt = teacher_ckpt
    result.train_cfg = copy.deepcopy(full_training)
    for key in ('work_dir', 'experiment_name'):
        result.pop(key, None)
    result.load_from, result.resume, result.launcher = None, False, 'none'
    return result


def beside(path: str, folder: str) -> str:
    """``path`` as MMEngine writes it in a config in ``folder``: by the config's own place where
    it lies there too, so that the folder can be moved and used from anywhere."""
    if os.path.dirname(os.path.abspath(path)) == os.path.abspath(folder):
        return '{{ fileDirname }}/' + os.path.basename(path)
    return path


def write_best(path: str, config: Config, header: List[str]) -> None:
    """``config`` as a Python file that stands alone, with ``header`` as its comment."""
    text = ''.join(f'# {line}'.rstrip() + '\n' for line in header) + config.pretty_text
    write_atomically(path, text)


def _number(value: Optional[float]) -> str:
    return '' if value is None else f'{value:.6g}'
