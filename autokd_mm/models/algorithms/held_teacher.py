"""A teacher that belongs to an algorithm and is none of its modules."""
from __future__ import annotations

from typing import Any, Dict, Sequence, Union

from mmengine.model import BaseModel
from torch import nn

from autokd_mm.models.algorithms.teacher import load_teacher
from autokd_mm.models.algorithms.teachers import Teachers
from autokd_mm.models.distillers import disable_inplace


class _Held:
    """Keeps the teacher out of the module tree: no state dict, no optimiser, no EMA sees it."""

    def __init__(self, module: BaseModel) -> None:
        self.module = module

    def __deepcopy__(self, memo: Dict[int, Any]) -> '_Held':
        return self


class HeldTeacher(BaseModel):
    """Holds :attr:`teacher` beside the modules, in evaluation mode for good; copies share it."""

    @property
    def teacher(self) -> BaseModel:
        """The frozen teacher; not a sub-module."""
        return self._held.module

    def _hold_teacher(self) -> None:
        """Take the teacher, which MMRazor has made a module, out of the modules."""
        self._held = _Held(self._modules.pop('teacher'))

    def _weigh_teacher(self, from_config: bool,
                       checkpoint: Union[str, Sequence[Any], None]) -> None:
        """Give the teacher its weights, or leave that to ``init_weights``."""
        self._teacher_needs_init = from_config and not getattr(self.teacher, '_is_init', False)
        disable_inplace(self.teacher)
        if checkpoint:
            load_teacher(self.teacher, checkpoint)
            self._teacher_needs_init = (isinstance(self.teacher, Teachers)
                                        and not all(checkpoint))
        self.teacher.eval()

    def train(self, mode: bool = True) -> 'HeldTeacher':
        nn.Module.train(self, mode)
        self.teacher.eval()
        return self
