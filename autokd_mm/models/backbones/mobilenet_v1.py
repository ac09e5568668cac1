"""MobileNetV1, the student of ImageNet distillation that mmpretrain does not have."""
from typing import Optional, Sequence, Tuple

from mmengine.model import BaseModule
from torch import Tensor, nn

from autokd_mm.errors import ConfigError
from autokd_mm.models.backbones.checks import check_channels, check_out_indices
from autokd_mm.registry import MODELS

# The paper's table 1, one line for each resolution: channels and number of blocks; the first block
# of a line halves the resolution, but for the first line's.
STAGES = ((64, 1), (128, 2), (256, 2), (512, 6), (1024, 2))
STEM = 32


def _conv_bn_relu(in_channels: int, channels: int, kernel_size: int, stride: int = 1,
                  groups: int = 1) -> Tuple[nn.Module, ...]:
    return (nn.Conv2d(in_channels, channels, kernel_size, stride, kernel_size // 2, groups=groups,
                      bias=False), nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


@MODELS.register_module()
class MobileNetV1(BaseModule):
    """MobileNet (Howard et al., arXiv 1704.04861, table 1): depthwise separable convolutions.

    A stem ``conv1`` of stride 2 and five stages ``layer1`` ... ``layer5``, one for each resolution.
    The table prints stride 2 for the last block too, whose input and output it gives as 7 x 7: a
    misprint, 1 here as in everybody's.

    Parameters with a head for 1000 classes: 4,231,976 at width 1 (4.2 million in table 8).

    Args:
        widen_factor: the paper's width multiplier, factor of all channels.
        in_channels: channels of the image.
        out_indices: stages whose maps are returned, 0 to 4, in increasing order.
        init_cfg: of :class:`mmengine.model.BaseModule`.

    Shapes: N x in_channels x H x W -> a tuple of maps, stage i at H/2^(i+1) x W/2^(i+1) (rounded
    up).

    Raises:
        ConfigError: an argument is outside of the values above.
    """

    def __init__(self,
                 widen_factor: float = 1.0,
                 in_channels: int = 3,
                 out_indices: Sequence[int] = (4, ),
                 init_cfg: Optional[object] = (
                     dict(type='Kaiming', layer='Conv2d'),
                     dict(type='Constant', layer='BatchNorm2d', val=1.),
                 )) -> None:
        if not isinstance(widen_factor, (int, float)) or not widen_factor >= 1 / STEM:
            raise ConfigError(f'MobileNetV1 widen_factor: must be a number of at least 1/{STEM}, '
                              f'got {widen_factor!r}')
        check_channels('MobileNetV1', in_channels=in_channels)
        out_indices = check_out_indices('MobileNetV1', out_indices, len(STAGES))
        super().__init__(list(init_cfg) if isinstance(init_cfg, tuple) else init_cfg)
        self.out_indices = out_indices
        width = int(STEM * widen_factor)
        self.conv1 = nn.Sequential(*_conv_bn_relu(in_channels, width, 3, 2))
        for stage, (base, blocks) in enumerate(STAGES):
            channels, layers = int(base * widen_factor), []
            for index in range(blocks):
                stride = 2 if stage and not index else 1
                layers.append(nn.Sequential(
                    *_conv_bn_relu(width, width, 3, stride, groups=width),
                    *_conv_bn_relu(width, channels, 1)))
                width = channels
            self.add_module(f'layer{stage + 1}', nn.Sequential(*layers))
        self.out_channels = width

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Maps of the stages in ``out_indices``."""
        x = self.conv1(x)
        outs = []
        for stage in range(len(STAGES)):
            x = getattr(self, f'layer{stage + 1}')(x)
            if stage in self.out_indices:
                outs.append(x)
        return tuple(outs)
