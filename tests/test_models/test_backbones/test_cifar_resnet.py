import pytest
import torch
from mmpretrain.registry import MODELS as MMPRETRAIN

import autokd_mm  # noqa: F401  (registers the recorders)
from autokd_mm.models.backbones import CifarResNet
from autokd_mm.registry import MODELS, TASK_UTILS


def parameters(module):
    return sum(value.numel() for value in module.parameters())


def classifier(classes=10, **backbone):
    channels = 4 * backbone.get('base_channels', 16)
    return MMPRETRAIN.build(dict(
        type='ImageClassifier',
        backbone=dict(type='mmrazor.CifarResNet', **backbone),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=classes, in_channels=channels)))


@pytest.mark.parametrize('depth, count', [  # He et al. table 6 rounds them: 0.27 M ... 1.7 M
    (20, 269722), (32, 464154), (44, 658586), (56, 853018), (110, 1727962)])
def test_option_a_has_the_published_number_of_parameters(depth, count):
    assert parameters(classifier(depth=depth, shortcut='pad')) == count


@pytest.mark.parametrize('depth, count', [  # chenyaofo, cifar100_resnet20 ... 56
    (20, 278324), (32, 472756), (44, 667188), (56, 861620)])
def test_option_b_has_the_published_number_of_parameters(depth, count):
    assert parameters(classifier(100, depth=depth, shortcut='conv')) == count


@pytest.mark.parametrize('shortcut', ['pad', 'conv'])
@pytest.mark.parametrize('size', [8, 9, 32])
def test_shapes_of_the_stages(shortcut, size):
    backbone = CifarResNet(8, base_channels=4, in_channels=1, shortcut=shortcut,
                           out_indices=(0, 1, 2))
    outs = backbone(torch.rand(2, 1, size, size))
    half, quarter = -(-size // 2), -(-size // 4)
    assert [tuple(out.shape) for out in outs] == [
        (2, 4, size, size), (2, 8, half, half), (2, 16, quarter, quarter)]


@pytest.mark.parametrize('shortcut', ['pad', 'conv'])
def test_stem_of_its_own_width(shortcut):
    """resnet8x4 and resnet32x4 begin with half of the first stage's channels."""
    backbone = CifarResNet(8, base_channels=8, stem_channels=4, shortcut=shortcut,
                           out_indices=(0, 1, 2))
    outs = backbone(torch.rand(2, 3, 8, 8))
    assert backbone.conv1.out_channels == 4
    assert [tuple(out.shape[1:]) for out in outs] == [(8, 8, 8), (16, 4, 4), (32, 2, 2)]


def test_only_the_last_stage_is_returned_by_default():
    outs = CifarResNet(14)(torch.rand(1, 3, 32, 32))
    assert isinstance(outs, tuple) and [out.shape for out in outs] == [(1, 64, 8, 8)]


def test_padded_shortcut_keeps_pixels_and_adds_zeros():
    block = CifarResNet(8, base_channels=4).layer2[0]
    x = torch.rand(2, 4, 6, 6)
    expected = torch.zeros(2, 8, 3, 3)
    expected[:, 2:6] = x[:, :, ::2, ::2]
    assert torch.equal(block.downsample(x), expected)
    assert parameters(block.downsample) == 0


@pytest.mark.parametrize('shortcut', ['pad', 'conv'])
def test_nothing_overwrites_what_a_module_returned(shortcut):
    backbone = CifarResNet(14, base_channels=4, shortcut=shortcut)
    kept, copies, calls = {}, {}, []

    def keep(name):
        def hook(module, inputs, output):
            calls.append(name)
            kept[name] = output[-1] if isinstance(output, tuple) else output
            copies[name] = kept[name].detach().clone()
        return hook

    for name, module in backbone.named_modules():
        module.register_forward_hook(keep(name))
    image = torch.randn(2, 3, 16, 16)
    before = image.clone()
    backbone(image)[-1].sum().backward()
    assert torch.equal(image, before)
    assert [name for name in kept if not torch.equal(kept[name], copies[name])] == []
    assert len(calls) == len(set(calls))


def test_recorder_keeps_batch_norm_from_before_the_relu():
    model = classifier(depth=8, base_channels=4)
    recorder = TASK_UTILS.build(dict(
        type='mmrazor.ModuleOutputsRecorder', source='backbone.layer3.0.bn2'))
    recorder.initialize(model)
    with recorder:
        model(torch.randn(2, 3, 16, 16))
    assert recorder.get_record_data().min() < 0


def test_gradients_reach_every_parameter():
    model = classifier(depth=8, base_channels=4, shortcut='conv')
    model(torch.randn(4, 3, 16, 16)).square().sum().backward()
    assert [name for name, value in model.named_parameters()
            if value.grad is None or not value.grad.abs().sum() > 0] == []


def test_initialisation_is_kaiming():
    torch.manual_seed(0)
    backbone = CifarResNet(8, base_channels=32)
    backbone.init_weights()
    weight = backbone.layer3[0].conv2.weight
    assert weight.std().item() == pytest.approx((2 / (9 * 128))**0.5, rel=0.05)
    assert torch.equal(backbone.bn1.weight, torch.ones(32))


def test_registered_beside_mmpretrains_own():
    assert MODELS.get('mmrazor.CifarResNet') is CifarResNet
    assert MMPRETRAIN.get('ResNet_CIFAR') is not CifarResNet


@pytest.mark.parametrize('wrong, words', [
    (dict(depth=19), "depth: '19' is unknown"),
    (dict(shortcut='pas'), "shortcut: 'pas' is unknown, did you mean 'pad'"),
    (dict(base_channels=0), 'base_channels: must be a positive integer'),
    (dict(stem_channels=0), 'stem_channels: must be a positive integer'),
    (dict(in_channels=1.5), 'in_channels: must be a positive integer'),
    (dict(out_indices=(3, )), 'out_indices: must be some of 0, 1, 2'),
    (dict(out_indices=()), 'out_indices: must be some of 0, 1, 2')])
def test_wrong_arguments_are_named(wrong, words):
    with pytest.raises(ValueError, match=words):
        CifarResNet(**wrong)
