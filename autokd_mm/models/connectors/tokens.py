"""From the tokens of a transformer to a map."""
from __future__ import annotations

import math
from typing import Optional, Tuple

from torch import Tensor, nn

from autokd_mm.errors import ConfigError

# Tokens that are no patches: MMPretrain's name for their number, timm's, and the parameters.
_NUMBERS = ('num_extra_tokens', 'num_prefix_tokens')
_TOKENS = ('cls_token', 'dist_token', 'reg_token', 'register_tokens', 'storage_tokens')


def tokens_to_map(tokens: Tensor, extra_tokens: int, name: str,
                  grid: Optional[Tuple[int, int]] = None) -> Tensor:
    """The tokens of the patches as a map: N x (extra_tokens + H W) x D -> N x D x H x W.

    Args:
        extra_tokens: how many tokens in front belong to no patch (class, distillation, registers).
        name: of the layer or module, for the message.
        grid: (H, W); ``None``: a square.

    Raises:
        ConfigError: the patches do not fill the grid.
    """
    patches = tokens.shape[1] - extra_tokens
    side = math.isqrt(max(patches, 0))
    rows, columns = grid or (side, side)
    if patches < 1 or rows * columns != patches:
        what = 'no square grid' if grid is None else f'no grid of {rows} x {columns}'
        raise ConfigError(f'{name}: {tokens.shape[1]} tokens, {extra_tokens} of them extra, leave '
                          f'{patches} patches, which are {what}; name a layer that gives '
                          'a map')
    return tokens[:, extra_tokens:].transpose(1, 2).reshape(len(tokens), -1, rows, columns)


def extra_tokens_of(network: nn.Module, layer: str) -> Optional[int]:
    """How many extra tokens go through ``layer``: what the innermost module around it says with
    ``num_extra_tokens`` (MMPretrain) or ``num_prefix_tokens`` (timm), or how many tokens it has
    as parameters (``cls_token``, ``register_tokens`` ...); ``None`` where none says anything."""
    module, found = network, _told(network)
    for part in layer.split('.'):
        module = getattr(module, part)
        told = _told(module)
        found = found if told is None else told
    return found


def _told(module: nn.Module) -> Optional[int]:
    for name in _NUMBERS:
        number = getattr(module, name, None)
        if isinstance(number, int):
            return number
    tokens = [getattr(module, name, None) for name in _TOKENS]
    counts = [token.shape[-2] for token in tokens if isinstance(token, Tensor) and token.dim() > 1]
    return sum(counts) if counts else None
