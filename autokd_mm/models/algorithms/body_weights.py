"""Weights of a network that is the body of another one: of timm in a backbone, of a bare one."""
from __future__ import annotations

from typing import Any, Dict, List, Mapping

import torch
from torch import nn


def of_body(model: nn.Module, weights: Mapping[str, Any],
            own: Mapping[str, torch.Tensor]) -> Mapping[str, Any]:
    """``weights`` under the names that they have in ``model``, where it is a network around the one
    that they are of; else as they are.

    Around it are modules that hold nothing else, such as MMPretrain's ``TIMMBackbone``. Where timm
    gives features alone it writes ``layers_0`` for ``layers.0``.

    Args:
        own: state dict of the model.
    """
    if sum(name in own for name in weights) * 2 > len(own):
        return weights
    found: Dict[str, Any] = {}
    for prefix in _prefixes(model):
        names = {_plain(name[len(prefix):]): name for name in own if name.startswith(prefix)}
        renamed = {names.get(_plain(name), name): value for name, value in weights.items()}
        if sum(name in own for name in renamed) > sum(name in own for name in found):
            found = renamed
    return found or weights


def _plain(name: str) -> str:
    return name.replace('_', '.')


def _prefixes(model: nn.Module) -> List[str]:
    """Names of the modules that a model consists of, each the only one in the one before that has
    weights."""
    found, prefix = [''], ''
    while True:
        children = [(name, child) for name, child in model.named_children()
                    if next(iter(child.state_dict()), None) is not None]
        if len(children) != 1 or any(True for _ in model.parameters(recurse=False)):
            return found
        name, model = children[0]
        prefix += f'{name}.'
        found.append(prefix)
