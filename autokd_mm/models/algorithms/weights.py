"""Weights that a training starts from: whose they are, and which of them fit."""
from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

import torch

from autokd_mm.errors import CheckpointError
from autokd_mm.models.backbones.convert import to_classifier_state_dict

# How a distillation names its student's weights.
PREFIX = 'architecture.'
# In front of a network's names in files of others: wrappers, algorithms, other trainers.
_PREFIXES = ('', 'module.', PREFIX, 'module.' + PREFIX, 'student.', 'model.', 'model.' + PREFIX,
             'detector.', 'segmentor.', 'classifier.', 'backbone.', 'encoder.')
_SHOWN = 4

Weights = Mapping[str, torch.Tensor]


class Start(NamedTuple):
    """What of a file a network starts with.

    Attributes:
        fits: values by the network's own names.
        differ: (name, shape in the file, shape in the network); no counters of batches here.
        missing: names of the network that the file does not have; neither.
        tensors: so many the network has, counters left out.
        share: of the network's numbers that fit.
    """
    fits: Dict[str, torch.Tensor]
    differ: List[Tuple[str, Tuple[int, ...], Tuple[int, ...]]]
    missing: List[str]
    tensors: int
    share: float

    def in_words(self, path: str) -> str:
        """One line; which tensors are left out, and what stays as initialised."""
        there = self.tensors - len(self.differ) - len(self.missing)
        line = f'{path}: {there} of {self.tensors} tensors fit ({self.share:.1%} of the numbers)'
        if self.differ:
            line += '; left out because of their shape: ' + _listed(
                [f'{name} {there} there and {here} here' for name, there, here in self.differ])
        if self.missing:
            line += '; not there: ' + _listed(self.missing)
        return line + ('; these stay as initialised' if self.differ or self.missing else '')


def _listed(names: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    more = f' and {len(names) - _SHOWN} more' if len(names) > _SHOWN else ''
    return ', '.join(names[:_SHOWN]) + more


def start(own: Weights, weights: Mapping[str, Any], key: str, path: str) -> Start:
    """The weights of a file that fit a network, however the file names them.

    It may be a training checkpoint or an exported student, of a distillation or not, with the
    prefix of a wrapper or without one, one of the published CIFAR networks, a backbone alone. Of
    all readings the one counts under which most numbers fit. A head for other classes is left out.

    Args:
        own: state dict of the network.
        weights: state dict in the file.
        key: config key that named the file.
        path: of the file.

    Raises:
        CheckpointError: nothing fits, or more tensors have another shape than fit, as in a network
            of another width.
    """
    tensors = {name: value for name, value in weights.items() if isinstance(value, torch.Tensor)}
    best = max((_under(own, named) for named in _readings(tensors)),
               key=lambda found: (found.share, len(found.differ)))
    fitting = best.tensors - len(best.differ) - len(best.missing)
    if fitting and len(best.differ) <= fitting:
        return best
    if best.differ:
        name, there, here = best.differ[0]
        why = f'first that differs: {name} has shape {there} there and {here} here'
    else:
        why = (f'the file begins with {next(iter(tensors), "nothing")}, '
               f'the network with {next(iter(own), "nothing")}')
    raise CheckpointError(f'{key}: {path} is of another network: {fitting} of the {best.tensors} '
                          f'tensors here fit, {len(best.differ)} have another shape ({why})')


def _readings(tensors: Weights) -> List[Weights]:
    """The file's weights under every name that they may be meant by."""
    found: List[Weights] = []
    for prefix in _PREFIXES:
        named = {name[len(prefix):]: value for name, value in tensors.items()
                 if name.startswith(prefix)}
        if named:
            found += [named, {f'backbone.{name}': value for name, value in named.items()},
                      to_classifier_state_dict(named)]
    return found or [{}]


def _under(own: Weights, named: Weights) -> Start:
    wanted = {name: value for name, value in own.items() if value.is_floating_point()}
    fits = {name: named[name] for name, value in own.items()
            if name in named and named[name].shape == value.shape}
    differ = [(name, tuple(named[name].shape), tuple(value.shape))
              for name, value in wanted.items() if name in named and name not in fits]
    missing = [name for name in wanted if name not in named]
    there = sum(value.numel() for name, value in wanted.items() if name in fits)
    return Start(fits, differ, missing, len(wanted),
                 there / max(1, sum(value.numel() for value in wanted.values())))
