"""roi_align of mmcv on the stand-in: the mean, and the maximum."""
import itertools

import pytest
import torch
from mmcv.ops import RoIAlign, roi_align
from ops_in_turn import both, gradients, random_boxes

# What a region may be: bins, scale, points, mode, aligned
SETTINGS = [((3, 2), 0.5, 2, 'avg', True), ((2, 2), 0.25, 0, 'avg', False),
            ((1, 4), 1., 1, 'max', True), ((3, 3), 0.5, 0, 'max', True),
            ((2, 3), 0.7, 0, 'avg', True), ((2, 2), 0.5, 3, 'max', False)]


def regions(generator, count, images, size):
    boxes = random_boxes(generator, count, size)
    image = torch.randint(0, images, (count, 1), generator=generator)
    return torch.cat([image.to(boxes), boxes], 1)


@pytest.mark.parametrize('settings', SETTINGS, ids=str)
def test_parity_roi_align(compiled, generator, settings):
    """Ten shapes of each of six settings, the first without a region."""
    for index in range(10):
        images, channels = 1 + index % 3, 1 + index % 4
        height, width = torch.randint(1, 12, (2, ), generator=generator).tolist()
        maps = torch.randn(images, channels, height, width, generator=generator)
        rois = regions(generator, index * 2, images, max(height, width) / settings[1])
        wanted, found = both(gradients, roi_align, maps, rois, *settings)
        assert len(found) == len(wanted) == 2
        if settings[3] == 'max':  # of no point at all
            wanted[0][wanted[0] == -10000] = 0
        for one, other in zip(found, wanted):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def by_hand(maps, roi, bins, scale, points, mode, aligned):
    """One region, one point after the other, as the papers have it; in float64."""
    height, width = maps.shape[2:]
    image, x1, y1, x2, y2 = roi.tolist()
    x1, y1, x2, y2 = (value * scale - 0.5 * aligned for value in (x1, y1, x2, y2))
    w, h = (max(size, 0 if aligned else 1) for size in (x2 - x1, y2 - y1))

    def read(y, x):
        if not (-1 <= y <= height and -1 <= x <= width):
            return 0 * maps[0, :, 0, 0]
        y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
        value = 0
        for i, j in itertools.product(range(height), range(width)):
            near = max(0, 1 - abs(y - i)) * max(0, 1 - abs(x - j))
            value = value + near * maps[int(image), :, i, j]
        return value

    out = maps.new_empty(maps.shape[1], *bins)
    for i, j in itertools.product(range(bins[0]), range(bins[1])):
        values = torch.stack([
            read(y1 + (i + (a + .5) / points) * h / bins[0],
                 x1 + (j + (b + .5) / points) * w / bins[1])
            for a, b in itertools.product(range(points), repeat=2)])
        out[:, i, j] = values.mean(0) if mode == 'avg' else values.max(0).values
    return out


@pytest.mark.parametrize('mode', ['avg', 'max'])
@pytest.mark.parametrize('aligned', [True, False])
def test_it_is_the_formula(stand_in, generator, mode, aligned):
    maps = torch.randn(2, 2, 4, 5, generator=generator, dtype=torch.float64)
    rois = regions(generator, 6, 2, 10.).double()
    found = roi_align(maps, rois, (2, 3), 0.5, 2, mode, aligned)
    for one, roi in zip(found, rois):
        wanted = by_hand(maps, roi, (2, 3), 0.5, 2, mode, aligned)
        torch.testing.assert_close(one, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_a_bin_without_a_point_is_nothing(stand_in, mode):
    maps = torch.ones(1, 1, 4, 4, requires_grad=True)
    found = roi_align(maps, torch.tensor([[0., 2, 2, 2, 2]]), 2, 1., 0, mode)
    found.sum().backward()
    assert found.abs().sum() == 0 and maps.grad.abs().sum() == 0


@pytest.mark.parametrize('mode', ['avg', 'max'])
@pytest.mark.parametrize('points', [0, 2])
def test_gradient(stand_in, generator, mode, points):
    maps = torch.randn(2, 2, 4, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    rois = regions(generator, 4, 2, 10.).double()
    rois[:, 3:] += 1  # a bin without a point has no gradient that could be tried
    assert torch.autograd.gradcheck(
        lambda maps: roi_align(maps, rois, (2, 2), 0.5, points, mode, True), (maps, ))


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_half_precision(stand_in, generator, dtype, mode):
    maps = torch.randn(1, 3, 8, 8, generator=generator)
    rois = regions(generator, 5, 1, 8.)
    wanted = gradients(lambda maps: roi_align(maps, rois, 2, 1., 2, mode), maps.to(dtype).float())
    found = gradients(lambda maps: roi_align(maps, rois, 2, 1., 2, mode), maps.to(dtype))
    for one, other in zip(found, wanted):
        assert one.dtype == dtype
        torch.testing.assert_close(one.float(), other, rtol=1e-2, atol=1e-2)


def test_under_autocast(stand_in, generator):
    maps = torch.randn(1, 3, 8, 8, generator=generator, requires_grad=True)
    rois = regions(generator, 5, 1, 8.)
    layer = RoIAlign(2, 1.0)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = layer(maps, rois)
    assert torch.equal(found, layer(maps, rois))
    found.sum().backward()
    assert maps.grad.abs().sum() > 0


def test_a_feature_in_another_layout(stand_in, generator):
    maps = torch.randn(2, 4, 8, 6, generator=generator)
    rois = regions(generator, 5, 2, 8.)
    for mode in ('avg', 'max'):
        wanted = roi_align(maps, rois, 2, 1., 2, mode)
        last = maps.contiguous(memory_format=torch.channels_last)
        assert torch.equal(roi_align(last, rois, 2, 1., 2, mode), wanted)
