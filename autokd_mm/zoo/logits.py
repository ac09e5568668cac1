"""Where a network says its logits."""
from __future__ import annotations

import inspect
from typing import Dict, Optional

import torch
from torch import nn

from autokd_mm.zoo.listening import Heard, identity

DISTILLED = 'head.layers.head_dist'


def logits_of(heard: Heard) -> Optional[str]:
    """The innermost module whose output is what the network returns, or of maps the same as tokens
    of shape N x (H x W) x classes; ``None`` where it returns no single tensor of logits, or no
    module gives it."""
    result = heard.result
    if not isinstance(result, torch.Tensor) or result.dim() not in (2, 4):
        return None
    modules = dict(heard.network.named_modules())
    once = {name: said.tensors[0] for name, said in heard.said.items()
            if said.plain and said.calls == 1 and not _sees_labels(modules.get(name))}
    names = [name for name, tensor in once.items() if identity(tensor) == identity(result)]
    if not names and result.dim() == 4:  # Segmenter's head ends in no module
        tokens = result.flatten(2).transpose(1, 2)
        names = [name for name, tensor in once.items() if torch.equal(tensor, tokens)]
    return max(names, key=lambda name: (name.count('.'), -heard.said[name].order), default=None)


def _sees_labels(module: Optional[nn.Module]) -> bool:
    """Whether a head says something else in training, as ArcFace's, which adds a margin."""
    return module is not None and 'target' in inspect.signature(module.forward).parameters


def class_layers(heard: Heard) -> Dict[str, int]:
    """Channels of the layers of a detector's dense head that score classes, by name."""
    classes = getattr(getattr(heard.network, 'bbox_head', None), 'num_classes', 0)
    return {name: module.out_channels for name, module in heard.network.named_modules()
            if name.startswith('bbox_head.') and 'cls' in name and isinstance(module, nn.Conv2d)
            and name in heard.said and classes and module.out_channels % classes == 0}


def distillation_token(heard: Heard) -> Optional[str]:
    """The module whose output are the predictions of a DeiT's head with two tokens, of which
    :data:`DISTILLED` learns from the teacher."""
    modules = dict(heard.network.named_modules())
    return 'head.scores' if 'head.scores' in modules and DISTILLED in modules else None
