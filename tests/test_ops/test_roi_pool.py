"""roi_pool and deform_roi_pool of mmcv on the stand-in; the compiled ones need a GPU."""
import math

import pytest
import torch
from mmcv.ops import deform_roi_pool, roi_align, roi_pool
from ops_in_turn import random_boxes


def regions(generator, count, images, size):
    image = torch.randint(0, images, (count, 1), generator=generator)
    boxes = random_boxes(generator, count, size)
    return torch.cat([image.to(boxes), boxes], 1).double()


def by_hand(maps, roi, bins, scale):
    """Largest pixel of each bin, cut out."""
    height, width = maps.shape[2:]
    x1, y1 = roi[1].item() * scale, roi[2].item() * scale
    w, h = (roi[3].item() + 1) * scale - x1, (roi[4].item() + 1) * scale - y1
    out = maps.new_zeros(maps.shape[1], *bins)
    if w <= 0 or h <= 0:
        return out
    for i in range(bins[0]):
        for j in range(bins[1]):
            top, left = math.floor(i * (h / bins[0]) + y1), math.floor(j * (w / bins[1]) + x1)
            down = math.ceil((i + 1) * (h / bins[0]) + y1)
            right = math.ceil((j + 1) * (w / bins[1]) + x1)
            pixels = maps[int(roi[0]), :, max(top, 0):max(down, 0), max(left, 0):max(right, 0)]
            if pixels.numel():
                out[:, i, j] = pixels.flatten(1).max(1).values
    return out


def test_roi_pool_is_the_formula(stand_in, generator):
    maps = torch.randn(2, 3, 6, 7, generator=generator, dtype=torch.float64)
    rois = regions(generator, 40, 2, 12.)
    rois[0, 3] = rois[0, 1] - 5  # ends before it begins
    found = roi_pool(maps, rois, (2, 3), 0.5)
    for one, roi in zip(found, rois):
        assert torch.equal(one, by_hand(maps, roi, (2, 3), 0.5))


def test_roi_pool_gradient(stand_in, generator):
    maps = torch.randn(2, 2, 5, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    rois = regions(generator, 8, 2, 6.)
    assert torch.autograd.gradcheck(lambda maps: roi_pool(maps, rois, (2, 2), 1.), (maps, ))


def test_no_region(stand_in):
    maps = torch.randn(1, 2, 4, 4, requires_grad=True)
    for pool in (roi_pool, lambda *args: deform_roi_pool(args[0], args[1], None, *args[2:])):
        found = pool(maps, torch.zeros(0, 5), (2, 2), 1.)
        assert found.shape == (0, 2, 2, 2)
        found.sum().backward()
        assert maps.grad.abs().sum() == 0


@pytest.mark.parametrize('points', [0, 2])
def test_deform_roi_pool_at_rest_is_roi_align(stand_in, generator, points):
    maps = torch.randn(2, 3, 6, 7, generator=generator, dtype=torch.float64)
    rois = regions(generator, 20, 2, 12.)
    wanted = roi_align(maps, rois, (2, 3), 0.5, points, 'avg', True)
    for offset in (None, torch.zeros(20, 2, 2, 3, dtype=torch.float64)):
        found = deform_roi_pool(maps, rois, offset, (2, 3), 0.5, points)
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


def test_deform_roi_pool_moves_its_bins(stand_in, generator):
    """With gamma 1/2, dx = 1 moves all bins by half of the region's width, as a moved region is."""
    maps = torch.randn(1, 2, 8, 8, generator=generator, dtype=torch.float64)
    rois = torch.tensor([[0., 1, 2, 5, 6]], dtype=torch.float64)
    offset = torch.zeros(1, 2, 2, 2, dtype=torch.float64)
    offset[:, 0] = 1
    found = deform_roi_pool(maps, rois, offset, (2, 2), 1., 2, 0.5)
    moved = rois + rois.new_tensor([0, 2, 0, 2, 0])
    torch.testing.assert_close(found, roi_align(maps, moved, (2, 2), 1., 2, 'avg', True))
    offset[:] = 0
    offset[:, 1] = 1
    found = deform_roi_pool(maps, rois, offset, (2, 2), 1., 2, 0.25)
    moved = rois + rois.new_tensor([0, 0, 1, 0, 1])
    torch.testing.assert_close(found, roi_align(maps, moved, (2, 2), 1., 2, 'avg', True))


def test_deform_roi_pool_gradient(stand_in, generator):
    maps = torch.randn(2, 2, 6, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    rois = regions(generator, 4, 2, 6.)
    offset = torch.randn(4, 2, 2, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda maps, offset: deform_roi_pool(maps, rois, offset, (2, 2), 1., 2, 0.1),
        (maps, offset), fast_mode=True)
