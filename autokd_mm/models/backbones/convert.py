"""Published CIFAR ResNet checkpoints in the key names of an mmpretrain ``ImageClassifier``.

Three families use the same names up to details: akamaster/pytorch_resnet_cifar10 (``linear.*``,
zero-padded shortcut, no ``num_batches_tracked``), chenyaofo/pytorch-cifar-models and the CRD
teachers (``fc.*``, ``downsample.0`` and ``.1``).

========================================  =============================
published                                 ours
========================================  =============================
conv1, bn1, layer[1-3].N.{conv,bn}[12]    backbone.<the same>
layer[1-3].N.{downsample,shortcut}.[01]   backbone.layer[1-3].N.downsample.[01]
linear, fc                                head.fc
========================================  =============================
"""
import re
from typing import Any, Dict, Mapping, Optional, Tuple

import torch
from torch import Tensor

from autokd_mm.models.backbones.cifar_resnet import DEPTHS, CifarResNet
from autokd_mm.space.errors import ConfigError, nearest

_BACKBONE = re.compile(r'(conv1|bn1|layer[123]\.\d+\.(conv[12]|bn[12]|downsample\.[01]))\.\w+')
_OURS = ('backbone.', 'neck.', 'head.')
_HEAD = re.compile(r'(?:linear|fc)\.(weight|bias)')


def unwrap(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """The state dict of a checkpoint, which may lie under 'state_dict' or 'model'.

    Raises:
        ConfigError: there is no state dict.
    """
    for key in ('state_dict', 'model'):
        if isinstance(checkpoint, Mapping) and isinstance(checkpoint.get(key), Mapping):
            checkpoint = checkpoint[key]
            break
    if (not isinstance(checkpoint, Mapping) or not checkpoint
            or not all(isinstance(value, Tensor) for value in checkpoint.values())):
        raise ConfigError('the checkpoint holds no state dict')
    return checkpoint


def _rename(key: str) -> Optional[str]:
    key = key[len('module.'):] if key.startswith('module.') else key
    head = _HEAD.fullmatch(key)
    if head:
        return f'head.fc.{head[1]}'
    key = key.replace('.shortcut.', '.downsample.')
    return f'backbone.{key}' if _BACKBONE.fullmatch(key) else None


def to_classifier_state_dict(state_dict: Mapping[str, Any]) -> Dict[str, Tensor]:
    """A published CIFAR ResNet's weights under ``backbone.*`` and ``head.fc.*``.

    Args:
        state_dict: of a published checkpoint, or of anything else.

    Returns:
        The renamed weights. BatchNorm counters that the file lacks are zero. A state dict with
        even one name that is not of the published networks (ours, or another network's) comes
        back unchanged, so that it is safe to call on any teacher.
    """
    renamed = {_rename(str(key)): value for key, value in state_dict.items()}
    if None in renamed or len(renamed) != len(state_dict):
        return state_dict  # type: ignore[return-value]
    for key in [key for key in renamed if key and key.endswith('.running_mean')]:
        counter = key.replace('.running_mean', '.num_batches_tracked')
        renamed.setdefault(counter, torch.tensor(0, dtype=torch.long))
    return renamed  # type: ignore[return-value]


def infer_arch(state_dict: Mapping[str, Tensor]) -> Tuple[Dict[str, Any], int]:
    """The :class:`CifarResNet` arguments that a converted state dict belongs to.

    Returns:
        ``dict(depth, base_channels, in_channels, shortcut)`` and the number of classes.

    Raises:
        ConfigError: it is not the state dict of a CIFAR ResNet with a linear head.
    """
    try:
        stem, fc = state_dict['backbone.conv1.weight'], state_dict['head.fc.weight']
    except KeyError as error:
        raise ConfigError('not a published CIFAR ResNet: no weight that would become '
                          f'{error.args[0]}') from None
    blocks = {key.split('.')[2] for key in state_dict if key.startswith('backbone.layer1.')}
    depth = 6 * len(blocks) + 2
    if depth not in DEPTHS:
        raise ConfigError(f'not a published CIFAR ResNet: depth {nearest(depth, DEPTHS)}')
    conv = any('.downsample.' in key for key in state_dict)
    arch = dict(depth=depth, base_channels=stem.shape[0], in_channels=stem.shape[1],
                shortcut='conv' if conv else 'pad')
    return arch, fc.shape[0]


def convert_checkpoint(checkpoint: Mapping[str, Any],
                       depth: Optional[int] = None) -> Tuple[Dict[str, Tensor], Dict[str, Any]]:
    """Convert strictly: every key of the file is used, every weight of the network is filled.

    Args:
        checkpoint: what ``torch.load`` returned.
        depth: of the network it should be; None takes whatever it is.

    Returns:
        The state dict of an ``ImageClassifier`` and the backbone's config.

    Raises:
        ConfigError: in one line, what is wrong with the file.
    """
    published = unwrap(checkpoint)
    state_dict = to_classifier_state_dict(published)
    if state_dict is published and not all(key.startswith(_OURS) for key in published):
        strange = [key for key in published if _rename(key) is None]
        raise ConfigError('not a published CIFAR ResNet: it has ' + (
            f'{len(strange)} unknown keys such as {strange[0]}' if strange else 'two heads'))
    arch, classes = infer_arch(state_dict)
    if depth is not None and arch['depth'] != depth:
        raise ConfigError(f'the checkpoint is a ResNet-{arch["depth"]}, not a ResNet-{depth}')
    backbone = CifarResNet(**arch)
    wanted = {f'backbone.{key}': value.shape for key, value in backbone.state_dict().items()}
    wanted['head.fc.weight'] = torch.Size((classes, backbone.out_channels))
    wanted['head.fc.bias'] = torch.Size((classes, ))
    for what, keys in (('has no', wanted.keys() - state_dict.keys()),
                       ('has an unknown', state_dict.keys() - wanted.keys())):
        if keys:
            raise ConfigError(f'the checkpoint {what} {min(keys)} '
                              f'({len(keys)} such keys) for a ResNet-{arch["depth"]}')
    for key, shape in wanted.items():
        if state_dict[key].shape != shape:
            raise ConfigError(f'{key} has shape {tuple(state_dict[key].shape)}, '
                              f'a ResNet-{arch["depth"]} needs {tuple(shape)}')
    return state_dict, dict(type='mmrazor.CifarResNet', **arch)
