"""How the output of a layer is read as a map."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple

from torch import Tensor

from autokd_mm.errors import ConfigError
from autokd_mm.models.connectors.tokens import tokens_to_map

Size = Tuple[int, int]


@dataclass(frozen=True)
class Layout:
    """From what a layer gives to N x C x H x W.

    Attributes:
        extra_tokens: of N x L x D tokens, how many in front belong to no position; ``None``: it
            gives no tokens.
        grid: (rows, columns) of the tokens, where all images have one size. With neither this nor a
            stride they are a square.
        stride: of the tokens in pixels, where images differ in size.
        channels_last: it gives N x H x W x C.
    """
    extra_tokens: Optional[int] = None
    grid: Optional[Size] = None
    stride: Optional[int] = None
    channels_last: bool = False

    def as_map(self, feature: Tensor, name: str, batch: Optional[Size] = None) -> Tensor:
        """N x C x H x W; vectors, N x D, and what is such a map already, as they are.

        Args:
            name: of the layer or module, for the message.
            batch: (height, width) in pixels of what the network has seen, for tokens with a stride.

        Raises:
            ConfigError: the tokens do not fit the grid.
        """
        if feature.dim() == 4:
            return feature.permute(0, 3, 1, 2) if self.channels_last else feature
        if feature.dim() != 3 or self.extra_tokens is None:
            return feature
        grid = self.grid
        if grid is None and self.stride is not None and batch is not None:
            grid = (-(-batch[0] // self.stride), -(-batch[1] // self.stride))
        return tokens_to_map(feature, self.extra_tokens, name, grid)

    def arguments(self) -> Dict[str, Any]:
        """Of a connector that reads it so, but for its stride."""
        found: Dict[str, Any] = {}
        if self.extra_tokens is not None:
            found['extra_tokens'] = self.extra_tokens
        if self.grid is not None:
            found['grid'] = self.grid
        if self.channels_last:
            found['channels_last'] = True
        return found


def checked_layout(name: str, extra_tokens: Any, grid: Any, stride: Optional[int],
                   channels_last: Any) -> Layout:
    """
    Raises:
        ConfigError: an argument of the connector ``name`` is not of its kind.
    """
    if extra_tokens is not None and (isinstance(extra_tokens, bool)
                                     or not isinstance(extra_tokens, int) or extra_tokens < 0):
        raise ConfigError(f'{name}.extra_tokens must be a number of tokens, got {extra_tokens!r}')
    if grid is not None and extra_tokens is None:
        raise ConfigError(f'{name}.grid is for tokens: give extra_tokens, too')
    if not isinstance(channels_last, bool):
        raise ConfigError(f'{name}.channels_last must be True or False, got {channels_last!r}')
    return Layout(extra_tokens, checked_size(grid, f'{name}.grid'), stride, channels_last)


def checked_size(size: Any, key: str) -> Optional[Size]:
    """
    Raises:
        ConfigError: neither ``None`` nor two whole numbers above 0.
    """
    if size is None:
        return None
    if isinstance(size, (int, str)) or len(size) != 2 or \
            any(not isinstance(side, int) or side < 1 for side in size):
        raise ConfigError(f'{key} must be (height, width), got {size!r}')
    return (size[0], size[1])
