"""carafe of mmcv on the stand-in; the compiled one needs a GPU."""
import pytest
import torch
from mmcv.ops import carafe, carafe_naive
from mmcv.ops.carafe import CARAFEPack
from torch.nn import functional as F

from autokd_mm.ops.carafe import carafe_naive_backward


def drawn(generator, groups=2, k=3, s=2, size=(4, 5)):
    maps = torch.randn(2, 4, *size, generator=generator, dtype=torch.float64)
    masks = torch.randn(2, groups * k * k, size[0] * s, size[1] * s, generator=generator,
                        dtype=torch.float64)
    return maps.requires_grad_(), masks.requires_grad_()


def unfolded(maps, masks, k, groups, s):
    """Every place of the output with its k x k neighbours in the input, unfolded."""
    n, channels, height, width = maps.shape
    near = F.unfold(maps, k, padding=k // 2).view(n, channels * k * k, height, width)
    near = F.interpolate(near, scale_factor=s, mode='nearest')
    near = near.view(n, groups, channels // groups, k * k, height * s, width * s)
    return (near * masks.view(n, groups, 1, k * k, height * s, width * s)).sum(3).flatten(1, 2)


@pytest.mark.parametrize('groups, k, s', [(1, 3, 2), (2, 5, 2), (4, 1, 3), (2, 3, 1)])
@pytest.mark.parametrize('function', [carafe, carafe_naive])
def test_it_is_the_formula(stand_in, generator, function, groups, k, s):
    maps, masks = drawn(generator, groups, k, s)
    torch.testing.assert_close(function(maps, masks, k, groups, s),
                               unfolded(maps, masks, k, groups, s))


def test_gradient(stand_in, generator):
    maps, masks = drawn(generator, size=(3, 2))
    assert torch.autograd.gradcheck(lambda *args: carafe(*args, 3, 2, 2), (maps, masks),
                                    fast_mode=True)


def test_gradient_of_the_naive_one(generator):
    """mmcv lets it run backward on a GPU only."""
    maps, masks = drawn(generator)
    grad = torch.randn(2, 4, 8, 10, generator=generator, dtype=torch.float64)
    wanted = torch.autograd.grad(unfolded(maps, masks, 3, 2, 2), [maps, masks], grad)
    found = [torch.zeros_like(maps), torch.zeros_like(masks)]
    carafe_naive_backward(grad, maps, masks, *found, kernel_size=3, group_size=2, scale_factor=2)
    for one, other in zip(found, wanted):
        torch.testing.assert_close(one, other)


def test_the_module_under_autocast(stand_in, generator):
    module = CARAFEPack(8, 2, compressed_channels=4)
    maps = torch.randn(1, 8, 4, 4, generator=generator, requires_grad=True)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = module(maps)
    torch.testing.assert_close(found.float(), module(maps), rtol=0.05, atol=0.05)
    found.float().sum().backward()
    assert maps.grad.abs().sum() > 0
