"""The way out of a search: ``best_distiller.py`` and ``leaderboard.csv``."""
from __future__ import annotations

import copy
import csv
import io
import os
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Union

from mmengine.config import Config
from optuna.trial import FrozenTrial, TrialState

from autokd_mm.report.main_metric import RULE, main_metric
from autokd_mm.search.reward import MEASURED
from autokd_mm.space.layerwise_spec import columns
from autokd_mm.study.ranking import Standing, ranked
from autokd_mm.study.study import OUTCOME, REASON, SPEC, is_rejected
from autokd_mm.whole_file import whole_file

LEADERBOARD, BEST = 'leaderboard.csv', 'best_distiller.py'
SCHEDULE_HOOK = 'mmrazor.DistillScheduleHook'
_MEASURED = MEASURED + ('seconds', )
_COLUMNS = ('trial', 'state', 'reward', 'final_reward', 'final_length',
            'final_seeds') + _MEASURED + ('reason', )
_STATES = {TrialState.COMPLETE: 'complete', TrialState.FAIL: 'failed',
           TrialState.PRUNED: 'pruned', TrialState.RUNNING: 'running'}


def write_atomically(path: str, text: str) -> None:
    """Replace a file in one step, so that a reader never sees half of it."""
    with whole_file(path, 'w', newline='') as file:
        file.write(text)


def write_leaderboard(path: str, trials: Iterable[FrozenTrial],
                      final: Optional[Mapping[int, Standing]] = None) -> None:
    """One row per trial in the order of :func:`ranked`, one column per option of the space."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator='\n')
    rows = ranked([trial for trial in trials if trial.state in _STATES], final)
    levels = columns(trial.user_attrs.get(SPEC) or {} for trial in rows)
    table.writerow(_COLUMNS + levels)
    for trial in rows:
        outcome = trial.user_attrs.get(OUTCOME) or {}
        spec = trial.user_attrs.get(SPEC) or {}
        state = 'rejected' if is_rejected(trial) else _STATES[trial.state]
        table.writerow([trial.number, state, _number(trial.value),
                        *_standing((final or {}).get(trial.number))]
                       + [_number(outcome.get(name)) for name in _MEASURED]
                       + [trial.user_attrs.get(REASON, '')]
                       + [spec.get(level, '') for level in levels])
    write_atomically(path, text.getvalue())


def best_config(config: Config, distiller: Dict[str, Any], full_training: Dict[str, Any],
                teacher_ckpt: Union[str, Sequence[str], None],
                start: Optional[str] = None,
                schedules: Optional[Mapping[str, str]] = None) -> Config:
    """The config that trains with ``distiller`` at full length: nothing of the search is left.

    Args:
        config: of the search.
        distiller: ``model.distiller`` of the best trial.
        full_training: the ``train_cfg`` of the full training.
        teacher_ckpt: where the teacher's weights are now.
        start: file whose weights the training starts from, as the candidates did.
        schedules: how the weights of the losses change, by name of the loss.
    """
    result = copy.deepcopy(config)
    result.model.distiller = distiller
    result.model.teacher_ckpt = teacher_ckpt
    result.teacher_ckpt = teacher_ckpt
    result.train_cfg = copy.deepcopy(full_training)
    for key in ('work_dir', 'experiment_name'):
        result.pop(key, None)
    result.load_from = start
    result.model.pop('start', None)
    _set_schedules(result, schedules or {})
    _set_save_best(result, (config.get('train_cfg') or {}).get('metric'))
    result.resume, result.launcher = False, 'none'
    return result


def _set_schedules(config: Config, schedules: Mapping[str, str]) -> None:
    """Those of another distiller, that a search's config has, are left out."""
    given = config.get('custom_hooks') or []
    hooks = [hook for hook in given if not _sets_schedules(hook)]
    if schedules:
        hooks.append(dict(type=SCHEDULE_HOOK, schedules=dict(schedules)))
    if len(hooks) != len(given) or schedules:
        config.custom_hooks = hooks


def _set_save_best(config: Config, own: Optional[str]) -> None:
    """Let the best checkpoint be kept, too; a config that says so itself, or that switches the
    hook off, stays as it is."""
    metric = main_metric(config.get('val_evaluator'), own)
    hooks = dict(config.get('default_hooks') or {})
    hook = hooks.get('checkpoint', dict(type='CheckpointHook'))
    if metric and hook and 'save_best' not in hook:
        hooks['checkpoint'] = dict(hook, save_best=metric, rule=RULE)
        config.default_hooks = hooks


def _sets_schedules(hook: Any) -> bool:
    kind = hook.get('type') if isinstance(hook, Mapping) else type(hook)
    return str(getattr(kind, '__name__', kind)).split('.')[-1] == SCHEDULE_HOOK.split('.')[-1]


def beside(path: Any, folder: str) -> Any:
    """``path`` (or a list of them) as MMEngine writes it in a config in ``folder``: by the config's
    own place where it lies there too, so that the folder can be moved and used from anywhere."""
    if isinstance(path, (list, tuple)):
        return [beside(item, folder) for item in path]
    if os.path.dirname(os.path.abspath(path)) != os.path.abspath(folder):
        return path
    return in_folder(os.path.basename(path), folder)


def in_folder(name: str, folder: str) -> str:
    """A file in ``folder`` as a config there names it. MMEngine pastes the folder into the config's
    text as it is, so one with a quotation mark in it would end the string."""
    whole = os.path.abspath(folder)
    return os.path.join(whole, name) if unquotable(whole) else '{{ fileDirname }}/' + name


def unquotable(path: str) -> bool:
    """Whether a path ends the string of Python into which it is pasted, or means another there."""
    return bool(set(path) & set('\'"\\\n'))


def write_best(path: str, config: Config, header: List[str]) -> None:
    """``config`` as a Python file that stands alone, with ``header`` as its comment: all of it,
    also where names from other files have several lines, or the rest of them would be run."""
    lines = [part for line in header for part in line.splitlines() or ['']]
    text = ''.join(f'# {line}'.rstrip() + '\n' for line in lines) + config.pretty_text
    write_atomically(path, text)


def _standing(reached: Optional[Standing]) -> List[str]:
    return [''] * 3 if reached is None else [
        _number(reached.reward), str(reached.length), str(reached.seeds or '')]


def _number(value: Optional[float]) -> str:
    return '' if value is None else f'{value:.6g}'
