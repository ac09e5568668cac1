"""Connectors: what makes the student's feature as wide and as large as the teacher's."""
from typing import Any, Optional, Tuple

import torch.nn.functional as F
from torch import Tensor, nn

from autokd_mm.errors import ConfigError
from autokd_mm.models.connectors.map_connector import MapConnector
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


@MODELS.register_module()
class IdentityConnector(MapConnector):
    """The feature as it is, at another size if asked.

    Shapes: N x C x H x W (or N x D, read as N x D x 1 x 1; or tokens, see
    :class:`~autokd_mm.models.connectors.map_connector.MapConnector`) -> N x C x size.

    Args: of :class:`~autokd_mm.models.connectors.map_connector.MapConnector`.
    """

    def forward_train(self, feature: Tensor) -> Tensor:
        return resize(self.as_map(feature), self.size)


@MODELS.register_module()
class ConvConnector(MapConnector):
    """A linear map between channels: convolution, optional batch normalisation, optional resize.

    resize(BN(conv(F))): the regressor of FitNet (Romero et al., ICLR 2015, eq. 3), with no
    activation after it, since the teacher's feature may be of any sign.

    A map of a finer stride is averaged before the convolution (see ``strides``), which then reads
    what is compared.

    Shapes: N x in_channels x H x W (or N x D, read as N x D x 1 x 1; or tokens) -> N x out_channels
    x size.

    Args:
        in_channels: of the student's feature.
        out_channels: of the teacher's feature.
        kernel_size: 1 or 3; the map keeps its size (zero padding).
        norm: batch normalisation after the convolution, which then has no bias.
        arguments: further ones of
            :class:`~autokd_mm.models.connectors.map_connector.MapConnector`. A map that is larger
            than ``size`` is averaged, one that is smaller interpolated, see ``resize``.
    """

    def __init__(self,
                 in_channels: int,
                 out_channels: int,
                 kernel_size: int = 1,
                 norm: bool = False,
                 **arguments: Any) -> None:
        super().__init__(**arguments)
        for key, value in (('in_channels', in_channels), ('out_channels', out_channels)):
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f'ConvConnector.{key} must be a number of channels, got '
                                  f'{value!r}')
        if kernel_size not in (1, 3):
            raise ConfigError(f'ConvConnector.kernel_size must be 1 or 3, got {kernel_size!r}')
        self.in_channels = in_channels
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size,
                              padding=kernel_size // 2, bias=not norm)
        self.norm = nn.BatchNorm2d(out_channels) if norm else None

    def forward_train(self, feature: Tensor) -> Tensor:
        feature = self.as_map(feature)
        if feature.shape[1] != self.in_channels:
            raise ConfigError(f'ConvConnector.in_channels is {self.in_channels}, but the feature '
                              f'has {feature.shape[1]} channels')
        feature = self.conv(feature)
        if self.norm is not None:
            feature = self.norm(feature)
        return resize(feature, self.size)
