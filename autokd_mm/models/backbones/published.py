"""How the published CIFAR networks name their weights, and which network a file is of.

The names are those of CRD's code (HobbitLong/RepDistiller), whose checkpoints most papers since
use (megvii-research/mdistiller repeats them), of akamaster/pytorch_resnet_cifar10 and of
chenyaofo/pytorch-cifar-models. Ours are those of an mmpretrain ``ImageClassifier``:

===============  ==========================================  =================================
family           published                                   ours, under ``backbone.``
===============  ==========================================  =================================
CIFAR ResNet     layer[1-3].N.{downsample,shortcut}.[01]     layer[1-3].N.downsample.[01]
wide ResNet      block[1-3].layer.N.*, convShortcut          layer[1-3].N.*, downsample
VGG              block[0-4].N                                the same
MobileNetV2      conv1, blocks.S.N.conv.M, conv2             the same
ShuffleNetV1     conv1, bn1, layer[1-3].N.{conv,bn}[1-3]     the same
ShuffleNetV2     layer[1-3].N.{conv,bn}[1-5], conv2, bn2     layers.S.N.branchB.M.{conv,bn}
ResNet of He     layer[1-4].N.shortcut.[01]                  layer[1-4].N.downsample.[01]
===============  ==========================================  =================================

The last linear layer is fc, linear, classifier or classifier.0 there and ``head.fc`` here.
"""
import re
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Tuple

from torch import Tensor

from autokd_mm.errors import CheckpointError, nearest
from autokd_mm.models.backbones.cifar_resnet import DEPTHS
from autokd_mm.models.backbones.cifar_vgg import STAGES

Weights = Mapping[str, Tensor]
_WIDE_DEPTHS = (10, 16, 22, 28, 40)
_BLOCKS = {(2, 2, 2, 2): 18, (3, 4, 6, 3): 50, (3, 4, 23, 3): 101, (3, 8, 36, 3): 152}


class Family(NamedTuple):
    """Networks whose published files are named alike.

    Attributes:
        title: for messages.
        rename: a published backbone's key -> ours without ``backbone.``; None if it is not of
            the family.
        head: published name of the linear layer, as a pattern.
        arch: weights under our names -> config of the backbone. A KeyError says what is missing.
        label: that config -> the network's usual name.
    """
    title: str
    rename: Callable[[str], Optional[str]]
    head: str
    arch: Callable[[Weights], Dict[str, Any]]
    label: Callable[[Dict[str, Any]], str]


def _named(pattern: str, *changes: Tuple[str, str]) -> Callable[[str], Optional[str]]:
    """Keys that match ``pattern`` and one more name, with regular expressions replaced in them."""
    whole = re.compile(rf'({pattern})\.\w+')

    def rename(key: str) -> Optional[str]:
        if not whole.fullmatch(key):
            return None
        for old, new in changes:
            key = re.sub(old, new, key)
        return key

    return rename


def _children(weights: Weights, module: str) -> int:
    start = f'backbone.{module}.'
    return len({key[len(start):].split('.')[0] for key in weights if key.startswith(start)})


def _checked(what: str, value: object, valid: Any) -> Any:
    if value not in valid:
        raise CheckpointError(f'not a published network: {what} {nearest(value, valid)}')
    return value


def _resnet(weights: Weights) -> Dict[str, Any]:
    stem = weights['backbone.conv1.weight']
    base = weights['backbone.layer1.0.conv1.weight'].shape[0]
    arch = dict(type='mmrazor.CifarResNet',
                depth=_checked('depth', 6 * _children(weights, 'layer1') + 2, DEPTHS),
                base_channels=base, in_channels=stem.shape[1],
                shortcut='conv' if any('.downsample.' in key for key in weights) else 'pad')
    return arch if stem.shape[0] == base else dict(arch, stem_channels=stem.shape[0])


def _resnet_label(arch: Mapping[str, Any]) -> str:
    width = arch['base_channels']
    wide = f'x{width // 16}' if arch.get('stem_channels', width) * 2 == width else f'-w{width}'
    return f'resnet{arch["depth"]}{"" if width == 16 else wide}'


