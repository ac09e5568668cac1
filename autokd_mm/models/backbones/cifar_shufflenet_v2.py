"""The ShuffleNetV2 of the distillation literature on CIFAR."""
from typing import Any

from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmpretrain.models.backbones import ShuffleNetV2
from torch import nn

from autokd_mm.models.backbones.checks import check_channels
from autokd_mm.registry import MODELS


@MODELS.register_module()
class CifarShuffleNetV2(ShuffleNetV2):
    """ShuffleNetV2 (Ma et al., ECCV 2018) for small images, as CRD (ICLR 2020) trains it.

    mmpretrain's network with a 1x1 stem at full resolution instead of its two strides. Stages are
    ``layers.0``, ``layers.1``, ``layers.2``; ``layers.3`` is the last 1x1 convolution. The weights
    begin as PyTorch's, not as mmpretrain's (normal, of deviation 1 in depthwise convolutions).

    Parameters with a head for 100 classes: 1,355,528 at width 1.

    Args:
        in_channels: channels of the image.
        others: of :class:`mmpretrain.models.backbones.ShuffleNetV2`, such as ``widen_factor``
            (0.5, 1.0, 1.5 or 2.0) and ``out_indices`` (of 0 to 3, the last by default).

    Shapes: N x in_channels x H x W -> a tuple of maps at H/2, H/4, H/8, H/8 (rounded up).

    Raises:
        ConfigError: ``in_channels`` is not a positive integer.
        ValueError: another argument is wrong (mmpretrain's own message).
    """
    conv1: ConvModule

    def __init__(self, in_channels: int = 3, **others: Any) -> None:
        check_channels('CifarShuffleNetV2', in_channels=in_channels)
        super().__init__(**others)
        self.conv1 = ConvModule(in_channels, self.conv1.out_channels, 1, conv_cfg=self.conv_cfg,
                                norm_cfg=self.norm_cfg, act_cfg=self.act_cfg)
        self.maxpool = nn.Identity()
        self.out_channels = self.layers[-1].out_channels

    def init_weights(self) -> None:
        """As ``init_cfg`` says; without one as PyTorch initialises convolutions. Once only."""
        first = not self._is_init
        BaseModule.init_weights(self)
        if first and not self.init_cfg:
            for module in self.modules():
                if isinstance(module, nn.Conv2d):
                    module.reset_parameters()
