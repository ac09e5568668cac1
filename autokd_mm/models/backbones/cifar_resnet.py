"""The ResNets of 6n+2 layers that He et al. trained on CIFAR-10."""
from typing import Optional, Sequence, Tuple

from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from autokd_mm.errors import ConfigError, nearest
from autokd_mm.models.backbones.checks import check_channels, check_out_indices
from autokd_mm.registry import MODELS

DEPTHS = (8, 14, 20, 32, 44, 56, 110)
SHORTCUTS = ('pad', 'conv')


class _Pad(nn.Module):
    """Option A: every second pixel, and zeros for the channels that the input does not have."""

    def __init__(self, more_channels: int, stride: int) -> None:
        super().__init__()
        self.before = more_channels // 2
        self.after = more_channels - self.before
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, ::self.stride, ::self.stride]
        return F.pad(x, (0, 0, 0, 0, self.before, self.after))


class _Block(nn.Module):
    """Two 3x3 convolutions around a shortcut, N x C x H x W -> N x C' x H/stride x W/stride.

    Nothing works in place and no module is called twice, so that whatever a recorder keeps of a
    module is what that module returned.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu2 = nn.ReLU()
        self.downsample: Optional[nn.Module] = None
        if stride != 1 or in_channels != channels:
            if shortcut == 'pad':
                self.downsample = _Pad(channels - in_channels, stride)
            else:
                self.downsample = nn.Sequential(
                    nn.Conv2d(in_channels, channels, 1, stride, bias=False),
                    nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu1(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out)) + identity
        return self.relu2(out)


@MODELS.register_module()
class CifarResNet(BaseModule):
    """ResNet for small images (He et al., CVPR 2016, section 4.2).

    A 3x3 convolution, then three stages ``layer1``, ``layer2``, ``layer3`` of n = (depth - 2) / 6
    blocks each, with c, 2c, 4c channels; the second and third halve the resolution.

    Args:
        depth: 6n+2, one of 8, 14, 20, 32, 44, 56, 110.
        base_channels: c, the channels of the first stage. 16 in the paper; 64 in the resnet8x4 and
            resnet32x4 of the distillation literature.
        in_channels: channels of the image.
        stem_channels: of the first convolution; c if not given. 32 in resnet8x4 and resnet32x4.
        shortcut: where a stage begins, ``'pad'`` takes every second pixel and pads the channels
            with zeros (option A, no parameters: the paper's networks and the checkpoints of
            akamaster/pytorch_resnet_cifar10), ``'conv'`` is a 1x1 convolution with BatchNorm
            (option B: chenyaofo/pytorch-cifar-models and the distillation literature since CRD,
            ICLR 2020).
        out_indices: stages whose maps are returned, in increasing order.
        init_cfg: of :class:`mmengine.model.BaseModule`. Kaiming normal by default, as the paper.

    Shapes: N x in_channels x H x W -> a tuple with N x c 2^i x ceil(H/2^i) x ceil(W/2^i) for each
    i in ``out_indices``.

    Raises:
        ConfigError: an argument is outside of the values above.
    """

    def __init__(self,
                 depth: int = 20,
                 base_channels: int = 16,
                 in_channels: int = 3,
                 stem_channels: Optional[int] = None,
                 shortcut: str = 'pad',
                 out_indices: Sequence[int] = (2, ),
                 init_cfg: Optional[object] = (
                     dict(type='Kaiming', layer='Conv2d'),
                     dict(type='Constant', layer='BatchNorm2d', val=1.),
                 )) -> None:
        if depth not in DEPTHS:
            raise ConfigError(f'CifarResNet depth: {nearest(depth, DEPTHS)}')
        if shortcut not in SHORTCUTS:
            raise ConfigError(f'CifarResNet shortcut: {nearest(shortcut, SHORTCUTS)}')
        stem_channels = base_channels if stem_channels is None else stem_channels
        check_channels('CifarResNet', base_channels=base_channels, in_channels=in_channels,
                       stem_channels=stem_channels)
        out_indices = check_out_indices('CifarResNet', out_indices, 3)
        super().__init__(list(init_cfg) if isinstance(init_cfg, tuple) else init_cfg)
        self.depth = depth
        self.out_indices = out_indices
        self.conv1 = nn.Conv2d(in_channels, stem_channels, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem_channels)
        self.relu = nn.ReLU()
        blocks, width = (depth - 2) // 6, stem_channels
        for stage in range(3):
            channels = base_channels * 2**stage
            layers = []
            for index in range(blocks):
                stride = 2 if stage and index == 0 else 1
                layers.append(_Block(width, channels, stride, shortcut))
                width = channels
            self.add_module(f'layer{stage + 1}', nn.Sequential(*layers))
        self.out_channels = width

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Maps of the stages in ``out_indices``."""
        x = self.relu(self.bn1(self.conv1(x)))
        outs = []
        for stage, layer in enumerate((self.layer1, self.layer2, self.layer3)):
            x = layer(x)
            if stage in self.out_indices:
                outs.append(x)
        return tuple(outs)
