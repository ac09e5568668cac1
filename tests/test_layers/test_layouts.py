"""Tokens and channels-last maps are found and read as the networks' own maps."""
import pytest
import torch
from mmengine.registry import DefaultScope
from torch import nn

from autokd_mm.errors import ConfigError
from autokd_mm.layers.capture import capture
from autokd_mm.layers.layouts import layout_of
from autokd_mm.layers.tensors import tensors_at
from autokd_mm.models.algorithms import BareTeacher
from autokd_mm.models.connectors import IdentityConnector
from autokd_mm.models.connectors.layout import Layout
from autokd_mm.models.transforms.padding import BatchSizes
from autokd_mm.registry import MODELS

VIT = dict(arch=dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=24),
           img_size=64, patch_size=16)
TIMM = dict(embed_dim=16, depth=2, num_heads=2, img_size=64, patch_size=16, dynamic_img_size=True)
SWIN = dict(img_size=(64, 96), window_size=4, embed_dim=12, depths=(1, 1, 1), num_heads=(1, 2, 3))


def network(**backbone):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        torch.manual_seed(0)
        return MODELS.build(dict(type='ImageClassifier', backbone=backbone)).eval()


def heard(net, layer, images):
    tensors = []
    handle = net.get_submodule(layer).register_forward_hook(
        lambda module, args, output: tensors.append(output))
    net(images)
    handle.remove()
    return tensors[0][0] if isinstance(tensors[0], tuple) else tensors[0]


@torch.no_grad()
def check(net, layer, images, wanted, extra=None, last=False):
    """Found in one image size and in any, heard in a network, and read by a connector."""
    size = tuple(images.shape[2:])
    for dense in (False, True):
        one, = tensors_at(net, dict(student=[layer]), images, None, dense)['student']
        assert one.shape == tuple(wanted.shape[1:])
        assert (one.layout.extra_tokens, one.layout.channels_last) == (extra, last)
        assert one.stride == size[0] // wanted.shape[2]
        with capture(net, dict(role=one.source), dict(role=one.layout)) as found:
            net(images)
        assert torch.equal(found['role'], wanted)
        stride = one.layout.stride
        assert (stride is None) == (extra is None or not dense)
        connector = IdentityConnector(**one.layout.arguments(),
                                      strides=stride and (stride, stride))
        connector.show_sizes(BatchSizes((size, ) * len(images), size))
        assert torch.equal(connector(heard(net, layer, images)), wanted)


@pytest.mark.parametrize('name, options, extra', [
    ('vit_tiny_patch16_224', {}, 1), ('deit_tiny_distilled_patch16_224', {}, 2),
    ('vit_small_patch14_reg4_dinov2', {}, 5), ('vit_small_patch16_dinov3', {}, 5),
    ('eva02_tiny_patch14_224', {}, 1),
    ('vit_tiny_patch16_224', dict(class_token=False, global_pool='avg'), 0)])
@pytest.mark.parametrize('size', [(64, 64), (64, 96)])
def test_tokens_of_timm(name, options, extra, size):
    pytest.importorskip('timm')
    net = network(type='TIMMBackbone', model_name=name, **TIMM, **options)
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        wanted = net.backbone.timm_model.forward_intermediates(
            images, indices=[0], norm=False, output_fmt='NCHW', intermediates_only=True)[0]
    check(net, 'backbone.timm_model.blocks.0', images, wanted, extra)


@pytest.mark.parametrize('kind, options, extra', [
    ('VisionTransformer', {}, 1), ('DistilledVisionTransformer', {}, 2), ('DeiT3', {}, 1),
    ('BEiTViT', dict(img_size=(64, 96)), 1), ('ViTEVA02', dict(img_size=(64, 96)), 1)])
def test_tokens_of_mmpretrain(kind, options, extra):
    net = network(type=kind, out_type='featmap', final_norm=False, **{**VIT, **options})
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        wanted, = net(images)
    assert wanted.shape[2:] == (4, 6)
    check(net, 'backbone.layers.1', images, wanted, extra)


