"""What a training uses of mmcv, on the stand-in, on a pretended GPU."""
import pytest
import torch
from mmcv import ops
from ops_in_turn import random_boxes
from pretend_device import pretend_cuda

SHAPES = [[4, 5], [2, 3]]


def random(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)))


def boxes(count):
    return random_boxes(torch.Generator().manual_seed(0), count, 16.)


def rois(count):
    return torch.cat([torch.arange(count)[:, None] % 2, boxes(count)], 1)


def ms_deform(value, points, weights):
    from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction
    shapes = torch.tensor(SHAPES, device=value.device)
    starts = torch.tensor([0, 20], device=value.device)
    return MultiScaleDeformableAttnFunction.apply(value, shapes, starts, points, weights, 64)


# name: (function, tensors)
CASES = {
    'sigmoid_focal_loss': (lambda x, y: ops.sigmoid_focal_loss(x, y, 2., 0.25),
                           [random(9, 4), torch.arange(9) % 5]),
    'softmax_focal_loss': (lambda x, y: ops.softmax_focal_loss(x, y, 2., 0.25),
                           [random(9, 4), torch.arange(9) % 4]),
    'roi_align': (lambda x, y: ops.roi_align(x, y, 3, 0.5, 2), [random(2, 3, 8, 8), rois(5)]),
    'roi_align, points by size': (lambda x, y: ops.roi_align(x, y, 3, 0.5, 0),
                                  [random(2, 3, 8, 8), rois(5)]),
    'roi_align, max': (lambda x, y: ops.roi_align(x, y, 3, 0.5, 2, 'max'),
                       [random(2, 3, 8, 8), rois(5)]),
    'roi_pool': (lambda x, y: ops.roi_pool(x, y, 3, 0.5), [random(2, 3, 8, 8), rois(5)]),
    'deform_conv2d': (lambda x, moves, w: ops.deform_conv2d(x, moves, w, 1, 1),
                      [random(2, 4, 6, 6), random(2, 18, 6, 6), random(3, 4, 3, 3)]),
    'modulated_deform_conv2d': (
        lambda x, moves, masks, w: ops.modulated_deform_conv2d(x, moves, masks, w, None, 1, 1),
        [random(2, 4, 6, 6), random(2, 18, 6, 6), random(2, 9, 6, 6), random(3, 4, 3, 3)]),
    'ms_deform_attn': (ms_deform, [random(2, 26, 2, 4), random(2, 3, 2, 2, 2, 2),
                                   random(2, 3, 2, 2, 2)]),
    'carafe': (lambda x, y: ops.carafe(x, y, 3, 2, 2), [random(2, 4, 4, 5), random(2, 18, 8, 10)]),
    'border_align': (lambda x, y: ops.border_align(x, y, 3),
                     [random(2, 8, 5, 6), boxes(14).view(2, 7, 4)]),
    'psa_mask': (ops.PSAMask('collect', (3, 3)), [random(2, 9, 4, 4)]),
    'bbox_overlaps': (lambda x, y: ops.bbox_overlaps(x, y), [boxes(5), boxes(7)]),
}


# How far loops go: asked once, and for attention in the backward pass again.
WAITS = {'roi_pool': 1, 'ms_deform_attn': 2}


@pytest.fixture
def cuda(stand_in):
    with pretend_cuda() as device:
        yield device


@pytest.mark.parametrize('name', CASES)
def test_the_numbers_of_the_cpu(cuda, name):
    function, tensors = CASES[name]
    found = []
    for device in ('cpu', 'cuda'):
        inputs = [tensor.detach().clone().to(device) for tensor in tensors]
        leaf = inputs[0].requires_grad_()
        with cuda.counted() as waits:
            output = function(leaf, *inputs[1:])
            if output.requires_grad:
                output.sum().backward()
        found.append([output.detach().cpu(), None if leaf.grad is None else leaf.grad.cpu()])
    for here, there in zip(*found):
        assert (here is there is None) or torch.equal(here, there)
    ours = [wait for wait in waits if wait.ours]
    assert len(ours) == WAITS.get(name, 0), ours
