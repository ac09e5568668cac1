import pytest
import torch

from autokd_mm.models.backbones import CifarShuffleNetV2


def test_shapes_of_the_stages():
    backbone = CifarShuffleNetV2(in_channels=1, widen_factor=0.5, out_indices=(0, 1, 2, 3))
    outs = backbone(torch.rand(2, 1, 32, 32))
    assert [tuple(out.shape[1:]) for out in outs] == [
        (48, 16, 16), (96, 8, 8), (192, 4, 4), (1024, 4, 4)]


def test_only_the_last_convolution_is_returned_by_default():
    outs = CifarShuffleNetV2()(torch.rand(2, 3, 16, 16))
    assert [out.shape for out in outs] == [(2, 1024, 2, 2)]


def test_initialisation_is_pytorchs_and_is_not_repeated():
    torch.manual_seed(0)
    backbone = CifarShuffleNetV2(widen_factor=0.5)
    backbone.init_weights()
    depthwise = backbone.layers[2][1].branch2[1].conv.weight
    # uniform within 1 / sqrt(9): deviation 1 / sqrt(27); mmpretrain's is 1
    assert depthwise.std().item() == pytest.approx(27**-0.5, rel=0.1)
    before = depthwise.clone()
    backbone.init_weights()
    assert torch.equal(depthwise, before)


@pytest.mark.parametrize('wrong, words', [
    (dict(in_channels=0), 'CifarShuffleNetV2 in_channels: must be a positive integer'),
    (dict(widen_factor=0.7), 'widen_factor'),
    (dict(out_indices=(4, )), 'out_indices')])
def test_wrong_arguments_are_named(wrong, words):
    with pytest.raises(ValueError, match=words):
        CifarShuffleNetV2(**wrong)
