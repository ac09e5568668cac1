import numpy as np
import pytest
import torch

from autokd_mm.visualization import ComparedMaps, draw
from autokd_mm.visualization.compared_maps import _without_padding


def row(teacher, student):
    return ComparedMaps('loss: layer', teacher, student, (teacher - student).abs())


def test_maps_of_a_row_share_one_scale():
    small, large = torch.full((4, 4), 0.25), torch.full((4, 4), 4.0)
    small[0, 0], large[0, 0] = 0.0, 0.0
    picture = draw(np.zeros((32, 32, 3), np.uint8), [row(large, small)])
    panels = [picture[30 + 112:30 + 200, 8 + 232 * column + 112] for column in range(4)]
    assert panels[0].max() < 5
    # jet: dark blue is little, red is much
    assert panels[1][..., 0].mean() > panels[1][..., 2].mean()
    assert panels[2][..., 2].mean() > panels[2][..., 0].mean()
    assert not np.array_equal(panels[2], panels[3])


def test_wide_images_keep_their_shape_and_rows_follow_each_other():
    maps = torch.rand(3, 6)
    one = draw(np.zeros((24, 48, 3), np.uint8), [row(maps, maps * 2)])
    two = draw(np.zeros((24, 48, 3), np.uint8), [row(maps, maps * 2)] * 2, note='a remark')
    assert one.shape == (112 + 30 + 8, 4 * 232 + 8, 3)
    assert two.shape == (2 * (112 + 30) + 30, 4 * 232 + 8, 3)
    assert two[-25:-5].min() < 100 and one[-7:].min() == 255  # the remark is written


@pytest.mark.parametrize('size, share, expected', [
    ((4, 4), (1.0, 1.0), (4, 4)), ((4, 4), (0.75, 0.5), (3, 2)), ((4, 4), (0.7, 0.26), (3, 2)),
    ((3, 3), (0.01, 1.0), (1, 3))])
def test_cells_of_the_padding_are_left_out(size, share, expected):
    tensor = torch.arange(float(size[0] * size[1])).view(1, 1, *size)
    found = _without_padding(tensor, share)
    assert tuple(found.shape[-2:]) == expected
    assert torch.equal(found, tensor[..., :expected[0], :expected[1]])
