"""Teachers that give features and nothing of the student's task."""
from __future__ import annotations

import inspect
from typing import Any, Dict, List, Mapping, Optional, Union

import torch
from mmengine.model import BaseModel
from torch import nn

from autokd_mm.registry import MODELS

_PACKAGES = ('mmdet', 'mmpretrain', 'mmseg')


@MODELS.register_module()
class BareTeacher(BaseModel):
    """A network without a head, such as ``mmpretrain.TIMMBackbone``, as a teacher of features.

    ``model.teacher`` may be the config of such a network; it is then put in here. Its layers are
    ``'backbone'`` and below.

    Args:
        backbone: its config, or the built network.
        data_preprocessor: of its images; one without a type is MMEngine's ``ImgDataPreprocessor``.
            ``None``: it sees the student's images.
    """

    def __init__(self, backbone: Union[nn.Module, Mapping[str, Any]],
                 data_preprocessor: Optional[Mapping[str, Any]] = None) -> None:
        if data_preprocessor is not None:
            data_preprocessor = dict(dict(type='ImgDataPreprocessor'), **data_preprocessor)
        super().__init__(data_preprocessor)
        self.backbone = (backbone if isinstance(backbone, nn.Module)
                         else MODELS.build(dict(backbone)))

    def forward(self, inputs: torch.Tensor, data_samples: Optional[List[Any]] = None,
                mode: str = 'tensor') -> Any:
        """What the network returns for N x C x H x W images."""
        return self.backbone(inputs)


def with_body(teacher: Any) -> Any:
    """The config of a teacher; that of a network which is no model with a ``data_preprocessor``
    inside a :class:`BareTeacher`."""
    if not isinstance(teacher, Mapping) or 'type' not in teacher:
        return teacher
    kind = teacher['type']
    found = MODELS.get(kind) if isinstance(kind, str) else kind
    if not inspect.isclass(found) or not issubclass(found, nn.Module) \
            or issubclass(found, BaseModel):
        return teacher
    backbone = dict(teacher)
    own: Dict[str, Any] = {}
    if 'data_preprocessor' in backbone:
        own['data_preprocessor'] = backbone.pop('data_preprocessor')
    return dict(type='mmrazor.BareTeacher', backbone=backbone, **own)


def predicts_as(teacher: nn.Module, student: nn.Module) -> bool:
    """Whether a teacher makes the student's predictions: not where it has no head, or is a model of
    another task, as a classifier is for a detector."""
    if isinstance(teacher, BareTeacher) or getattr(teacher, 'head', 0) is None:
        return False
    kinds = [_kind(network) for network in (teacher, student)]
    return None in kinds or kinds[0] is kinds[1]


def _kind(network: nn.Module) -> Any:
    """The class of a package from which all models of its task come; ``None``: it is none of
    these."""
    kinds = [kind for kind in type(network).__mro__
             if kind.__module__.split('.')[0] in _PACKAGES and issubclass(kind, BaseModel)]
    return kinds[-1] if kinds else None
