"""masked_conv2d of mmcv on the stand-in; the compiled one needs a GPU."""
import pytest
import torch
from mmcv.ops.masked_conv import MaskedConv2d


@pytest.mark.parametrize('kernel, padding', [(3, 1), ((1, 3), (0, 1)), (1, 0)])
def test_it_is_a_convolution_where_the_mask_is(stand_in, generator, kernel, padding):
    layer = MaskedConv2d(3, 4, kernel, padding=padding)
    maps = torch.randn(1, 3, 6, 7, generator=generator)
    mask = (torch.rand(1, 6, 7, generator=generator) < 0.4).float()
    with torch.no_grad():
        found, wanted = layer(maps, mask), layer(maps) * mask
    assert 0 < mask.sum() < 42
    torch.testing.assert_close(found, wanted)


def test_nothing_is_chosen(stand_in, generator):
    layer = MaskedConv2d(3, 4, 3, padding=1)
    maps = torch.randn(1, 3, 5, 5, generator=generator)
    assert layer(maps, torch.zeros(1, 5, 5)).abs().sum() == 0
