"""Deformable convolutions of mmcv on the stand-in."""
import pytest
import torch
from mmcv.ops import (DeformConv2dPack, ModulatedDeformConv2dPack, deform_conv2d,
                      modulated_deform_conv2d)
from ops_in_turn import both, gradients
from torch.nn import functional as F


def draw(generator, *choices):
    return choices[int(torch.randint(len(choices), (1, ), generator=generator))]


class Case:
    """Tensors of a random shape: groups, groups of moves, stride, padding, dilation, kernel."""

    def __init__(self, generator, batch=None):
        self.groups, self.moved = draw(generator, 1, 2), draw(generator, 1, 2)
        self.stride, self.padding = draw(generator, 1, 2, (1, 2)), draw(generator, 0, 1, (1, 2))
        self.dilation, kernel = draw(generator, 1, 2), draw(generator, (3, 3), (1, 3), (2, 1))
        batch = batch or draw(generator, 1, 2, 3)
        size = [int(torch.randint(5, 9, (1, ), generator=generator)) for _ in range(2)]

        def random(*shape):
            return torch.randn(*shape, generator=generator)

        channels, out = 2 * self.groups * self.moved, 2 * self.groups
        self.maps = random(batch, channels, *size)
        self.weight = random(out, channels // self.groups, *kernel)
        places = F.conv2d(self.maps[:, :1], random(1, 1, *kernel), None, self.stride,
                          self.padding, self.dilation).shape[2:]
        points = kernel[0] * kernel[1] * self.moved
        self.moves = random(batch, 2 * points, *places) * 2
        self.masks = random(batch, points, *places).sigmoid()
        self.bias = random(out) if draw(generator, True, False) else None

    def v1(self, maps, moves, weight):
        return deform_conv2d(maps, moves, weight, self.stride, self.padding, self.dilation,
                             self.groups, self.moved, False, 2 if len(maps) % 2 == 0 else 1)

    def v2(self, maps, moves, masks, weight, bias):
        return modulated_deform_conv2d(maps, moves, masks, weight, bias, self.stride,
                                       self.padding, self.dilation, self.groups, self.moved)


def close(found, wanted, **tolerance):
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted):
        torch.testing.assert_close(one, other, **tolerance)


def test_parity_deform_conv(compiled, generator):
    for _ in range(50):
        case = Case(generator)
        wanted, found = both(gradients, case.v1, case.maps, case.moves, case.weight)
        assert len(wanted) == 4
        close(found, wanted, rtol=1e-4, atol=1e-4)


def test_parity_modulated_deform_conv(compiled, generator):
    for _ in range(50):
        case = Case(generator)
        wanted, found = both(gradients, case.v2, case.maps, case.moves, case.masks, case.weight,
                             case.bias)
        assert len(wanted) == 5 + (case.bias is not None)
        close(found, wanted, rtol=1e-4, atol=1e-4)


def test_parity_only_the_weight_learns(compiled, generator):
    case = Case(generator, batch=2)
    wanted, found = both(gradients, lambda weight: case.v1(case.maps, case.moves, weight),
                         case.weight)
    close(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('batch', [1, 2, 3])
def test_without_moves_it_is_a_convolution(stand_in, generator, batch):
    for _ in range(8):
        case = Case(generator, batch)
        wanted = F.conv2d(case.maps, case.weight, None, case.stride, case.padding, case.dilation,
                          case.groups)
        torch.testing.assert_close(case.v1(case.maps, case.moves * 0, case.weight), wanted)
        found = case.v2(case.maps, case.moves * 0, case.masks * 0 + 0.5, case.weight, None)
        torch.testing.assert_close(found, wanted / 2)


def test_gradient(stand_in, generator):
    for _ in range(5):
        case = Case(generator, 2)
        maps, moves, masks, weight = (value.double().requires_grad_() for value in (
            case.maps, case.moves, case.masks, case.weight))
        bias = None if case.bias is None else case.bias.double().requires_grad_()
        assert torch.autograd.gradcheck(case.v1, (maps, moves, weight), fast_mode=True)
        assert torch.autograd.gradcheck(case.v2, (maps, moves, masks, weight, bias),
                                        fast_mode=True)


def test_a_second_backward_starts_anew(stand_in, generator):
    """The weight's gradient is handed from one function of ours to the other."""
    case = Case(generator, 2)
    maps, weight = case.maps.requires_grad_(), case.weight.requires_grad_()
    out = case.v1(maps, case.moves, weight)
    first = torch.autograd.grad(out.sum(), [maps, weight], retain_graph=True)
    twice = torch.autograd.grad(out.sum() * 2, [maps, weight], retain_graph=True)
    close([grad * 2 for grad in first], twice)
    alone = torch.autograd.grad(out.sum(), [weight])
    close(first[1:], alone)


@pytest.mark.parametrize('layer', [DeformConv2dPack, ModulatedDeformConv2dPack])
def test_under_autocast(stand_in, generator, layer):
    """The moves come from a convolution in half precision, and everything follows them."""
    layer = layer(4, 4, 3, padding=1)
    maps = torch.randn(2, 4, 6, 6, generator=generator, requires_grad=True)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = layer(maps)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), layer(maps), rtol=0.05, atol=0.05)
    found.float().sum().backward()
    assert maps.grad.abs().sum() > 0 and layer.weight.grad.abs().sum() > 0


def larger(generator, tensor, rows=2, columns=3):
    """Moves that are made for a finer map than the output, as DyHead's are."""
    return torch.randn(*tensor.shape[:2], tensor.shape[2] + rows, tensor.shape[3] + columns,
                       generator=generator)


def test_parity_moves_of_a_finer_map(compiled, generator):
    for _ in range(20):
        case = Case(generator)
        wanted, found = both(gradients, case.v2, case.maps, larger(generator, case.moves),
                             larger(generator, case.masks).sigmoid(), case.weight, case.bias)
        close(found, wanted, rtol=1e-4, atol=1e-4)


def test_moves_of_a_finer_map_are_read_as_they_lie_in_memory(stand_in, generator):
    case = Case(generator, 2)
    moves, masks = larger(generator, case.moves), larger(generator, case.masks)
    first = [whole.flatten(1)[:, :part[0].numel()].reshape(part.shape)
             for whole, part in ((moves, case.moves), (masks, case.masks))]
    found = gradients(case.v2, case.maps, moves, masks, case.weight, case.bias)
    wanted = gradients(case.v2, case.maps, *first, case.weight, case.bias)
    for one, other in zip(found, wanted):
        if one.shape != other.shape:  # of the moves and the masks
            used = other[0].numel()
            assert not one.flatten(1)[:, used:].any()
            one = one.flatten(1)[:, :used].reshape(other.shape)
        torch.testing.assert_close(one, other)