def _wide_resnet(weights: Weights) -> Dict[str, Any]:
    return dict(type='mmrazor.WideResNet',
                depth=_checked('depth', 6 * _children(weights, 'layer1') + 4, _WIDE_DEPTHS),
                widen_factor=weights['backbone.layer1.0.conv1.weight'].shape[0] // 16)


def _vgg(weights: Weights) -> Dict[str, Any]:
    convolutions = sum(key.startswith('backbone.') and value.dim() == 4
                       for key, value in weights.items())
    return dict(type='mmrazor.CifarVGG', depth=_checked('depth', convolutions + 3, STAGES))


def _mobilenet_v2(weights: Weights) -> Dict[str, Any]:
    hidden, width = weights['backbone.blocks.1.0.conv.0.weight'].shape[:2]
    return dict(type='mmrazor.CifarMobileNetV2', expand_ratio=hidden // width,
                widen_factor=weights['backbone.conv1.0.weight'].shape[0] / 32)


def _shufflenet_v1(weights: Weights) -> Dict[str, Any]:
    # the averaged input and what the first unit's convolutions give
    channels = sum(weights[f'backbone.{name}.weight'].shape[0] for name in ('bn1', 'layer1.0.bn3'))
    grouped = weights['backbone.layer1.1.conv1.weight'].shape[1]
    return dict(type='mmrazor.CifarShuffleNetV1', groups=channels // grouped)


def _rename_shufflenet_v2(key: str) -> Optional[str]:
    ends = re.fullmatch(r'(conv|bn)([12])\.(\w+)', key)
    if ends:
        return f'{"conv1" if ends[2] == "1" else "layers.3"}.{ends[1]}.{ends[3]}'
    inside = re.fullmatch(r'layer([1-3])\.(\d+)\.(conv|bn)([1-5])\.(\w+)', key)
    if not inside or (inside[2] != '0' and inside[4] > '3'):
        return None
    # The first block of a stage has two branches, of two and three convolutions.
    index = int(inside[4]) - (1 if inside[2] != '0' or inside[4] < '3' else 3)
    branch = 1 if inside[2] == '0' and inside[4] < '3' else 2
    return (f'layers.{int(inside[1]) - 1}.{inside[2]}.branch{branch}.{index}.'
            f'{inside[3]}.{inside[5]}')


def _shufflenet_v2(weights: Weights) -> Dict[str, Any]:
    half = weights['backbone.layers.0.0.branch1.1.conv.weight'].shape[0]
    widths = {24: 0.5, 58: 1.0, 88: 1.5, 122: 2.0}
    return dict(type='mmrazor.CifarShuffleNetV2',
                widen_factor=widths[_checked('half of the first stage\'s channels', half, widths)])


def _he_resnet(weights: Weights) -> Dict[str, Any]:
    blocks = tuple(_children(weights, f'layer{stage}') for stage in range(1, 5))
    depth = _BLOCKS[_checked('blocks', blocks, _BLOCKS)]
    if depth == 50 and 'backbone.layer1.0.conv3.weight' not in weights:
        depth = 34
    return dict(type='mmpretrain.ResNet_CIFAR', depth=depth)


# A file belongs to the first family whose names all its keys are. Those of a ShuffleNetV1 are
# among those of the two families behind it.
FAMILIES = (
    Family('CIFAR ResNet',
           _named(r'conv1|bn1|layer[123]\.\d+\.(conv[12]|bn[12]|(downsample|shortcut)\.[01])',
                  (r'\.shortcut\.', '.downsample.')),
           'linear|fc', _resnet, _resnet_label),
    Family('wide ResNet',
           _named(r'conv1|bn1|block[123]\.layer\.\d+\.(bn[12]|conv[12]|convShortcut)',
                  (r'block(\d)\.layer\.', r'layer\1.'), ('convShortcut', 'downsample')),
           'fc', _wide_resnet, lambda arch: f'wrn-{arch["depth"]}-{arch["widen_factor"]}'),
    Family('VGG', _named(r'block[0-4]\.\d+'), 'classifier', _vgg,
           lambda arch: f'vgg{arch["depth"]}'),
    Family('MobileNetV2', _named(r'conv[12]\.[01]|blocks\.[0-6]\.\d+\.conv\.[0-7]'),
           r'classifier\.0', _mobilenet_v2, lambda arch: 'mobilenetv2'),
    Family('ShuffleNetV1', _named(r'conv1|bn1|layer[123]\.\d+\.(conv|bn)[123]'), 'linear',
           _shufflenet_v1, lambda arch: 'shufflenetv1'),
    Family('ShuffleNetV2', _rename_shufflenet_v2, 'linear', _shufflenet_v2,
           lambda arch: 'shufflenetv2'),
    Family('ResNet of He',
           _named(r'conv1|bn1|layer[1234]\.\d+\.(conv[123]|bn[123]|shortcut\.[01])',
                  (r'\.shortcut\.', '.downsample.')),
           'linear', _he_resnet, lambda arch: f'resnet{arch["depth"]}'),
)
# What ``label`` gives for the networks of the literature's pairs.
NETWORKS = (*(f'resnet{depth}' for depth in DEPTHS), 'resnet8x4', 'resnet32x4', 'resnet50',
            'wrn-16-2', 'wrn-40-1', 'wrn-40-2', 'vgg8', 'vgg13', 'mobilenetv2', 'shufflenetv1',
            'shufflenetv2')
