"""From the tokens of a transformer to a map."""
from __future__ import annotations

import math
from typing import Optional

from torch import Tensor, nn

from autokd_mm.errors import ConfigError


def tokens_to_map(tokens: Tensor, extra_tokens: int, name: str) -> Tensor:
    """The tokens of the patches as a map: N x (extra_tokens + S S) x D -> N x D x S x S.

    Args:
        extra_tokens: how many tokens in front belong to no patch (class, distillation).
        name: of the layer or module, for the message.

    Raises:
        ConfigError: the patches are no square.
    """
    patches = tokens.shape[1] - extra_tokens
    side = math.isqrt(max(patches, 0))
    if side < 1 or side * side != patches:
        raise ConfigError(f'{name}: {tokens.shape[1]} tokens, {extra_tokens} of them extra, leave '
                          f'{patches} patches, which are no square grid; name a layer that gives '
                          'a map')
    return tokens[:, extra_tokens:].transpose(1, 2).reshape(len(tokens), -1, side, side)


def extra_tokens_of(network: nn.Module, layer: str) -> Optional[int]:
    """How many extra tokens go through ``layer``: what the innermost module around it says with
    ``num_extra_tokens``, as MMPretrain's transformers do; ``None`` where none does."""
    found = getattr(network, 'num_extra_tokens', None)
    module = network
    for part in layer.split('.'):
        module = getattr(module, part)
        found = getattr(module, 'num_extra_tokens', found)
    return found
