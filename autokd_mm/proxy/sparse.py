"""Dynamic sparse training: few weights at a time, and which ones is learnt as well."""
from __future__ import annotations

import math
from typing import Any, Dict, Mapping, Optional

import torch
from torch import nn

from autokd_mm.errors import CheckpointError, ConfigError
from autokd_mm.seeding import derive

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class SparseMasks:
    """Sparse evolutionary training of a network (SET, Mocanu et al., Nature Communications 2018).

    A random share of the weights is there, the others are zero. Now and then the ``death_rate``
    of each layer's weights that are smallest in magnitude are dropped, and as many grow elsewhere
    at random, from zero. The death rate falls with the cosine of the training's progress
    (Dettmers & Zettlemoyer, arXiv:1907.04840), so that the last masks can be trained.

    Layers differ in density as an Erdos-Renyi random graph's do, with the kernel counted in
    (:func:`layer_densities`). Biases and normalisations stay dense as in those papers, and so do
    weights without gradient: freeze before. No layer is left out by its name: the rule makes small
    layers, such as the first and the classifier, dense by itself.

    On dense kernels this saves no time; it changes what a short training can learn.

    Args:
        model: its convolutions and linear layers are masked, at once.
        density: share in (0, 1] of all masked layers' weights that are there.
        death_rate: share in [0, 1) of a layer's weights that is replaced, at first.
        interval: steps between replacements.
        seed: of the masks; the same on all ranks.
        steps: length of the training.
        masks: of :meth:`state_dict`, to go on where a training was interrupted.

    Attributes:
        masks: parameter name -> boolean tensor of the weight's shape and device.

    Raises:
        ConfigError: an argument is out of range, or nothing can be masked.
        CheckpointError: ``masks`` are of another network.
    """

    def __init__(self, model: nn.Module, density: float = 0.05, death_rate: float = 0.5,
                 interval: int = 20, seed: int = 0, steps: int = 1,
                 masks: Optional[Mapping[str, torch.Tensor]] = None) -> None:
        check_sparse(density, death_rate, interval)
        self.death_rate, self.interval, self.seed = death_rate, interval, seed
        self.steps = max(1, steps)
        self.weights = _weights(model)
        if not self.weights:
            raise ConfigError(f'sparse: {type(model).__name__} has no trainable convolution or '
                              'linear layer')
        self.masks = self._random(density) if masks is None else self._given(masks)
        self.apply()

    def _random(self, density: float) -> Dict[str, torch.Tensor]:
        shares = layer_densities({name: tuple(weight.shape)
                                  for name, weight in self.weights.items()}, density)
        masks = {}
        for number, (name, weight) in enumerate(self.weights.items()):
            there = max(1, int(round(shares[name] * weight.numel())))
            mask = torch.zeros(weight.numel(), dtype=torch.bool)
            mask[_random_order(weight.numel(), self.seed, 0, number)[:there]] = True
            masks[name] = mask.view(weight.shape).to(weight.device)
        return masks

    def _given(self, masks: Mapping[str, torch.Tensor]) -> Dict[str, torch.Tensor]:
        shapes = {name: tuple(weight.shape) for name, weight in self.weights.items()}
        if shapes != {name: tuple(mask.shape) for name, mask in masks.items()}:
            raise CheckpointError('resume: the masks in the checkpoint are of another network or '
                                  'of other frozen layers')
        return {name: masks[name].to(weight.device, torch.bool, copy=True)
                for name, weight in self.weights.items()}

    @property
    def density(self) -> float:
        """Share of the masked layers' weights that is there."""
        there = sum(int(mask.sum()) for mask in self.masks.values())
        return there / sum(mask.numel() for mask in self.masks.values())

    @torch.no_grad()
    def apply(self, optimizer: Any = None) -> None:
        """Set what is masked to zero, in the weights and in the optimiser's state."""
        state = {} if optimizer is None else optimizer_state(optimizer)
        for name, weight in self.weights.items():
            mask = self.masks[name]
            weight.mul_(mask)
            for value in state.get(weight, {}).values():
                # Momentum, running squares: else a weight that grows back has a past.
                if isinstance(value, torch.Tensor) and value.shape == weight.shape:
                    value.mul_(mask)

    def after_step(self, step: int, optimizer: Any = None) -> None:
        """To be called behind each step of the optimiser.

        Args:
            step: number of the step that is done, from 0.
            optimizer: the one that made it, or MMEngine's wrapper around it.
        """
        done = step + 1
        if done % self.interval == 0 and done < self.steps:
            self._rewire(done)
        self.apply(optimizer)

    @torch.no_grad()
    def _rewire(self, done: int) -> None:
        rate = self.death_rate / 2 * (1 + math.cos(math.pi * done / self.steps))
        for number, (name, weight) in enumerate(self.weights.items()):
            mask = self.masks[name].view(-1)
            there = mask.nonzero().view(-1)
            free = (~mask).nonzero().view(-1)
            count = min(int(rate * len(there)), len(free))
            size = weight.detach().reshape(-1)[there].abs()
            dropped = there[torch.sort(size, stable=True)[1][:count]]
            grown = free[_random_order(len(free), self.seed, done, number)[:count].to(free.device)]
            mask[dropped] = False
            mask[grown] = True

    def state_dict(self) -> Dict[str, torch.Tensor]:
        """The masks, on the CPU; with the same arguments all that is needed to go on."""
        return {name: mask.cpu().clone() for name, mask in self.masks.items()}


