import pytest
import torch

from autokd_mm.models.backbones import CifarVGG


def test_shapes_of_the_stages():
    outs = CifarVGG(8, in_channels=1, out_indices=(0, 1, 2, 3, 4))(torch.rand(2, 1, 32, 32))
    assert [tuple(out.shape[1:]) for out in outs] == [
        (64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 4, 4)]
    assert all(out.min() >= 0 for out in outs)


def test_only_the_last_stage_is_returned_by_default():
    outs = CifarVGG(8)(torch.rand(1, 3, 16, 16))
    assert [out.shape for out in outs] == [(1, 512, 2, 2)]


@pytest.mark.parametrize('depth', [8, 11, 13, 16, 19])
def test_depth_counts_the_three_linear_layers_of_the_paper(depth):
    convolutions = [module for module in CifarVGG(depth).modules()
                    if isinstance(module, torch.nn.Conv2d)]
    assert len(convolutions) + 3 == depth


@pytest.mark.parametrize('wrong, words', [
    (dict(depth=12), "CifarVGG depth: '12' is unknown"),
    (dict(in_channels=0), 'CifarVGG in_channels: must be a positive integer'),
    (dict(out_indices=(5, )), 'CifarVGG out_indices: must be some of 0, 1, 2, 3, 4')])
def test_wrong_arguments_are_named(wrong, words):
    with pytest.raises(ValueError, match=words):
        CifarVGG(**wrong)
