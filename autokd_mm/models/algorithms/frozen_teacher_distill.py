"""MMRazor's single-teacher distillation with a teacher that is only listened to."""
from __future__ import annotations

from typing import Any, Dict, List, Optional, Union

import torch
from mmengine.model import BaseModel
from mmrazor.models.algorithms import SingleTeacherDistill
from mmrazor.models.utils import add_prefix
from torch import nn

from autokd_mm.models.algorithms.renormalise import Renormalise
from autokd_mm.models.algorithms.teacher import load_teacher
from autokd_mm.models.distillers import RecordGuard, clear_records, disable_inplace
from autokd_mm.registry import MODELS
from autokd_mm.space.errors import ConfigError


class _Held:
    """Keeps the teacher out of the module tree: no state dict, no optimiser, no EMA sees it."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __deepcopy__(self, memo: Dict[int, Any]) -> '_Held':
        return self


@MODELS.register_module()
class FrozenTeacherDistill(SingleTeacherDistill):
    """Train ``architecture`` with the help of a frozen ``teacher`` and a plain distiller.

    What differs from :class:`mmrazor.models.SingleTeacherDistill`:

    - the teacher is in evaluation mode for good (no Dropout, DropPath or BatchNorm update);
    - its weights are in no checkpoint and in no exponential moving average;
    - its checkpoint must fit: see :func:`load_teacher`;
    - it sees images normalised as *it* was trained, whatever the student's ``data_preprocessor``;
    - it runs forward only (``mode='tensor'``), never computes a loss, and does not run at all
      once distillation has stopped or when the distiller records nothing of it;
    - records are released after every step, and one that was overwritten in place is an error.

    Args:
        distiller: config of a ``mmrazor.ConfigurableDistiller``.
        teacher: config of the teacher, or the built model.
        teacher_ckpt: path of the teacher's checkpoint. ``None`` leaves it as initialised.
        kwargs: ``architecture`` and the other arguments of ``SingleTeacherDistill``.
    """

    def __init__(self,
                 distiller: Dict[str, Any],
                 teacher: Union[BaseModel, Dict[str, Any]],
                 teacher_ckpt: Optional[str] = None,
                 **kwargs: Any) -> None:
        if kwargs.pop('teacher_trainable', False):
            raise ConfigError('model.teacher_trainable: FrozenTeacherDistill never trains its '
                             'teacher; use mmrazor.SingleTeacherDistill for that')
        super().__init__(distiller=distiller, teacher=teacher, teacher_ckpt=None, **kwargs)
        self._held = _Held(self._modules.pop('teacher'))
        disable_inplace(self.architecture)
        disable_inplace(self.teacher)
        if teacher_ckpt:
            load_teacher(self.teacher, teacher_ckpt)
        self.teacher.eval()
        self.renormalise = Renormalise.between(
            getattr(self.architecture, 'data_preprocessor', None),
            getattr(self.teacher, 'data_preprocessor', None))
        self._guards = [
            RecordGuard(self.distiller.student_recorders).watch(self.student),
            RecordGuard(self.distiller.teacher_recorders).watch(self.teacher),
        ]

    @property
    def teacher(self) -> nn.Module:
        """The frozen teacher; not a sub-module."""
        return self._held.module

    def loss(self,
             batch_inputs: torch.Tensor,
             data_samples: Optional[List[Any]] = None) -> Dict[str, torch.Tensor]:
        """Losses of one batch: the student's own under ``student.*``, the distiller's under
        ``distill.*``.

        Args:
            batch_inputs: N x 3 x H x W, as the student's ``data_preprocessor`` returns them.
            data_samples: N samples with the labels.
        """
        distilling = not self.distillation_stopped and self.distiller.loss_forward_mappings
        if distilling and self.distiller.teacher_recorders.recorders:
            inputs = batch_inputs if self.renormalise is None else self.renormalise(batch_inputs)
            self.distiller.set_deliveries_override(False)
            with torch.no_grad(), self.distiller.teacher_recorders, self.distiller.deliveries:
                self.teacher(inputs, data_samples, mode='tensor')
        self.distiller.set_deliveries_override(bool(distilling))
        with self.distiller.student_recorders, self.distiller.deliveries:
            student = self.student(batch_inputs, data_samples, mode='loss')
        losses = add_prefix(student, 'student') if self.calculate_student_loss else {}
        if distilling:
            for guard in self._guards:
                guard.check()
            losses.update(add_prefix(self.distiller.compute_distill_losses(), 'distill'))
        clear_records(self.distiller)
        return losses

    def train(self, mode: bool = True) -> 'FrozenTeacherDistill':
        nn.Module.train(self, mode)
        self.teacher.eval()
        return self

    def _apply(self, fn: Any, *args: Any, **kwargs: Any) -> nn.Module:
        self.teacher._apply(fn, *args, **kwargs)
        return super()._apply(fn, *args, **kwargs)
