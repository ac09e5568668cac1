"""A teacher that belongs to an algorithm and is none of its modules."""
from __future__ import annotations

from typing import Any, Dict, List, Sequence, Union

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
    """Holds :attr:`teacher` beside the modules, in evaluation mode for good; copies share it.

    Attributes:
        teacher_is_random: neither a checkpoint nor an ``init_cfg`` gives it weights.
    """

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
        self.teacher_is_random = self._teacher_needs_init and not all(
            map(_loads_weights, self._without(checkpoint)))
        self.teacher.eval()

    def _without(self, checkpoint: Union[str, Sequence[Any], None]) -> List[nn.Module]:
        """The networks that no checkpoint was given for."""
        if not isinstance(self.teacher, Teachers):
            return [self.teacher]
        files = checkpoint if isinstance(checkpoint, (list, tuple)) else []
        return [network for number, network in enumerate(self.teacher.networks())
                if number >= len(files) or not files[number]]

    def train(self, mode: bool = True) -> 'HeldTeacher':
        nn.Module.train(self, mode)
        self.teacher.eval()
        return self


def _loads_weights(network: nn.Module) -> bool:
    """Whether an ``init_cfg`` in it reads a file."""
    for module in network.modules():
        given = getattr(module, 'init_cfg', None) or []
        for one in [given] if isinstance(given, dict) else given:
            if str(one.get('type')).split('.')[-1] in ('Pretrained', 'PretrainedInit'):
                return True
    return False
