"""What leaves the exported network, and which networks cannot be exported here."""
from __future__ import annotations

import inspect
from typing import Any, List, NoReturn, Tuple

import torch
from mmengine.model import BaseModel
from torch import nn

from autokd_mm.datasets.annotations import BOXES, LABEL, SEGMENTATION
from autokd_mm.errors import ConfigError
from autokd_mm.zoo.kinds import NO_TASK, WORDS, kind_of

_DEPLOY = {
    LABEL: 'configs/mmpretrain/classification_onnxruntime_dynamic.py',
    SEGMENTATION: 'configs/mmseg/segmentation_onnxruntime_dynamic.py',
    BOXES: 'configs/mmdet/detection/detection_onnxruntime_dynamic.py',
}
_DETR = 'configs/mmdet/detection/detection_detr_onnxruntime_dynamic.py'
_MASKS = 'configs/mmdet/instance-seg/instance-seg_onnxruntime_dynamic.py'


class Raw(nn.Module):
    """A network that takes images, N x C x H x W, and gives tensors in a row.

    - A classifier: the logits, N x classes.
    - A segmentor: the logits of each pixel, N x classes x H x W, in the size of the images.
    - A one-stage detector: what its head gives before boxes are decoded, one tensor for each kind
      and level.

    Raises:
        ConfigError: a two-stage detector, or one that ends in something else.
    """

    def __init__(self, network: BaseModel) -> None:
        super().__init__()
        self.network, self.kind = network, kind_of(network, 'CHECKPOINT')
        self.names: List[str] = []
        bases = {base.__name__ for base in type(network).__mro__}
        if self.kind == NO_TASK:
            raise ConfigError('--onnx: the network has no head, so it says nothing that is worth a '
                              'file')
        if self.kind == BOXES and not ('SingleStageDetector' in bases
                                       and hasattr(network, 'bbox_head')):
            what = 'a two-stage' if 'TwoStageDetector' in bases else 'no one-stage'
            refuse(network, f'is {what} detector, and chooses what it finds inside')

    @property
    def task(self) -> str:
        return WORDS[self.kind].split()[-1]

    def forward(self, images: torch.Tensor) -> Tuple[torch.Tensor, ...]:
        if self.kind == SEGMENTATION:
            size = tuple(images.shape[-2:])
            metas = [dict(img_shape=size, pad_shape=size, ori_shape=size,
                          padding_size=[0, 0, 0, 0])] * len(images)
            found = self.network.encode_decode(images, metas)
        else:
            found = self.network(images, mode='tensor')
        named = list(_named(found, self._words(found)))
        self.names = [name for name, _ in named]
        return tuple(tensor for _, tensor in named)

    def _words(self, found: Any) -> Any:
        """Names of the tensors, by their place in what the network gives."""
        if self.kind != BOXES:
            return 'logits'
        many = len(found) if isinstance(found, (list, tuple)) else 1
        for method in ('loss_by_feat', 'predict_by_feat'):
            names = _first_arguments(getattr(self.network.bbox_head, method, None))
            if len(names) == many or (names and method == 'predict_by_feat' and len(names) > many):
                return names[:many]
        return [f'output_{place}' for place in range(many)]


def _first_arguments(method: Any) -> List[str]:
    """Names of the arguments of a head's method that are its own outputs: ``cls_scores`` ..."""
    names: List[str] = []
    for name in inspect.signature(method).parameters if method else ():
        if name.startswith(('batch_', 'img_')) or name in ('cfg', 'rescale', 'kwargs', 'args'):
            break
        names.append(name)
    return names


def _named(found: Any, words: Any) -> Any:
    """Pairs of name and tensor; a list of tensors, such as of levels, is counted."""
    if isinstance(found, torch.Tensor):
        yield words, found
    elif isinstance(words, list):
        for word, item in zip(words, found):
            yield from _named(item, word)
    elif isinstance(found, (list, tuple)):
        many = len(found) > 1
        for place, item in enumerate(found):
            yield from _named(item, f'{words}_{place}' if many else words)


def refuse(network: BaseModel, why: str) -> NoReturn:
    """
    Raises:
        ConfigError: always; it names MMDeploy's command.
    """
    kind = kind_of(network, 'CHECKPOINT')
    bases = {base.__name__ for base in type(network).__mro__}
    config = _DEPLOY.get(kind, _DEPLOY[BOXES])
    if 'DetectionTransformer' in bases:
        config = _DETR
    elif getattr(network, 'with_mask', False) or 'SingleStageInstanceSegmentor' in bases:
        config = _MASKS
    raise ConfigError(
        f'--onnx: {type(network).__name__} {why}; MMDeploy exports it, in its own checkout: python '
        f'tools/deploy.py {config} STUDENT_CONFIG STUDENT_WEIGHTS IMAGE --work-dir onnx')
