"""Connectors: what makes the student's feature as wide and as large as the teacher's."""
from typing import Dict, Optional, Sequence, Tuple

import torch.nn.functional as F
from mmrazor.models.architectures.connectors.base_connector import BaseConnector
from torch import Tensor, nn

from autokd_mm.errors import ConfigError
from autokd_mm.models.connectors.tokens import tokens_to_map
from autokd_mm.registry import MODELS


def resize(feature: Tensor, size: Optional[Tuple[int, int]]) -> Tensor:
    """The map at another size, N x C x H x W -> N x C x size; itself if it has that size.

    A side that is too long is averaged (adaptive average pooling, which loses no activation), one
    that is too short is interpolated (bilinear, corners not aligned).
    """
    if size is None or feature.shape[-2:] == size:
        return feature
    pooled = (min(feature.shape[-2], size[0]), min(feature.shape[-1], size[1]))
    if feature.shape[-2:] != pooled:
        feature = F.adaptive_avg_pool2d(feature, pooled)
    if pooled != size:
        feature = F.interpolate(feature, size, mode='bilinear', align_corners=False)
    return feature


def _checked_size(size: Optional[Sequence[int]], name: str) -> Optional[Tuple[int, int]]:
    if size is None:
        return None
    if isinstance(size, (int, str)) or len(size) != 2 or \
            any(not isinstance(side, int) or side < 1 for side in size):
        raise ConfigError(f'{name}.size must be (height, width), got {size!r}')
    return (size[0], size[1])


def _checked_tokens(extra_tokens: Optional[int], name: str) -> Optional[int]:
    if extra_tokens is not None and (isinstance(extra_tokens, bool)
                                     or not isinstance(extra_tokens, int) or extra_tokens < 0):
        raise ConfigError(f'{name}.extra_tokens must be a number of tokens, got {extra_tokens!r}')
    return extra_tokens


def _as_map(feature: Tensor, name: str, extra_tokens: Optional[int]) -> Tensor:
    if feature.dim() == 2:
        return feature[:, :, None, None]
    if feature.dim() == 3 and extra_tokens is not None:
        return tokens_to_map(feature, extra_tokens, name)
    if feature.dim() != 4:
        raise ConfigError(f'{name} expects N x C x H x W or N x D (with extra_tokens also tokens, '
                          f'N x L x D), got shape {tuple(feature.shape)}')
    return feature


@MODELS.register_module()
class IdentityConnector(BaseConnector):
    """The feature as it is, at another size if asked.

    Shapes: N x C x H x W (or N x D, read as N x D x 1 x 1; or tokens, see ``extra_tokens``)
    -> N x C x size.

    Args:
        size: (height, width) of the result; the feature's own if not given.
        extra_tokens: of a transformer's layer, how many of its tokens are no patches. The feature
            is then N x (extra_tokens + S S) x D and is read as N x D x S x S.
        init_cfg: as in MMEngine.
    """

    def __init__(self,
                 size: Optional[Sequence[int]] = None,
                 extra_tokens: Optional[int] = None,
                 init_cfg: Optional[Dict] = None) -> None:
        super().__init__(init_cfg)
        self.size = _checked_size(size, 'IdentityConnector')
        self.extra_tokens = _checked_tokens(extra_tokens, 'IdentityConnector')

    def forward_train(self, feature: Tensor) -> Tensor:
        return resize(_as_map(feature, 'IdentityConnector', self.extra_tokens), self.size)


@MODELS.register_module()
class ConvConnector(BaseConnector):
    """A linear map between channels: convolution, optional batch normalisation, optional resize.

    resize(BN(conv(F))): the regressor of FitNet (Romero et al., ICLR 2015, eq. 3), with no
    activation after it, since the teacher's feature may be of any sign.

    Shapes: N x in_channels x H x W (or N x D, read as N x D x 1 x 1; or tokens, see
    ``extra_tokens``) -> N x out_channels x size.

    Args:
        in_channels: of the student's feature.
        out_channels: of the teacher's feature.
        kernel_size: 1 or 3; the map keeps its size (zero padding).
        norm: batch normalisation after the convolution, which then has no bias.
        size: (height, width) of the result; the feature's own if not given. A map that is larger
            is averaged, one that is smaller interpolated, see ``resize``.
        extra_tokens: as in :class:`IdentityConnector`.
        init_cfg: as in MMEngine.
    """

    def __init__(self,
                 in_channels: int,
                 out_channels: int,
                 kernel_size: int = 1,
                 norm: bool = False,
                 size: Optional[Sequence[int]] = None,
                 extra_tokens: Optional[int] = None,
                 init_cfg: Optional[Dict] = None) -> None:
        super().__init__(init_cfg)
        for key, value in (('in_channels', in_channels), ('out_channels', out_channels)):
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f'ConvConnector.{key} must be a number of channels, got '
                                  f'{value!r}')
        if kernel_size not in (1, 3):
            raise ConfigError(f'ConvConnector.kernel_size must be 1 or 3, got {kernel_size!r}')
        self.in_channels = in_channels
        self.size = _checked_size(size, 'ConvConnector')
        self.extra_tokens = _checked_tokens(extra_tokens, 'ConvConnector')
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size,
                              padding=kernel_size // 2, bias=not norm)
        self.norm = nn.BatchNorm2d(out_channels) if norm else None

    def forward_train(self, feature: Tensor) -> Tensor:
        feature = _as_map(feature, 'ConvConnector', self.extra_tokens)
        if feature.shape[1] != self.in_channels:
            raise ConfigError(f'ConvConnector.in_channels is {self.in_channels}, but the feature '
                              f'has {feature.shape[1]} channels')
        feature = self.conv(feature)
        if self.norm is not None:
            feature = self.norm(feature)
        return resize(feature, self.size)
