"""Weights of distill losses that change in the course of an ordinary training."""
from __future__ import annotations

from typing import Any, Dict, Mapping, Optional

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from autokd_mm.errors import ConfigError, nearest
from autokd_mm.models.algorithms import FrozenTeacherDistill
from autokd_mm.models.distillers import fade
from autokd_mm.registry import HOOKS
from autokd_mm.space.schedules import CONSTANT, ENDS, check_schedule, weight_factor

_KEY = 'custom_hooks.DistillScheduleHook.schedules'


@HOOKS.register_module()
class DistillScheduleHook(Hook):
    """Multiplies distill losses by a factor that depends on the share of the training done.

    Before the iteration i of n, both counted as the loop does, a loss with a schedule gets the
    factor of :func:`~autokd_mm.space.schedules.weight_factor` at i / n. It is a function of the
    iteration alone: a resumed training goes on with the right one, and checkpoints hold nothing of
    it. What is logged under the loss's name has the factor in it; the factor itself is logged as
    ``distill_factor.NAME``. The proxy of a search does the same at the steps of its runs.

    Beside MMRazor's ``StopDistillHook`` the earlier end counts: a line of the log says what is cut
    off.

    Args:
        schedules: by name of a loss of ``model.distiller.distill_losses``: ``'cosine'``,
            ``'linear'``, ``'off_third'``, ``'off_two_thirds'`` or ``'constant'``.

    Raises:
        ConfigError: an unknown schedule or loss; another algorithm; nothing left to train; a
            distillation that stops before it starts.
    """

    def __init__(self, schedules: Mapping[str, str]) -> None:
        if not isinstance(schedules, Mapping):
            raise ConfigError(f"{_KEY}={schedules!r}: must be a dict of schedules by name of a "
                              "distill loss, such as dict(loss_feature='cosine')")
        for name, schedule in schedules.items():
            check_schedule(schedule, f'{_KEY}.{name}')
        self.schedules = dict(schedules)

    def before_train(self, runner: Any) -> None:
        model = _unwrapped(runner)
        if not isinstance(model, FrozenTeacherDistill):
            raise ConfigError(f'{_KEY}: the distill losses of a {type(model).__name__} have no '
                              'schedules; model.type must be mmrazor.FrozenTeacherDistill')
        losses = model.distiller.loss_forward_mappings
        for name in self.schedules:
            if name not in losses:
                raise ConfigError(f'{_KEY}: {nearest(name, losses)}' if losses else
                                  f'{_KEY}.{name}: model.distiller has no losses')
        if not model.calculate_student_loss and all(self.schedules.get(name) in ENDS
                                                    for name in losses):
            raise ConfigError(f'{_KEY}: all losses are switched off, and with '
                              'model.calculate_student_loss=False nothing is left to train')
        self._look_for_other_end(runner)

    def _look_for_other_end(self, runner: Any) -> None:
        """A ``StopDistillHook`` beside this one."""
        for hook in runner.hooks:
            stop: Optional[int] = getattr(hook, 'stop_epoch', None)
            if type(hook).__name__ != 'StopDistillHook' or stop is None:
                continue
            if stop <= 0:
                raise ConfigError(f'custom_hooks.StopDistillHook.stop_epoch={stop}: the '
                                  f'distillation ends before it starts, and with it {_KEY}')
            if stop < runner.max_epochs:
                cut = {name: weight_factor(schedule, stop / runner.max_epochs)
                       for name, schedule in self.schedules.items()}
                left = ', '.join(f'{name} {factor:.3g}' for name, factor in cut.items() if factor)
                if left:
                    runner.logger.warning(f'StopDistillHook ends the distillation behind epoch '
                                          f'{stop} of {runner.max_epochs}, where the factors are '
                                          f'still: {left}')

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        factors = fade(_unwrapped(runner).distiller, self.schedules,
                       runner.iter / runner.max_iters)
        for name, factor in factors.items():
            runner.message_hub.update_scalar(_tag(name), factor, resumed=False)

    def before_save_checkpoint(self, runner: Any, checkpoint: Dict[str, Any]) -> None:
        # MMEngine notes the names of scalars that it does not keep, and warns of them on resuming.
        noted = checkpoint.get('message_hub', {}).get('resumed_keys', {})
        for name in self.schedules:
            noted.pop(_tag(name), None)

    def after_train(self, runner: Any) -> None:
        fade(_unwrapped(runner).distiller, dict.fromkeys(self.schedules, CONSTANT), 1.0)


def _tag(name: str) -> str:
    """Of a factor in the log. With 'loss' in it a mean over many iterations would be shown."""
    return f'train/distill_factor.{name[5:] if name.startswith("loss_") else name}'


def _unwrapped(runner: Any) -> Any:
    model = runner.model
    return model.module if is_model_wrapper(model) else model
