"""What is looked at when a full training starts: its classes, its hooks, its first weights."""
from __future__ import annotations

from typing import Any, Dict, List

from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop

from autokd_mm.datasets.epochs import refuse_no_epoch
from autokd_mm.engine.left_out import ask
from autokd_mm.errors import CheckpointError, ConfigError
from autokd_mm.models.algorithms import FrozenTeacherDistill
from autokd_mm.models.algorithms.pretrained import refuse_not_pretrained
from autokd_mm.models.algorithms.teacher import AVERAGED, refuse_not_loaded
from autokd_mm.models.algorithms.teachers import each_teacher
from autokd_mm.models.algorithms.weights import PREFIX, start
from autokd_mm.registry import HOOKS
from autokd_mm.task.classes import check_heads, check_same_classes, other_order


@HOOKS.register_module()
class TrainingStartHook(Hook):
    """Refuses in one line what a training would stumble over, or do wrong without a word.

    - ``load_from`` may name a training checkpoint, of a distillation or not, or a student alone,
      whatever prefix its names have; a line says what of it fits. The averaged weights are taken
      where there are such. What ``model.start`` copies from the teacher stays.
    - A head for another number of classes than the data set has is refused, and so is a teacher
      whose classes have another order, where its head is listened to or copied, or to which
      nothing has given weights.
    - Validation images whose classes have another order than those of training are refused, and a
      dataloader that gives no epoch.
    - Hooks that check a config, such as mmdet's ``NumClassCheckHook``, are asked.
    - A checkpoint that has seen more than the training is long is not gone on with.
    - A network whose ``init_cfg`` names a file of which next to nothing fits is refused.

    ``tools/train.py`` adds it.
    """

    priority = 'VERY_HIGH'  # a hook that averages weights copies what is loaded

    def after_load_checkpoint(self, runner: Any, checkpoint: Dict[str, Any]) -> None:
        if runner._resume:
            return
        path, model = runner._load_from, getattr(runner.model, 'module', runner.model)
        weights = checkpoint.get('state_dict', checkpoint.get('model', checkpoint))
        student, prefix, fits = model, '', {}
        if 'architecture' in model._modules:  # a distillation: its connectors may be there, too
            student, prefix, own = model.architecture, PREFIX, model.state_dict()
            fits = {name: value for name, value in weights.items()
                    if name in own and value.shape == own[name].shape}
        found = start(student.state_dict(), weights, 'load_from', path)
        fits.update({prefix + name: value for name, value in found.fits.items()})
        for module in getattr(model, 'inherited', ()):
            copied = f'{PREFIX}{module}.'
            fits = {name: value for name, value in fits.items() if not name.startswith(copied)}
        averaged = f', {AVERAGED}' if checkpoint.pop('ema_state_dict', None) else ''
        say = runner.logger.warning if found.differ or found.missing else runner.logger.info
        say(f'load_from: {found.in_words(path)}{averaged}')
        checkpoint['state_dict'] = fits

    def before_train(self, runner: Any) -> None:
        _refuse_longer(runner)
        model = getattr(runner.model, 'module', runner.model)
        dataset = runner.train_dataloader.dataset
        if isinstance(model, FrozenTeacherDistill):
            check_heads(model.architecture, dataset, 'model.architecture')
            _check_stop(runner, model)
            self._check_teachers(runner, model, dataset)
        else:
            check_heads(model, dataset, 'model')
        if not (runner.iter or runner._load_from):  # --resume may have found nothing
            refuse_not_pretrained(model)
        refuse_no_epoch(runner.train_dataloader, isinstance(runner.train_loop, EpochBasedTrainLoop))
        if runner.val_loop is not None:
            check_same_classes(dataset, runner.val_loop.dataloader.dataset,
                               'val_dataloader.dataset')
        ask([hook for hook in runner.hooks if hook is not self], runner)

    @staticmethod
    def _check_teachers(runner: Any, model: FrozenTeacherDistill, dataset: Any) -> None:
        heard: List[str] = [recorder.source for recorder in
                            model.distiller.teacher_recorders.recorders.values()]
        if model.teacher_is_random and (heard or model.inherited):
            raise ConfigError('model.teacher_ckpt: nothing gives the teacher weights, it would '
                              'teach what it was initialised with; --cfg-options '
                              'teacher_ckpt=FILE names them')
        refuse_not_loaded(model.teacher, [*heard, *model.inherited])
        for teacher, _ in each_teacher(model):
            differs = other_order(teacher, dataset)
            if differs and (model.inherited or any('head' in source or 'logits' in source
                                                   for source in heard)):
                raise CheckpointError(f'teacher_ckpt: {differs}')
            if differs:
                runner.logger.warning(f'teacher_ckpt: {differs}')


def _check_stop(runner: Any, model: FrozenTeacherDistill) -> None:
    """MMRazor's hook takes any value; without the student's own loss a training is nothing but
    the distillation."""
    for hook in runner.hooks:
        if type(hook).__name__ != 'StopDistillHook':
            continue
        stop = getattr(hook, 'stop_epoch', None)
        key = f'custom_hooks.StopDistillHook.stop_epoch={stop!r}'
        if isinstance(stop, bool) or not isinstance(stop, int):
            raise ConfigError(f'{key}: must be a number of epochs, such as {runner.max_epochs}')
        if stop < runner.max_epochs and not model.calculate_student_loss:
            raise ConfigError(f'{key}: behind it nothing is left to train, with '
                              'model.calculate_student_loss=False')


def _refuse_longer(runner: Any) -> None:
    """What a training of more epochs has reached would be told as the end of this one."""
    done, wanted, key = runner.epoch, runner.max_epochs, 'max_epochs'
    if not done:  # a loop that counts iterations
        done, wanted, key = runner.iter, runner.max_iters, 'max_iters'
    if done > wanted:
        raise ConfigError(f'train_cfg.{key}={wanted}: {runner._load_from} has {done} already; '
                          'name another --work-dir, or as many')
