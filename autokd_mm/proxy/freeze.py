"""A sparse update that saves time: the student's first stages take no gradient and no graph.

Behind the images nothing requires a gradient until the first trainable parameter, so autograd
builds no graph for stages in front of it: their activations are not kept and their backward pass
is not made. That is why frozen stages must come first, and why no more is needed than parameters
without gradient; a copy of the network is frozen as well.

BatchNorm in frozen stages goes on as in training: batch statistics forward, running ones for the
evaluation. With the initial weights and the initial running statistics (mean 0, variance 1) it
would not normalise at all, and the features would not be those that the first step of a full
training sees; a calibration would give running statistics that differ from a batch's and cost a
pass for each seed, for a few percent of a step.
"""
from __future__ import annotations

from typing import Any, Dict, Iterator, List, Sequence, Set, Tuple

import torch
from torch import nn

from autokd_mm.errors import ConfigError
from autokd_mm.layers.capture import find_layer
from autokd_mm.models.distillers import split_source, stop_when

_NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)
KEY = 'proxy.frozen'


def freeze(model: nn.Module, names: Sequence[str]) -> nn.Module:
    """Take the gradient from the named modules' parameters; returns ``model``.

    Whether that makes sense for the network is :func:`first_stages`' question.

    Raises:
        ConfigError: there is no such module, or it has no parameters.
    """
    for name in names:
        parameters = list(find_layer(model, name, KEY).parameters())
        if not parameters:
            raise ConfigError(f'{KEY}: {name!r} has no parameters')
        for parameter in parameters:
            parameter.requires_grad_(False)
    return model


def first_stages(model: nn.Module, names: Sequence[str], features: Sequence[str],
                 inputs: torch.Tensor) -> Tuple[str, ...]:
    """Check that the named modules are the first ones that run; freezes them in ``model``.

    Normalisations between them are frozen with them, for a trainable one would need the graph of
    everything behind it: ``('backbone.conv1', 'backbone.layer1')`` includes ``backbone.bn1``.

    Args:
        model: the student; run once, in evaluation mode.
        features: names of the layers that are distilled (``'neck[2]'`` is the whole neck).
        inputs: B x C x H x W, normalised.

    Returns:
        The modules to freeze: ``names`` and the normalisations between them.

    Raises:
        ConfigError: an unknown name, a module that does not run on the way to the features,
            something trainable in front of a named module, or nothing trainable up to one of
            the features.
    """
    frozen = tuple(names)
    if not frozen:
        return frozen
    freeze(model, frozen)
    features = tuple(dict.fromkeys(split_source(feature)[0] for feature in features))
    owners = {id(parameter): (owner, module) for owner, module in model.named_modules()
              for parameter in module.parameters(recurse=False)}
    outputs = _outputs(model, names, features, inputs)
    _refuse_all(outputs, features)
    for name in names:
        if name not in outputs:
            raise ConfigError(f'{KEY}: {name!r} does not run before '
                              f'layers.student={features[-1]!r}')
    before: Dict[str, nn.Module] = {}
    culprits: Dict[str, Set[str]] = {}
    for name in names:
        for tensor in outputs[name]:
            for parameter in _leaves(tensor):
                owner, module = owners[id(parameter)]
                before[owner] = module
                culprits.setdefault(name, set()).add(owner)
    for name, found in culprits.items():
        others = sorted(owner for owner in found if not isinstance(before[owner], _NORMS))
        if others:
            shown = ', '.join(others[:4]) + (' ...' if len(others) > 4 else '')
            raise ConfigError(f'{KEY}: trainable layers run before {name!r} ({shown}); only the '
                              'first stages can be frozen, without a gap')
    frozen += tuple(sorted(before))
    freeze(model, frozen)
    if before:
        _refuse_all(_outputs(model, (), features, inputs), features)
    return frozen


def _refuse_all(outputs: Dict[str, List[torch.Tensor]], features: Sequence[str]) -> None:
    for feature in features:
        if not any(tensor.requires_grad for tensor in outputs[feature]):
            raise ConfigError(f'{KEY}: everything up to layers.student={feature!r} is frozen, so '
                              'distillation has nothing to train; leave its last stage out')


def _outputs(model: nn.Module, names: Sequence[str], features: Sequence[str],
             inputs: torch.Tensor) -> Dict[str, List[torch.Tensor]]:
    """The tensors of each named module that ran up to the last feature, with their graph."""
    found: Dict[str, List[torch.Tensor]] = {}

    def keep(name: str) -> Any:

        def hook(module: nn.Module, args: Any, output: Any) -> None:
            found.setdefault(name, []).extend(_tensors(output))

        return hook

    modules = {name: find_layer(model, name, KEY) for name in (*names, *features)}
    handles = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    model.eval()
    try:
        # What runs behind the features is no early stage.
        with torch.enable_grad(), stop_when(
                list(modules.values()), lambda: all(name in found for name in features)):
            model(inputs, mode='tensor')
    finally:
        for handle in handles:
            handle.remove()
    return found


def _tensors(output: Any) -> Iterator[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        yield output
    elif isinstance(output, dict):
        for value in output.values():
            yield from _tensors(value)
    elif isinstance(output, (list, tuple)):
        for value in output:
            yield from _tensors(value)


def _leaves(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """The parameters that a tensor's graph leads to."""
    todo, seen = [tensor.grad_fn], set()
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, 'variable'):
            yield node.variable
        todo.extend(following for following, _ in node.next_functions)