def optimizer_state(optimizer: Any) -> Mapping[torch.Tensor, Dict[str, Any]]:
    """What an optimiser, or MMEngine's wrapper around it, keeps for each parameter."""
    return getattr(optimizer, 'optimizer', optimizer).state


def layer_densities(shapes: Mapping[str, Any], density: float) -> Dict[str, float]:
    """Density of each layer so that ``density`` of all weights are there.

    Erdos-Renyi-kernel (Evci et al., ICML 2020): proportional to the sum of a weight's dimensions
    (out, in, kernel) over their product, which for linear layers is Mocanu et al.'s rule; what
    comes out above 1 is 1 and the rest shares what is left.

    Args:
        shapes: name -> shape of a weight.
    """
    raw = {name: sum(shape) / math.prod(shape) for name, shape in shapes.items()}
    size = {name: math.prod(shape) for name, shape in shapes.items()}
    dense: set = set()
    while True:
        left = density * sum(size.values()) - sum(size[name] for name in dense)
        scale = left / max(sum(raw[name] * size[name] for name in raw if name not in dense), 1e-12)
        above = {name for name in raw if name not in dense and scale * raw[name] > 1}
        if not above:
            return {name: 1.0 if name in dense else scale * raw[name] for name in raw}
        # One at a time: making one layer dense leaves less for the others.
        dense.add(max(above, key=lambda name: (raw[name], name)))


def check_sparse(density: Any, death_rate: Any, interval: Any, key: str = 'sparse.') -> None:
    """Refuse values out of range.

    Raises:
        ConfigError: names ``key`` and the argument.
    """
    for name, value, valid, words in (
            ('density', density, lambda v: 0 < v <= 1, 'a number in (0, 1]'),
            ('death_rate', death_rate, lambda v: 0 <= v < 1, 'a number in [0, 1)'),
            ('interval', interval, lambda v: isinstance(v, int) and v >= 1,
             'a whole number of steps, at least 1')):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not valid(value):
            raise ConfigError(f'{key}{name}={value!r}: must be {words}')


def _weights(model: nn.Module) -> Dict[str, torch.Tensor]:
    found: Dict[str, torch.Tensor] = {}
    for name, module in model.named_modules():
        if isinstance(module, _LAYERS) and module.weight.requires_grad:
            # A weight that two layers share has one mask.
            if not any(module.weight is weight for weight in found.values()):
                found[f'{name}.weight' if name else 'weight'] = module.weight
    return found


def _random_order(total: int, *keys: int) -> torch.Tensor:
    """A permutation that depends on the keys alone, whatever the device or the past."""
    return torch.randperm(total, generator=torch.Generator().manual_seed(derive(*keys)))
