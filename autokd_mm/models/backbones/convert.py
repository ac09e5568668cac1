"""Published CIFAR checkpoints in the key names of an mmpretrain ``ImageClassifier``.

Which names those are, and of which networks, is in ``published.py``.
"""
import re
from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple

import torch
from torch import Tensor

from autokd_mm.errors import CheckpointError, ConfigError, nearest
from autokd_mm.models.backbones.published import FAMILIES, NETWORKS, Family
from autokd_mm.registry import MODELS

_OURS = ('backbone.', 'neck.', 'head.')


class _Read(NamedTuple):
    """A published state dict as one family reads it."""
    family: Family
    weights: Dict[str, Any]
    strange: Tuple[str, ...]  # published keys that are not the family's

    @property
    def fits(self) -> bool:
        return not self.strange


def unwrap(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """The state dict of a checkpoint, which may lie under 'state_dict' or 'model'.

    Raises:
        CheckpointError: there is no state dict.
    """
    for key in ('state_dict', 'model'):
        if isinstance(checkpoint, Mapping) and isinstance(checkpoint.get(key), Mapping):
            checkpoint = checkpoint[key]
            break
    if (not isinstance(checkpoint, Mapping) or not checkpoint
            or not all(isinstance(value, Tensor) for value in checkpoint.values())):
        raise CheckpointError('the checkpoint holds no state dict')
    return checkpoint


def _read(family: Family, state_dict: Mapping[str, Any]) -> _Read:
    weights, strange = {}, []
    for published, value in state_dict.items():
        key = str(published)
        key = key[len('module.'):] if key.startswith('module.') else key
        head = re.fullmatch(rf'({family.head})\.(weight|bias)', key)
        ours = family.rename(key)
        name = f'head.fc.{head[2]}' if head else ours and f'backbone.{ours}'
        if not name or name in weights:  # in weights: a second head
            strange.append(str(published))
        else:
            weights[name] = value
    for key in [key for key in weights if key.endswith('.running_mean')]:
        counter = key.replace('.running_mean', '.num_batches_tracked')
        weights.setdefault(counter, torch.tensor(0, dtype=torch.long))
    return _Read(family, weights, tuple(strange))


def _best(state_dict: Mapping[str, Any]) -> _Read:
    """As the first family that knows all names reads it, or the one that knows the most."""
    return min((_read(family, state_dict) for family in FAMILIES),
               key=lambda read: len(read.strange))


def to_classifier_state_dict(state_dict: Mapping[str, Any]) -> Mapping[str, Any]:
    """A published CIFAR network's weights under ``backbone.*`` and ``head.fc.*``.

    Args:
        state_dict: of a published checkpoint, or of anything else.

    Returns:
        The renamed weights. BatchNorm counters that the file lacks are zero. A state dict with
        even one name that is not of the published networks (ours, or another network's) comes
        back unchanged, so that it is safe to call on any teacher.
    """
    read = _best(state_dict)
    return read.weights if read.fits else state_dict


def infer_arch(state_dict: Mapping[str, Any]) -> Tuple[Dict[str, Any], int]:
    """The backbone that a published state dict belongs to.

    Returns:
        Its config, such as ``dict(type='mmrazor.CifarVGG', depth=13)``, and the number of classes.

    Raises:
        CheckpointError: it is not the state dict of a published CIFAR network with a linear head.
    """
    return _infer(_checked(state_dict))


def _checked(published: Mapping[str, Any]) -> _Read:
    if all(str(key).startswith(_OURS) for key in published):
        raise CheckpointError('its names are those of an ImageClassifier already: nothing to '
                              'convert')
    read = _best(published)
    if not read.fits:
        raise CheckpointError(f'not a published CIFAR network: for a {read.family.title} it has '
                              f'{len(read.strange)} unknown keys such as {read.strange[0]}')
    return read


def _infer(read: _Read) -> Tuple[Dict[str, Any], int]:
    try:
        return read.family.arch(read.weights), read.weights['head.fc.weight'].shape[0]
    except KeyError as error:
        raise CheckpointError(f'not a published {read.family.title}: no weight that would become '
                              f'{error.args[0]}') from None


def convert_checkpoint(checkpoint: Mapping[str, Any],
                       arch: Optional[str] = None) -> Tuple[Dict[str, Tensor], Dict[str, Any]]:
    """Convert strictly: every key of the file is used, every weight of the network is filled.

    Args:
        checkpoint: what ``torch.load`` returned.
        arch: the network it should be, one of ``NETWORKS``; None takes whatever it is.

    Returns:
        The state dict of an ``ImageClassifier`` and the backbone's config.

    Raises:
        CheckpointError: in one line, what is wrong with the file.
        ConfigError: there is no such ``arch``.
    """
    if arch is not None and arch not in NETWORKS:
        raise ConfigError(f'arch: {nearest(arch, NETWORKS)}')
    read = _checked(unwrap(checkpoint))
    config, classes = _infer(read)
    label = read.family.label(config)
    if arch is not None and label != arch:
        raise CheckpointError(f'the checkpoint is a {label}, not a {arch}')
    backbone = MODELS.build(dict(config))
    channels = getattr(backbone, 'out_channels', None) or backbone.feat_dim
    wanted = {f'backbone.{key}': value.shape for key, value in backbone.state_dict().items()}
    wanted['head.fc.weight'] = torch.Size((classes, channels))
    wanted['head.fc.bias'] = torch.Size((classes, ))
    for what, keys in (('has no', wanted.keys() - read.weights.keys()),
                       ('has an unknown', read.weights.keys() - wanted.keys())):
        if keys:
            raise CheckpointError(f'the checkpoint {what} {min(keys)} '
                                  f'({len(keys)} such keys) for a {label}')
    for key, shape in wanted.items():
        if read.weights[key].shape != shape:
            raise CheckpointError(f'{key} has shape {tuple(read.weights[key].shape)}, '
                                  f'a {label} needs {tuple(shape)}')
    return read.weights, config
