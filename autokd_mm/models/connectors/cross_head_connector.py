"""The rest of the teacher's head as a connector."""
from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any, Dict, Optional, Sequence

from mmrazor.models.architectures.connectors.base_connector import BaseConnector
from torch import Tensor, nn

from autokd_mm.errors import ConfigError, nearest
from autokd_mm.registry import MODELS


class _Borrowed:
    """A teacher, and a frozen copy of some of its modules; shared by all copies of a model, and no
    part of any: no state dict, no optimiser and no ``train()`` reaches it."""

    def __init__(self) -> None:
        self.teacher: Optional[nn.Module] = None
        self.modules: Optional[nn.Sequential] = None

    def __deepcopy__(self, memo: Dict[int, Any]) -> '_Borrowed':
        return self


@MODELS.register_module()
class CrossHeadConnector(BaseConnector):
    """A feature of the student's head goes through modules of the teacher's head, one behind
    another: cross-head predictions.

    They are frozen and in evaluation mode for good, so normalisations use the teacher's statistics;
    the gradient flows through them to the feature. They are copied from the teacher when the first
    feature comes, onto its device. Nothing of them is in a checkpoint.

    Shapes: N x C x H x W -> that of the last module.

    Args:
        modules: their names in the teacher, such as ``['bbox_head.cls_convs.3',
            'bbox_head.retina_cls']``.
        init_cfg: as in MMEngine.

    Raises:
        ConfigError: ``modules`` is no list of names; in ``forward``, nobody has shown it a teacher
            (``borrow``), or the first module takes another number of channels.

    Source: Wang et al. (CrossKD), CVPR 2024, section 3.2.
    """

    def __init__(self, modules: Sequence[str], init_cfg: Optional[Dict] = None) -> None:
        super().__init__(init_cfg)
        if isinstance(modules, str) or not modules or \
                not all(isinstance(name, str) for name in modules):
            raise ConfigError("CrossHeadConnector.modules must be a list of names of the teacher's "
                              f'modules, got {modules!r}')
        self.names = tuple(modules)
        self._borrowed = _Borrowed()

    def borrow(self, teacher: Optional[nn.Module], key: str) -> None:
        """Take the modules from this teacher.

        Args:
            teacher: with the weights that it has when the first feature comes.
            key: of the config, for the message.

        Raises:
            ConfigError: it has no such module.
        """
        known = {} if teacher is None else dict(teacher.named_modules())
        for name in self.names if teacher is not None else ():
            if name not in known:
                raise ConfigError(f'{key}: {nearest(name, [one for one in known if one])}')
        self._borrowed = _Borrowed()
        self._borrowed.teacher = teacher

    def forward_train(self, feature: Tensor) -> Tensor:
        modules = self._borrowed.modules
        if modules is None:
            modules = self._borrowed.modules = self._copied(feature)
        return modules(feature)

    def _copied(self, feature: Tensor) -> nn.Sequential:
        teacher = self._borrowed.teacher
        if teacher is None:
            raise ConfigError("CrossHeadConnector: there is no teacher whose modules it could run "
                              'through; use it in a mmrazor.FrozenTeacherDistill')
        found = [_without_hooks(teacher.get_submodule(name)) for name in self.names]
        takes, width = getattr(found[0], 'in_channels', None), feature.shape[1]
        if takes not in (None, width):
            raise ConfigError(f'CrossHeadConnector.modules: {self.names[0]!r} of the teacher takes '
                              f"{takes} channels, and the student's feature has {width}")
        return nn.Sequential(*found).requires_grad_(False).eval().to(feature.device)

    def extra_repr(self) -> str:
        return f'modules={list(self.names)}'


def _without_hooks(module: nn.Module) -> nn.Module:
    """A copy to which nobody listens, as recorders do to the module."""
    nobody: Dict[int, Any] = {id(one._forward_hooks): OrderedDict() for one in module.modules()}
    return copy.deepcopy(module, nobody)
