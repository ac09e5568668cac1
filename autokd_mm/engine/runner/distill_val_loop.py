"""MMRazor's validation of student and teacher, for a teacher that is frozen or not there."""
from __future__ import annotations

import copy
from typing import Any, Dict, Optional

from mmengine.runner import ValLoop, autocast
from mmrazor.engine.runner.distill_val_loop import SingleTeacherDistillValLoop as _OfMMRazor

from autokd_mm.models.algorithms import FrozenTeacherDistill
from autokd_mm.registry import LOOPS
from autokd_mm.teacher import checkpoint as teachers


@LOOPS.register_module(name='SingleTeacherDistillValLoop', force=True)
class SingleTeacherDistillValLoop(_OfMMRazor):
    """The metrics of the student, and as ``teacher.*`` those of the teacher.

    It stands under MMRazor's own name, so that MMRazor's configs run with a
    :class:`FrozenTeacherDistill`, too. What differs there: the teacher sees the images as it was
    trained (MMRazor lets it see the student's), may be several, and is measured once, because
    neither it nor the images change. A network without a teacher, such as the teacher of a search
    in its own training or a student that is tested, is validated alone. For MMRazor's algorithms it
    does what MMRazor's does.

    Args: as MMEngine's ``ValLoop``.
    """

    def __init__(self, runner: Any, dataloader: Any, evaluator: Any, fp16: bool = False) -> None:
        self._frozen: Optional[FrozenTeacherDistill] = None
        self._metrics: Optional[Dict[str, float]] = None
        model = getattr(runner.model, 'module', runner.model)
        self._of_mmrazor = hasattr(model, 'teacher') and not isinstance(model, FrozenTeacherDistill)
        if self._of_mmrazor:
            super().__init__(runner, dataloader, evaluator, fp16)
            return
        ValLoop.__init__(self, runner, dataloader, evaluator, fp16)
        if isinstance(model, FrozenTeacherDistill):
            self._frozen = model

    def run(self) -> Any:
        """Launch validation; returns the metrics."""
        if self._of_mmrazor:
            return super().run()
        if self._frozen is None:
            return ValLoop.run(self)
        if self._metrics is None:
            self._metrics = self._teachers()
        evaluate = self.evaluator.evaluate
        found = self._metrics

        def with_teacher(size: int) -> Dict[str, float]:
            return dict(evaluate(size), **found)

        # The hooks behind a validation get all metrics at once.
        self.evaluator.evaluate = with_teacher
        try:
            return ValLoop.run(self)
        finally:
            del self.evaluator.evaluate

    def _teachers(self) -> Dict[str, float]:
        model = self._frozen
        assert model is not None
        model.eval()
        device = next(model.parameters()).device
        home = next(model.teacher.parameters()).device  # the CPU where a bank speaks for it
        model.teacher.to(device)
        with autocast(enabled=self.fp16):
            metrics = teachers.evaluate(model, self)
        model.teacher.to(home)
        return {f'teacher.{name}': value for name, value in copy.deepcopy(metrics).items()}
