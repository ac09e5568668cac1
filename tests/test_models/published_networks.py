"""The CIFAR networks of CRD's code, layer by layer: published weight names and their shapes.

Written from the architectures, without our backbones or converters: what those have is compared
with this.
"""
import torch


def conv(name, channels, out, size, groups=1, bias=False):
    shapes = {f'{name}.weight': (out, channels // groups, size, size)}
    return dict(shapes, **{f'{name}.bias': (out, )}) if bias else shapes


def norm(name, channels):
    per_channel = ('weight', 'bias', 'running_mean', 'running_var')
    return dict({f'{name}.{key}': (channels, ) for key in per_channel},
                **{f'{name}.num_batches_tracked': ()})


def linear(name, channels, out=100):
    return {f'{name}.weight': (out, channels), f'{name}.bias': (out, )}


def merged(*parts):
    return {key: shape for part in parts for key, shape in part.items()}


def resnet(depth, stem=16, base=16):
    layers, width = [conv('conv1', 3, stem, 3), norm('bn1', stem)], stem
    for stage in range(3):
        out = base * 2**stage
        for block in range((depth - 2) // 6):
            name = f'layer{stage + 1}.{block}'
            layers += [conv(f'{name}.conv1', width, out, 3), norm(f'{name}.bn1', out),
                       conv(f'{name}.conv2', out, out, 3), norm(f'{name}.bn2', out)]
            if width != out:
                layers += [conv(f'{name}.downsample.0', width, out, 1),
                           norm(f'{name}.downsample.1', out)]
            width = out
    return merged(*layers, linear('fc', width))


def resnet50():
    layers, width = [conv('conv1', 3, 64, 3), norm('bn1', 64)], 64
    for stage, (middle, blocks) in enumerate(zip((64, 128, 256, 512), (3, 4, 6, 3)), 1):
        for block in range(blocks):
            name, out = f'layer{stage}.{block}', 4 * middle
            layers += [conv(f'{name}.conv1', width, middle, 1), norm(f'{name}.bn1', middle),
                       conv(f'{name}.conv2', middle, middle, 3), norm(f'{name}.bn2', middle),
                       conv(f'{name}.conv3', middle, out, 1), norm(f'{name}.bn3', out)]
            if block == 0:
                layers += [conv(f'{name}.shortcut.0', width, out, 1),
                           norm(f'{name}.shortcut.1', out)]
            width = out
    return merged(*layers, linear('linear', 2048))


def wrn(depth, factor):
    layers, width = [conv('conv1', 3, 16, 3)], 16
    for stage in range(3):
        out = 16 * factor * 2**stage
        for block in range((depth - 4) // 6):
            name = f'block{stage + 1}.layer.{block}'
            layers += [norm(f'{name}.bn1', width), conv(f'{name}.conv1', width, out, 3),
                       norm(f'{name}.bn2', out), conv(f'{name}.conv2', out, out, 3)]
            if width != out:
                layers.append(conv(f'{name}.convShortcut', width, out, 1))
            width = out
    return merged(*layers, norm('bn1', width), linear('fc', width))


def vgg(convolutions):
    layers, width = [], 3
    for stage, out in enumerate((64, 128, 256, 512, 512)):
        for index in range(convolutions):
            layers += [conv(f'block{stage}.{3 * index}', width, out, 3, bias=True),
                       norm(f'block{stage}.{3 * index + 1}', out)]
            width = out
    return merged(*layers, linear('classifier', 512))


def mobilenetv2():
    layers, width = [conv('conv1.0', 3, 16, 3), norm('conv1.1', 16)], 16
    for stage, (out, blocks) in enumerate(
            ((8, 1), (12, 2), (16, 3), (32, 4), (48, 3), (80, 3), (160, 1))):
        for block in range(blocks):
            name, hidden = f'blocks.{stage}.{block}.conv', width * (6 if stage else 1)
            layers += [conv(f'{name}.0', width, hidden, 1), norm(f'{name}.1', hidden),
                       conv(f'{name}.3', hidden, hidden, 3, hidden), norm(f'{name}.4', hidden),
                       conv(f'{name}.6', hidden, out, 1), norm(f'{name}.7', out)]
            width = out
    return merged(*layers, conv('conv2.0', 160, 1280, 1), norm('conv2.1', 1280),
                  linear('classifier.0', 1280))


def shufflenetv1():
    layers, width = [conv('conv1', 3, 24, 1), norm('bn1', 24)], 24
    for stage, (channels, blocks) in enumerate(((240, 4), (480, 8), (960, 4)), 1):
        for block in range(blocks):
            name = f'layer{stage}.{block}'
            out = channels - width if block == 0 else channels  # the input is appended
            middle = out // 4
            layers += [conv(f'{name}.conv1', width, middle, 1, 1 if width == 24 else 3),
                       norm(f'{name}.bn1', middle),
                       conv(f'{name}.conv2', middle, middle, 3, middle),
                       norm(f'{name}.bn2', middle),
                       conv(f'{name}.conv3', middle, out, 1, 3), norm(f'{name}.bn3', out)]
            width = channels
    return merged(*layers, linear('linear', 960))


def shufflenetv2():
    layers, width = [conv('conv1', 3, 24, 1), norm('bn1', 24)], 24
    for stage, (channels, blocks) in enumerate(((116, 4), (232, 8), (464, 4)), 1):
        half = channels // 2
        for block in range(blocks):
            name = f'layer{stage}.{block}'
            sizes = [(half, half, 1, 1), (half, half, 3, half), (half, half, 1, 1)]
            if block == 0:
                sizes = [(width, width, 3, width), (width, half, 1, 1), (width, half, 1, 1),
                         *sizes[1:]]
            for index, (channels_in, out, size, groups) in enumerate(sizes, 1):
                layers += [conv(f'{name}.conv{index}', channels_in, out, size, groups),
                           norm(f'{name}.bn{index}', out)]
        width = channels
    return merged(*layers, conv('conv2', 464, 1024, 1), norm('bn2', 1024),
                  linear('linear', 1024))


# Parameters with a head for 100 classes, counted on CRD's code (github.com/HobbitLong/RepDistiller,
# models/); chenyaofo/pytorch-cifar-models publishes the same for ResNet-20, 32 and 56.
NETWORKS = {
    'resnet20': (278_324, lambda: resnet(20)),
    'resnet32': (472_756, lambda: resnet(32)),
    'resnet56': (861_620, lambda: resnet(56)),
    'resnet110': (1_736_564, lambda: resnet(110)),
    'resnet8x4': (1_233_540, lambda: resnet(8, 32, 64)),
    'resnet32x4': (7_433_860, lambda: resnet(32, 32, 64)),
    'resnet50': (23_705_252, resnet50),
    'wrn-16-2': (703_284, lambda: wrn(16, 2)),
    'wrn-40-1': (569_780, lambda: wrn(40, 1)),
    'wrn-40-2': (2_255_156, lambda: wrn(40, 2)),
    'vgg8': (3_965_028, lambda: vgg(1)),
    'vgg13': (9_462_180, lambda: vgg(2)),
    'mobilenetv2': (812_836, mobilenetv2),
    'shufflenetv1': (949_258, shufflenetv1),
    'shufflenetv2': (1_355_528, shufflenetv2),
}


def parameters(shapes):
    """How many values the parameters have: all but BatchNorm's statistics."""
    return sum(torch.Size(shape).numel() for key, shape in shapes.items()
               if 'running' not in key and 'tracked' not in key)


def state_dict(shapes):
    """Random weights under the published names."""
    generator = torch.Generator().manual_seed(0)
    return {key: torch.rand(shape, generator=generator) if shape
            else torch.tensor(7, dtype=torch.long) for key, shape in shapes.items()}
