import pytest
import torch
from torch.nn import functional as F

from autokd_mm.models.backbones import CifarShuffleNetV1


@pytest.mark.parametrize('groups, channels', [(1, 144), (2, 200), (3, 240)])
def test_shapes_of_the_stages(groups, channels):
    backbone = CifarShuffleNetV1(groups, in_channels=1, out_indices=(0, 1, 2))
    outs = backbone(torch.rand(2, 1, 32, 32))
    assert [tuple(out.shape[1:]) for out in outs] == [
        (channels, 16, 16), (2 * channels, 8, 8), (4 * channels, 4, 4)]
    assert backbone.out_channels == 4 * channels


def test_only_the_last_stage_is_returned_by_default():
    outs = CifarShuffleNetV1()(torch.rand(2, 3, 16, 16))
    assert [out.shape for out in outs] == [(2, 960, 2, 2)]


def test_a_stage_begins_with_the_averaged_input_appended():
    unit, x = CifarShuffleNetV1().layer2[0], torch.randn(2, 240, 8, 8)
    out = unit(x)
    assert out.shape == (2, 480, 4, 4)
    assert torch.equal(out[:, 240:], F.relu(F.avg_pool2d(x, 3, 2, 1)))


def test_the_shuffle_gives_each_group_a_share_of_all_others():
    """A change in one input channel of one group reaches outputs of all three."""
    unit = CifarShuffleNetV1().layer2[1].eval()
    x = torch.randn(1, 480, 4, 4)
    changed = x.clone()
    changed[:, 0] += 5
    change = (unit(x) - unit(changed)).abs().sum((0, 2, 3)).view(3, 160).sum(1)
    assert (change > 0).all()


@pytest.mark.parametrize('wrong, words', [
    (dict(groups=4), "CifarShuffleNetV1 groups: '4' is unknown. Valid: 1, 2, 3"),
    (dict(in_channels=-1), 'in_channels: must be a positive integer'),
    (dict(out_indices=()), 'out_indices: must be some of 0, 1, 2')])
def test_wrong_arguments_are_named(wrong, words):
    with pytest.raises(ValueError, match=words):
        CifarShuffleNetV1(**wrong)
