"""The MobileNetV2 of the distillation literature on CIFAR."""
from typing import Optional, Sequence, Tuple

from mmengine.model import BaseModule
from torch import Tensor, nn

from autokd_mm.errors import ConfigError
from autokd_mm.models.backbones.checks import check_channels, check_out_indices
from autokd_mm.registry import MODELS

# channels at width 1, blocks, stride of the first block. The paper's table 2, but the second
# stage keeps the resolution.
STAGES = ((16, 1, 1), (24, 2, 1), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))
LAST = 1280


def _conv_bn(in_channels: int, channels: int, kernel_size: int, stride: int = 1,
             groups: int = 1) -> Tuple[nn.Module, nn.Module]:
    return (nn.Conv2d(in_channels, channels, kernel_size, stride, kernel_size // 2, groups=groups,
                      bias=False), nn.BatchNorm2d(channels))


class _InvertedResidual(nn.Module):
    """Expansion, depthwise 3x3, linear projection: N x C x H x W -> N x C' x H/stride x W/stride.

    ``expand_ratio`` 1 keeps its 1x1 convolution, which the paper and mmpretrain leave out.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, expand_ratio: int) -> None:
        super().__init__()
        hidden = in_channels * expand_ratio
        self.conv = nn.Sequential(
            *_conv_bn(in_channels, hidden, 1), nn.ReLU(),
            *_conv_bn(hidden, hidden, 3, stride, groups=hidden), nn.ReLU(),
            *_conv_bn(hidden, channels, 1))
        self.residual = stride == 1 and in_channels == channels

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


@MODELS.register_module()
class CifarMobileNetV2(BaseModule):
    """MobileNetV2 (Sandler et al., CVPR 2018) for small images, as CRD (ICLR 2020) trains it.

    A stem ``conv1`` of stride 2, seven stages ``blocks.0`` ... ``blocks.6`` and a 1x1 convolution
    ``conv2`` to 1280 channels. Unlike mmpretrain's: the second stage keeps the resolution, ReLU
    instead of ReLU6, an expansion in the first block too, widths that are cut and not rounded to
    multiples of 8.

    Parameters with a head for 100 classes: 812,836 at width 0.5.

    Args:
        widen_factor: factor of all channels but the last 1280, which only grow with it.
        expand_ratio: of the blocks but the first.
        in_channels: channels of the image.
        out_indices: what is returned, in increasing order: stages 0 to 6, and 7 for ``conv2``.
        init_cfg: of :class:`mmengine.model.BaseModule`.

    Shapes: N x in_channels x H x W -> a tuple of maps, at H/16 x W/16 (rounded up) from stage 5.

    Raises:
        ConfigError: an argument is outside of the values above.
    """

    def __init__(self,
                 widen_factor: float = 0.5,
                 expand_ratio: int = 6,
                 in_channels: int = 3,
                 out_indices: Sequence[int] = (7, ),
                 init_cfg: Optional[object] = (
                     dict(type='Kaiming', layer='Conv2d'),
                     dict(type='Constant', layer='BatchNorm2d', val=1.),
                 )) -> None:
        if not isinstance(widen_factor, (int, float)) or not widen_factor >= 1 / 16:
            raise ConfigError('CifarMobileNetV2 widen_factor: must be a number of at least 1/16, '
                              f'got {widen_factor!r}')
        check_channels('CifarMobileNetV2', in_channels=in_channels, expand_ratio=expand_ratio)
        out_indices = check_out_indices('CifarMobileNetV2', out_indices, len(STAGES) + 1)
        super().__init__(list(init_cfg) if isinstance(init_cfg, tuple) else init_cfg)
        self.out_indices = out_indices
        width = int(32 * widen_factor)
        self.conv1 = nn.Sequential(*_conv_bn(in_channels, width, 3, 2), nn.ReLU())
        self.blocks = nn.ModuleList()
        for stage, (base, blocks, stride) in enumerate(STAGES):
            channels, layers = int(base * widen_factor), []
            for index in range(blocks):
                layers.append(_InvertedResidual(width, channels, 1 if index else stride,
                                                expand_ratio if stage else 1))
                width = channels
            self.blocks.append(nn.Sequential(*layers))
        self.out_channels = int(LAST * max(widen_factor, 1.0))
        self.conv2 = nn.Sequential(*_conv_bn(width, self.out_channels, 1), nn.ReLU())

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Maps of the stages in ``out_indices``."""
        x = self.conv1(x)
        outs = []
        for stage, layer in enumerate([*self.blocks, self.conv2]):
            x = layer(x)
            if stage in self.out_indices:
                outs.append(x)
        return tuple(outs)
