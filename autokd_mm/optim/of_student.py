"""Optimiser constructors that look at a network, such as those of layer-wise decay."""
from __future__ import annotations

import copy
from typing import Any, Dict, Optional

from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as ALL_CONSTRUCTORS
from torch import nn

from autokd_mm.registry import OPTIM_WRAPPER_CONSTRUCTORS

# Where the config's own constructor is kept, and how a distillation names the student's weights.
INNER = 'constructor_of_student'
PREFIX = 'architecture.'


class StudentView(nn.Module):
    """A distillation in the shape of its student: the student's modules, parameters, methods and
    names, and behind them the distiller's modules under ``distiller``, if it has parameters."""

    def __init__(self, student: nn.Module, distiller: nn.Module) -> None:
        super().__init__()
        self.__dict__['_seen'] = student  # not as a sub-module
        self._modules.update(student._modules)
        self._parameters.update(student._parameters)
        if any(True for _ in distiller.parameters()):
            self._modules['distiller'] = distiller

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__['_seen'], name)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class StudentOptimWrapperConstructor:
    """Lets a constructor of mmpretrain, mmdet or mmseg see the student of a distillation.

    Those that decay learning rates by layer ask the network for the depth of a parameter, or look
    for names that begin with ``backbone``. What the distiller trains gets what they give a head.
    :func:`~autokd_mm.optim.config.usable` puts this class into a config.

    Args:
        optim_wrapper_cfg: of MMEngine's constructors; ``constructor_of_student`` in it is the
            type of the constructor that is asked.
        paramwise_cfg: of that constructor. Keys of ``custom_keys`` may be the names in a
            checkpoint of the distillation (``architecture.backbone``) or the student's own.
    """

    def __init__(self, optim_wrapper_cfg: Dict[str, Any],
                 paramwise_cfg: Optional[Dict[str, Any]] = None) -> None:
        config, paramwise = copy.deepcopy(optim_wrapper_cfg), copy.deepcopy(paramwise_cfg)
        inner = config.pop(INNER)
        if paramwise and paramwise.get('custom_keys'):
            paramwise['custom_keys'] = {
                key[len(PREFIX):] if key.startswith(PREFIX) else key: value
                for key, value in paramwise['custom_keys'].items()}
        self.inner = ALL_CONSTRUCTORS.build(
            dict(type=inner, optim_wrapper_cfg=config, paramwise_cfg=paramwise))

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """The optimiser of a distillation, or of a wrapper around one."""
        model = getattr(model, 'module', model)
        assert isinstance(model.architecture, nn.Module) and isinstance(model.distiller, nn.Module)
        return self.inner(StudentView(model.architecture, model.distiller))
