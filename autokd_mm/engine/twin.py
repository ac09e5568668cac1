"""The undistilled twin of a distillation: what the student reaches without a teacher."""
from __future__ import annotations

import copy
import os
from typing import Any, Dict, List, Mapping, Optional

from mmengine.config import Config
from mmengine.hooks import Hook

from autokd_mm.errors import ConfigError
from autokd_mm.models.algorithms.sync_bn import without_sync_bn
from autokd_mm.optim import without_start_rate
from autokd_mm.optim.config import name_of
from autokd_mm.optim.of_student import PREFIX
from autokd_mm.pairs.images import student_alone
from autokd_mm.report.main_metric import main_metric

FOLDER = 'twin'


def refuse_without_twin(config: Config) -> None:
    """
    Raises:
        ConfigError: the config distils nothing, or validates nothing.
    """
    if 'architecture' not in config.model:
        raise ConfigError('--twin: the config trains one network alone, which has no twin; name '
                          'the best_distiller.py of a search or a config of configs/distill')
    for key in ('val_dataloader', 'val_cfg', 'val_evaluator'):
        if config.get(key) is None:  # val_cfg may be empty
            raise ConfigError(f'--twin: {key} is missing, and without validation there is no gain '
                              'to tell')


def twin_of(config: Config, seed: Optional[int]) -> Config:
    """The config that trains the student of a distillation alone, below its work dir: with the
    same images and schedule.

    Args:
        config: of the distillation, with its ``work_dir``; it stays as it is.
        seed: with which the distillation was trained.
    """
    twin = copy.deepcopy(config)
    twin.model, twin.data_preprocessor = without_sync_bn(student_alone(config)), None
    twin.work_dir = os.path.join(config.work_dir, FOLDER)
    twin.experiment_name = f'{FOLDER}_of_{os.path.basename(os.path.normpath(config.work_dir))}'
    twin.randomness = dict(config.get('randomness') or {}, seed=seed)
    if config.get('custom_hooks'):
        twin.custom_hooks = [hook for hook in config.custom_hooks
                             if not (isinstance(hook, Mapping) and _of_distillation(hook))]
    if (config.get('visualizer') or {}).get('name'):
        # A name is looked up: the twin would draw into the files of the distillation.
        twin.visualizer.name = f'{config.visualizer.name}_{FOLDER}'
    without_start_rate(twin.optim_wrapper)  # the twin starts as initialised
    paramwise = twin.optim_wrapper.get('paramwise_cfg') or {}
    if paramwise.get('custom_keys'):
        paramwise['custom_keys'] = {
            key[len(PREFIX):] if key.startswith(PREFIX) else key: value
            for key, value in paramwise['custom_keys'].items()}
    return twin


def _of_distillation(hook: Mapping[str, Any]) -> bool:
    """MMRazor's and ours that look at a distiller."""
    return 'Distill' in name_of(hook.get('type'))


class FinalMetricsHook(Hook):
    """Keeps what the validation of the last weights says in ``metrics``; where nobody has
    validated them, as in a training that was over before, it validates them."""

    priority = 'VERY_LOW'

    def __init__(self) -> None:
        self.metrics: Dict[str, float] = {}
        self._at: Optional[int] = None

    def after_val_epoch(self, runner: Any, metrics: Optional[Dict[str, float]] = None) -> None:
        self.metrics, self._at = dict(metrics or {}), runner.iter

    def after_train(self, runner: Any) -> None:
        if self._at != runner.iter:
            runner.val_loop.run()


def gain_in_words(config: Config, distilled: Mapping[str, float],
                  twin: Mapping[str, float]) -> List[str]:
    """A line with both numbers and the gain in the main metric; where nobody knows which that is,
    a line for each metric that both have."""
    main = main_metric(config.get('val_evaluator'))
    names = [main] if main and main in distilled and main in twin else [
        name for name, value in distilled.items()
        if name in twin and isinstance(value, (int, float))]
    if not names:
        return ['no metric was measured of both; a detector that finds nothing has none']
    word = 'gain' if names == [main] else 'difference'
    return [f'{name}: distilled {distilled[name]:.4f}, undistilled twin {twin[name]:.4f}, '
            f'{word} {distilled[name] - twin[name]:+.4f}' for name in names]
