"""A teacher that belongs to an algorithm and is none of its modules."""
from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Sequence, Union

import torch
from mmengine.model import BaseModel
from torch import nn

from autokd_mm.models.algorithms.teacher import load_teacher
from autokd_mm.models.algorithms.teachers import Teachers
from autokd_mm.models.distillers import disable_inplace

# Keys under which configs name weights: pretrained, checkpoint, checkpoint_path, teacher_ckpt ...
_WEIGHTS = re.compile('pretrain|checkpoint|ckpt|weights')


class _Held:
    """Keeps the teacher out of the module tree: no state dict, no optimiser, no EMA sees it."""

    def __init__(self, module: BaseModel) -> None:
        self.module = module

    def __deepcopy__(self, memo: Dict[int, Any]) -> '_Held':
        return self


class HeldTeacher(BaseModel):
    """Holds :attr:`teacher` beside the modules, in evaluation mode for good; copies share it.

    Attributes:
        teacher_is_random: neither a checkpoint nor its config gives it weights.
        teacher_was_initialised: ``init_weights`` has initialised it.
    """

    teacher_was_initialised = False

    @property
    def teacher(self) -> BaseModel:
        """The frozen teacher; not a sub-module."""
        return self._held.module

    def _hold_teacher(self) -> None:
        """Take the teacher, which MMRazor has made a module, out of the modules."""
        self._held = _Held(self._modules.pop('teacher'))

    def _weigh_teacher(self, given: Any, checkpoint: Union[str, Sequence[Any], None]) -> None:
        """Give the teacher its weights, or leave that to ``init_weights``.

        Args:
            given: its config, or the built model.
        """
        self._teacher_needs_init = (isinstance(given, dict)
                                    and not getattr(self.teacher, '_is_init', False))
        disable_inplace(self.teacher)
        if checkpoint:
            load_teacher(self.teacher, checkpoint)
            self._teacher_needs_init = (isinstance(self.teacher, Teachers)
                                        and not all(checkpoint))
        self.teacher_is_random = self._teacher_needs_init and not all(
            map(_names_weights, self._without(given, checkpoint)))
        self.teacher.eval()

    def _without(self, given: Dict[str, Any], checkpoint: Any) -> List[Any]:
        """What was given of the networks that have no checkpoint."""
        if not isinstance(self.teacher, Teachers):
            return [given]
        files = checkpoint if isinstance(checkpoint, (list, tuple)) else []
        return [one for number, one in enumerate(given['teachers'])
                if number >= len(files) or not files[number]]

    def train(self, mode: bool = True) -> 'HeldTeacher':
        nn.Module.train(self, mode)
        self.teacher.eval()
        return self


def _names_weights(config: Any) -> bool:
    """Whether something in the config of a network may read weights: an ``init_cfg`` of a file, or
    an argument of timm's and others' wrappers. A network that is built already is as it is."""
    if isinstance(config, Mapping):
        return any(_names_weights(value) or bool(
        _WEIGHTS.search(str(key)) and not isinstance(value, torch.Tensor) and value)
                   for key, value in config.items())
    if isinstance(config, (list, tuple)):
        return any(map(_names_weights, config))
    return isinstance(config, nn.Module)
