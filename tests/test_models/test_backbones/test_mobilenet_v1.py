import pytest
import torch
from torch import nn

from autokd_mm.models.backbones import MobileNetV1

# Howard et al. 2017, table 1, row by row: kernel, in, out, groups, side of the output at 224.
TABLE = [(3, 3, 32, 1, 112)]
for width, out, side in ((32, 64, 112), (64, 128, 56), (128, 128, 56), (128, 256, 28),
                         (256, 256, 28), (256, 512, 14), *[(512, 512, 14)] * 5,
                         (512, 1024, 7), (1024, 1024, 7)):
    TABLE += [(3, width, width, width, side), (1, width, out, 1, side)]


def test_layer_by_layer_the_papers_table_and_the_published_number_of_parameters():
    backbone, found = MobileNetV1().eval(), []
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            assert module.bias is None
            module.register_forward_hook(lambda conv, _, out: found.append(
                (conv.kernel_size[0], conv.in_channels, conv.out_channels, conv.groups,
                 out.shape[-1])))
    with torch.no_grad():
        backbone(torch.zeros(1, 3, 224, 224))
    assert found == TABLE
    # by hand: convolutions, two numbers of BatchNorm for each channel, the head
    by_hand = sum(kernel**2 * width // groups * out + 2 * out
                  for kernel, width, out, groups, _ in TABLE) + 1024 * 1000 + 1000
    assert by_hand == 4_231_976
    counted = sum(value.numel() for value in backbone.parameters())
    assert counted + 1024 * 1000 + 1000 == by_hand


def test_multiply_adds_are_the_papers():
    """Table 8: 569 million."""
    total = sum(kernel**2 * width // groups * out * side**2
                for kernel, width, out, groups, side in TABLE) + 1024 * 1000
    assert round(total / 1e6) == 569


def test_stages_width_and_gradients():
    backbone = MobileNetV1(0.25, in_channels=1, out_indices=range(5))
    outs = backbone(torch.rand(2, 1, 64, 64))
    assert [tuple(out.shape[1:]) for out in outs] == [
        (16, 32, 32), (32, 16, 16), (64, 8, 8), (128, 4, 4), (256, 2, 2)]
    assert backbone.out_channels == 256 and min(out.min() for out in outs) >= 0
    outs[-1].square().mean().backward()
    assert all(value.grad is not None and value.grad.isfinite().all()
               for value in backbone.parameters())


@pytest.mark.parametrize('wrong, words', [
    (dict(widen_factor=0.01), 'widen_factor: must be a number of at least 1/32'),
    (dict(widen_factor='half'), 'widen_factor: must be a number of at least 1/32'),
    (dict(in_channels=0), 'in_channels: must be a positive integer'),
    (dict(out_indices=(5, )), 'out_indices: must be some of 0, 1')])
def test_wrong_arguments_are_named(wrong, words):
    with pytest.raises(ValueError, match=words):
        MobileNetV1(**wrong)
