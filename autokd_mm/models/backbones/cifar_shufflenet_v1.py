"""The ShuffleNetV1 of the distillation literature on CIFAR."""
from typing import Optional, Sequence, Tuple

import torch
from mmengine.model import BaseModule
from mmpretrain.models.utils import channel_shuffle
from torch import Tensor, nn
from torch.nn import functional as F

from autokd_mm.errors import ConfigError, nearest
from autokd_mm.models.backbones.checks import check_channels, check_out_indices
from autokd_mm.registry import MODELS

# Channels of the first stage for each number of groups (table 1 of the paper); the second and
# third have 2 and 4 times as many. With 4 or 8 groups the units below cannot be divided.
CHANNELS = {1: 144, 2: 200, 3: 240}
STEM, BLOCKS = 24, (4, 8, 4)


class _Unit(nn.Module):
    """Grouped 1x1, shuffle, depthwise 3x3, grouped 1x1: N x C x H x W -> N x C' x H' x W'.

    At stride 2 the averaged input is appended, so the convolutions give C' - C channels. Unlike
    mmpretrain's unit: a ReLU after the depthwise convolution, a bottleneck of a quarter of what
    the convolutions give and not of C', the input appended last and rectified with the rest.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, groups: int) -> None:
        super().__init__()
        self.stride = stride
        given = channels - in_channels if stride == 2 else channels
        middle = given // 4
        # The paper does not group the first convolution: its input is too narrow.
        self.groups = 1 if in_channels == STEM else groups
        self.conv1 = nn.Conv2d(in_channels, middle, 1, groups=self.groups, bias=False)
        self.bn1 = nn.BatchNorm2d(middle)
        self.conv2 = nn.Conv2d(middle, middle, 3, stride, 1, groups=middle, bias=False)
        self.bn2 = nn.BatchNorm2d(middle)
        self.conv3 = nn.Conv2d(middle, given, 1, groups=groups, bias=False)
        self.bn3 = nn.BatchNorm2d(given)

    def forward(self, x: Tensor) -> Tensor:
        out = channel_shuffle(F.relu(self.bn1(self.conv1(x))), self.groups)
        out = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(out)))))
        if self.stride == 1:
            return F.relu(out + x)
        return F.relu(torch.cat([out, F.avg_pool2d(x, 3, 2, 1)], 1))


@MODELS.register_module()
class CifarShuffleNetV1(BaseModule):
    """ShuffleNet (Zhang et al., CVPR 2018) for small images, as CRD (ICLR 2020) trains it.

    A 1x1 stem at full resolution instead of the paper's two strides, then ``layer1``, ``layer2``,
    ``layer3`` of 4, 8, 4 units, each of which halves the resolution.

    Parameters with a head for 100 classes: 949,258 with 3 groups.

    Args:
        groups: of the 1x1 convolutions: 1, 2 or 3.
        in_channels: channels of the image.
        out_indices: stages whose maps are returned, in increasing order.
        init_cfg: of :class:`mmengine.model.BaseModule`. PyTorch's initialisation by default, as
            in CRD's code.

    Shapes: N x in_channels x H x W -> a tuple with N x c 2^i x ceil(H/2^(i+1)) x ceil(W/2^(i+1))
    for each i in ``out_indices``; c is 144, 200, 240 for 1, 2, 3 groups.

    Raises:
        ConfigError: an argument is outside of the values above.
    """

    def __init__(self,
                 groups: int = 3,
                 in_channels: int = 3,
                 out_indices: Sequence[int] = (2, ),
                 init_cfg: Optional[object] = None) -> None:
        if groups not in CHANNELS:
            raise ConfigError(f'CifarShuffleNetV1 groups: {nearest(groups, CHANNELS)}')
        check_channels('CifarShuffleNetV1', in_channels=in_channels)
        out_indices = check_out_indices('CifarShuffleNetV1', out_indices, len(BLOCKS))
        super().__init__(init_cfg)
        self.out_indices = out_indices
        self.conv1 = nn.Conv2d(in_channels, STEM, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM)
        width = STEM
        for stage, blocks in enumerate(BLOCKS):
            channels, layers = CHANNELS[groups] * 2**stage, []
            for index in range(blocks):
                layers.append(_Unit(width, channels, 1 if index else 2, groups))
                width = channels
            self.add_module(f'layer{stage + 1}', nn.Sequential(*layers))
        self.out_channels = width

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Maps of the stages in ``out_indices``."""
        x = F.relu(self.bn1(self.conv1(x)))
        outs = []
        for stage, layer in enumerate((self.layer1, self.layer2, self.layer3)):
            x = layer(x)
            if stage in self.out_indices:
                outs.append(x)
        return tuple(outs)
