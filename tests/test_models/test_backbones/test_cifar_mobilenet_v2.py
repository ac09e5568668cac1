import pytest
import torch

from autokd_mm.models.backbones import CifarMobileNetV2


def test_shapes_of_the_stages():
    backbone = CifarMobileNetV2(in_channels=1, out_indices=range(8))
    outs = backbone(torch.rand(2, 1, 32, 32))
    assert [tuple(out.shape[1:]) for out in outs] == [
        (8, 16, 16), (12, 16, 16), (16, 8, 8), (32, 4, 4), (48, 4, 4), (80, 2, 2), (160, 2, 2),
        (1280, 2, 2)]


def test_only_the_last_convolution_is_returned_by_default_and_is_rectified():
    outs = CifarMobileNetV2()(torch.rand(2, 3, 32, 32))
    assert [out.shape for out in outs] == [(2, 1280, 2, 2)]
    assert outs[0].min() == 0


def test_last_convolution_widens_only_above_width_1():
    assert CifarMobileNetV2(0.25).out_channels == 1280
    assert CifarMobileNetV2(1.5).out_channels == 1920


def test_a_block_adds_its_input_where_the_shapes_allow_it():
    backbone = CifarMobileNetV2()
    assert [[block.residual for block in stage] for stage in backbone.blocks] == [
        [False], [False, True], [False, True, True], [False, True, True, True],
        [False, True, True], [False, True, True], [False]]
    block, x = backbone.eval().blocks[1][1], torch.rand(1, 12, 4, 4)
    assert torch.equal(block(x) - x, x + block.conv(x) - x)


@pytest.mark.parametrize('wrong, words', [
    (dict(widen_factor=0.01), 'widen_factor: must be a number of at least 1/16'),
    (dict(widen_factor='half'), 'widen_factor: must be a number of at least 1/16'),
    (dict(expand_ratio=0), 'expand_ratio: must be a positive integer'),
    (dict(in_channels=None), 'in_channels: must be a positive integer'),
    (dict(out_indices=(8, )), 'out_indices: must be some of 0, 1')])
def test_wrong_arguments_are_named(wrong, words):
    with pytest.raises(ValueError, match=words):
        CifarMobileNetV2(**wrong)