def test_stages_of_swin():
    """MMPretrain's give their tokens with the rows and columns, timm's maps with channels last."""
    pytest.importorskip('timm')
    net = network(type='SwinTransformer', img_size=(64, 96), window_size=4, pad_small_map=True,
                  arch=dict(embed_dims=12, depths=[1, 1, 1, 1], num_heads=[1, 2, 3, 4]),
                  out_indices=(0, 1, 2))
    images = torch.randn(2, 3, 64, 96)
    for stage in range(3):
        setattr(net.backbone, f'norm{stage}', nn.Identity())
    with torch.no_grad():
        maps = net(images)
    for stage, wanted in enumerate(maps):
        check(net, f'backbone.stages.{stage}', images, wanted, 0)
    net = network(type='TIMMBackbone', model_name='swin_tiny_patch4_window7_224', **SWIN)
    with torch.no_grad():
        maps = net.backbone.timm_model.forward_intermediates(
            images, norm=False, output_fmt='NCHW', intermediates_only=True)
    for stage, wanted in enumerate(maps):
        check(net, f'backbone.timm_model.layers.{stage}', images, wanted, last=True)


def test_stages_that_give_two_grids():
    """MMDetection's and MMSegmentation's Swin: behind the step to the next stage, and before."""
    with DefaultScope.overwrite_default_scope('mmdet'):
        pytest.importorskip('mmdet')
        body = MODELS.build(dict(type='mmdet.SwinTransformer', embed_dims=12, depths=(1, 1, 1, 1),
                                 num_heads=(1, 2, 3, 4), window_size=4))
    net = BareTeacher(body).eval()
    images = torch.randn(2, 3, 64, 96)
    for stage in range(4):
        setattr(body, f'norm{stage}', nn.Identity())
    with torch.no_grad():
        maps = net(images)
    found = tensors_at(net, dict(student=['backbone.stages.0', 'backbone.stages.1[2]']), images,
                       None, True)['student']
    assert [(one.source, one.stride, one.layout) for one in found] == [
        ('backbone.stages.0[0]', 8, Layout(0, stride=8)),
        ('backbone.stages.0[2]', 4, Layout(0, stride=4)),
        ('backbone.stages.1[2]', 8, Layout(0, stride=8))]
    with torch.no_grad(), capture(net, dict(role=found[2].source),
                                  dict(role=found[2].layout)) as heard_there:
        net(images)
    assert torch.equal(heard_there['role'], maps[1])
    with pytest.raises(ConfigError, match=r'out of range, .* the last is .*stages.0\[2\]'):
        tensors_at(net, dict(student=['backbone.stages.0[1]']), images)


def test_maps_inside_sam_have_their_channels_last():
    net = network(type='ViTSAM', window_size=2, out_channels=0,
                  arch=dict(**VIT['arch'], global_attn_indexes=[1]), img_size=64, patch_size=16)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        wanted, = net(images)
    check(net, 'backbone.layers.1', images, wanted, last=True)


def test_a_class_token_that_comes_late():
    """XCiT's layers see it only behind those of its maps."""
    net = network(type='XCiT', patch_size=16, img_size=64, embed_dims=24, depth=2, num_heads=2,
                  cls_attn_layers=1, mlp_ratio=2, layer_scale_init_value=1.)
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        tokens = heard(net, 'backbone.xca_layers.1', images)
    wanted = tokens.transpose(1, 2).reshape(2, 24, 4, 6)
    check(net, 'backbone.xca_layers.1', images, wanted, 0)


def layout(shape, extra=None, image=(64, 96), dense=False, last=False):
    return layout_of(torch.zeros(shape), extra, image, dense, None, 'layers.teacher: net', last)


def test_what_tells_tokens_and_maps_apart():
    assert layout((2, 25, 8)) == Layout(1, (4, 6))  # length minus grid
    assert layout((2, 24, 8), image=(64, 64), extra=8) == Layout(8)
    assert layout((2, 24, 8), dense=True) == Layout(0, stride=16)
    assert layout((2, 12, 4, 6)) == Layout() and layout((2, 4, 6, 12)).channels_last
    assert layout((2, 8)) == Layout() == layout((2, 8, 8, 8), image=(64, 64))
    assert layout((2, 8, 8, 8), image=(64, 64), last=True).channels_last
    with pytest.raises(ConfigError, match='net gives a tensor of shape .* num_prefix_tokens'):
        layout((2, 40, 8))
    with pytest.raises(ConfigError, match='no grid of 4 x 4'):
        Layout(1, (4, 4)).as_map(torch.zeros(2, 16, 8), 'net')


def test_a_class_token_alone_is_no_map():
    """As DPT's, which its backbone returns beside the map."""
    assert layout_of(torch.zeros(2, 1, 16), 1, (256, 384), True, None, 'any') == Layout(1)
