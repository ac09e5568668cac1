"""border_align of mmcv on the stand-in; the compiled one needs a GPU."""
import torch
from mmcv.ops import border_align
from ops_in_turn import random_boxes
from torch.nn import functional as F

C, H, W = 2, 5, 6


def drawn(generator, boxes=7):
    maps = torch.randn(2, 4 * C, H, W, generator=generator, dtype=torch.float64)
    corners = random_boxes(generator, 2 * boxes, 6.).view(2, boxes, 4).double()
    return maps.requires_grad_(), corners


def read(plane, y, x):
    """Between the pixels of one plane; 0 from a pixel outside on."""
    if not (-1 <= y <= H and -1 <= x <= W):
        return 0.
    grid = torch.tensor([[min(max(x, 0), W - 1) / (W - 1), min(max(y, 0), H - 1) / (H - 1)]])
    return F.grid_sample(plane[None, None], grid[None, None].to(plane) * 2 - 1,
                         align_corners=True).item()


def test_it_is_the_formula(stand_in, generator):
    maps, boxes = drawn(generator)
    found = border_align(maps, boxes, 3)
    assert found.shape == (2, C, 7, 4)
    for image in range(2):
        for number, (x1, y1, x2, y2) in enumerate(boxes[image].tolist()):
            steps = [step / 3 for step in range(4)]
            sides = [[(y1, x1 + t * (x2 - x1)) for t in steps],
                     [(y1 + t * (y2 - y1), x1) for t in steps],
                     [(y2, x2 - t * (x2 - x1)) for t in steps],
                     [(y2 - t * (y2 - y1), x2) for t in steps]]
            for side, points in enumerate(sides):
                for channel in range(C):
                    plane = maps.detach()[image, side * C + channel]
                    wanted = max(read(plane, *point) for point in points)
                    assert abs(found[image, channel, number, side].item() - wanted) < 1e-6


def test_gradient(stand_in, generator):
    maps, boxes = drawn(generator, 3)
    assert torch.autograd.gradcheck(lambda maps: border_align(maps, boxes, 2), (maps, ),
                                    fast_mode=True)


def test_half_precision(stand_in, generator):
    maps, boxes = drawn(generator)
    found = border_align(maps.detach().half(), boxes.half(), 3)
    assert found.dtype == torch.float16
    wanted = border_align(maps.detach().half().float(), boxes.half().float(), 3)
    torch.testing.assert_close(found.float(), wanted, rtol=0.01, atol=0.01)
