"""Losses whose weight changes in the course of a training, in a proxy and in a full training."""
from __future__ import annotations

from typing import Any, Dict, Mapping

import torch

from autokd_mm.space.schedules import weight_factor


def fade(distiller: Any, schedules: Mapping[str, str], share: float) -> Dict[str, float]:
    """Set the factors that the losses have until this is called again.

    The losses' own ``loss_weight`` stays, and nothing of it is in a ``state_dict``.

    Args:
        distiller: a built ``ConfigurableDistiller``.
        schedules: by name of a loss (see :func:`~autokd_mm.space.schedules.weight_factor`); other
            losses keep the factor that they have, which is 1 at first.
        share: of the training that is done.

    Returns:
        The factors of ``schedules``.
    """
    factors = {name: weight_factor(schedule, share) for name, schedule in schedules.items()}
    distiller.loss_factors = dict(_factors(distiller), **factors)
    return factors


def distill_losses(distiller: Any, device: torch.device) -> Dict[str, Any]:
    """The distiller's ``compute_distill_losses``, with each loss times its factor.

    One whose factor is 0 is not computed. It is a 0 with a gradient of 0 for the parameters of its
    module and its connectors, because a distributed training waits for a gradient of each.

    Args:
        device: of a loss that is not computed.
    """
    factors, mappings = _factors(distiller), distiller.loss_forward_mappings
    if not factors:
        return distiller.compute_distill_losses()
    on = {name: mapping for name, mapping in mappings.items() if factors.get(name, 1.0) != 0}
    distiller.loss_forward_mappings = on
    try:
        computed = distiller.compute_distill_losses()
    finally:
        distiller.loss_forward_mappings = mappings
    return {name: _times(computed[name], factors.get(name, 1.0)) if name in on
            else _zero(distiller, name, device) for name in mappings}


def no_losses(distiller: Any, device: torch.device) -> Dict[str, Any]:
    """What :func:`distill_losses` gives where all factors are 0."""
    return {name: _zero(distiller, name, device) for name in distiller.loss_forward_mappings}


def all_off(distiller: Any) -> bool:
    """Whether no loss needs to be computed, and nothing that it would be computed from."""
    factors = _factors(distiller)
    return bool(factors) and not distiller.deliveries.deliveries and all(
        factors.get(name) == 0 for name in distiller.loss_forward_mappings)


def _factors(distiller: Any) -> Dict[str, float]:
    return getattr(distiller, 'loss_factors', {})


def _times(loss: Any, factor: float) -> Any:
    if factor == 1:
        return loss
    return [item * factor for item in loss] if isinstance(loss, list) else loss * factor


def _zero(distiller: Any, name: str, device: torch.device) -> torch.Tensor:
    modules = [distiller.distill_losses[name]]
    modules += [distiller.connectors[record['connector']]
                for record in distiller.loss_forward_mappings[name].values()
                if record.get('connector')]
    zero = torch.zeros((), device=device)
    for module in modules:
        for parameter in module.parameters():
            if parameter.requires_grad:  # a sum over nothing: 0 also where a weight is infinite
                zero = zero + parameter.reshape(-1)[:0].sum().to(zero)
    return zero
