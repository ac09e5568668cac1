"""What connectors have in common: they read a feature as a map, on a coarser grid if asked."""
from __future__ import annotations

from typing import Dict, Optional, Sequence, Tuple

from mmrazor.models.architectures.connectors.base_connector import BaseConnector
from torch import Tensor

from autokd_mm.errors import ConfigError
from autokd_mm.models.connectors.layout import Layout, checked_layout, checked_size
from autokd_mm.models.transforms.grids import averaged
from autokd_mm.models.transforms.padding import SeesSizes


class MapConnector(SeesSizes, BaseConnector):
    """Base of connectors.

    Where images differ in size it is shown the sizes of the batch before each call (by
    ``show_samples``), and so knows what is padding and how many rows of tokens there are. Without
    them nothing is padding.

    Args:
        size: (height, width) of the result; the feature's own if not given.
        extra_tokens: of a transformer's layer, how many of its tokens are no patches. The feature
            is then N x (extra_tokens + H W) x D and is read as N x D x H x W.
        grid: (H, W) of the tokens, where all images have one size. A square if not given.
        channels_last: the feature is N x H x W x C.
        strides: of the feature and of the wanted map, in pixels. The map is averaged over the
            pixels of each wanted cell, without the padding; tokens have as many rows and columns as
            the first says.
        init_cfg: as in MMEngine.

    Raises:
        ConfigError: an argument is not of its kind.
    """

    def __init__(self,
                 size: Optional[Sequence[int]] = None,
                 extra_tokens: Optional[int] = None,
                 grid: Optional[Sequence[int]] = None,
                 channels_last: bool = False,
                 strides: Optional[Sequence[int]] = None,
                 init_cfg: Optional[Dict] = None) -> None:
        super().__init__(init_cfg)
        name = type(self).__name__
        self.size = checked_size(size, f'{name}.size')
        self.strides = _checked_strides(strides, name)
        self.layout: Layout = checked_layout(
            name, extra_tokens, grid, self.strides[0] if self.strides else None, channels_last)

    def as_map(self, feature: Tensor) -> Tensor:
        """N x C x H x W, averaged; a vector is D x 1 x 1."""
        name, sizes = type(self).__name__, self.sizes
        if feature.dim() == 2:
            return feature[:, :, None, None]
        feature = self.layout.as_map(feature, name, sizes.batch if sizes else None)
        if feature.dim() != 4:
            raise ConfigError(f'{name} expects N x C x H x W or N x D (with extra_tokens also '
                              f'tokens, N x L x D), got shape {tuple(feature.shape)}')
        if self.strides is None or self.strides[0] == self.strides[1]:
            return feature
        if sizes is None:
            return averaged(feature, self.strides)
        return averaged(feature, self.strides, sizes.images, sizes.batch)


def _checked_strides(strides: Optional[Sequence[int]], name: str) -> Optional[Tuple[int, int]]:
    found = checked_size(strides, f'{name}.strides') if not isinstance(strides, (int, str)) else (
        0, 0)
    if found is not None and not 0 < found[0] <= found[1]:
        raise ConfigError(f'{name}.strides must be the stride of the feature and that of the '
                          f'wanted map, which is at least as large, got {strides!r}')
    return found
