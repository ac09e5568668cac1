"""The VGGs of the distillation literature on CIFAR: one linear layer, BatchNorm."""
from typing import Optional, Sequence, Tuple

from mmengine.model import BaseModule
from torch import Tensor, nn

from autokd_mm.errors import ConfigError, nearest
from autokd_mm.models.backbones.checks import check_channels, check_out_indices
from autokd_mm.registry import MODELS

# Convolutions of each of the five stages; with three linear layers they make the name's depth.
STAGES = {8: (1, 1, 1, 1, 1), 11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3),
          19: (2, 2, 4, 4, 4)}
CHANNELS = (64, 128, 256, 512, 512)


@MODELS.register_module()
class CifarVGG(BaseModule):
    """VGG for small images (Simonyan and Zisserman, ICLR 2015), as CRD (ICLR 2020) trains it.

    Five stages ``block0`` ... ``block4`` of 3x3 convolutions, each with BatchNorm and ReLU; 2x2
    max pooling in front of the second, third and fourth, not of the fifth. Global average pooling
    and one linear layer take the place of the three linear layers that the depth still counts.
    mmpretrain's VGG has no depth 8 and pools five times, down to one pixel of a CIFAR image.

    Parameters with a head for 100 classes: VGG-8 3,965,028; VGG-13 9,462,180. The convolutions
    keep their bias although BatchNorm follows, as in CRD's code.

    Args:
        depth: 8, 11, 13, 16 or 19.
        in_channels: channels of the image.
        out_indices: stages whose maps are returned, in increasing order.
        init_cfg: of :class:`mmengine.model.BaseModule`.

    Shapes: N x in_channels x H x W -> a tuple with N x C_i x H/2^min(i, 3) x W/2^min(i, 3) for
    each i in ``out_indices``; C is 64, 128, 256, 512, 512.

    Raises:
        ConfigError: an argument is outside of the values above.
    """

    def __init__(self,
                 depth: int = 13,
                 in_channels: int = 3,
                 out_indices: Sequence[int] = (4, ),
                 init_cfg: Optional[object] = (
                     dict(type='Kaiming', layer='Conv2d'),
                     dict(type='Constant', layer='BatchNorm2d', val=1.),
                 )) -> None:
        if depth not in STAGES:
            raise ConfigError(f'CifarVGG depth: {nearest(depth, STAGES)}')
        check_channels('CifarVGG', in_channels=in_channels)
        out_indices = check_out_indices('CifarVGG', out_indices, len(CHANNELS))
        super().__init__(list(init_cfg) if isinstance(init_cfg, tuple) else init_cfg)
        self.depth = depth
        self.out_indices = out_indices
        width = in_channels
        for stage, (convs, channels) in enumerate(zip(STAGES[depth], CHANNELS)):
            layers = []
            for _ in range(convs):
                layers += [nn.Conv2d(width, channels, 3, 1, 1), nn.BatchNorm2d(channels),
                           nn.ReLU()]
                width = channels
            self.add_module(f'block{stage}', nn.Sequential(*layers))
        for stage in range(3):
            self.add_module(f'pool{stage}', nn.MaxPool2d(2))
        self.out_channels = width

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Maps of the stages in ``out_indices``, each from before its pooling."""
        outs = []
        for stage in range(len(CHANNELS)):
            if 1 <= stage <= 3:
                x = getattr(self, f'pool{stage - 1}')(x)
            x = getattr(self, f'block{stage}')(x)
            if stage in self.out_indices:
                outs.append(x)
        return tuple(outs)
