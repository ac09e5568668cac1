"""bbox_overlaps of mmcv on the stand-in."""
import pytest
import torch
from mmcv.ops import bbox_overlaps
from ops_in_turn import both, random_boxes


@pytest.mark.parametrize('mode', ['iou', 'iof'])
@pytest.mark.parametrize('offset', [0, 1])
def test_parity_bbox_overlaps(compiled, generator, mode, offset):
    for index in range(25):
        boxes, others = (random_boxes(generator, index % count, 20.) for count in (7, 5))
        if index % 2:
            others = boxes.flip(0)
        wanted, found = both(bbox_overlaps, boxes, others, mode, bool(index % 2), offset)
        torch.testing.assert_close(found, wanted, equal_nan=True)


def test_what_it_is(stand_in):
    boxes = torch.tensor([[0., 0, 2, 2]])
    others = torch.tensor([[1., 0, 4, 2], [5., 5, 6, 6]])
    assert bbox_overlaps(boxes, others).tolist() == [[2 / 8, 0]]
    assert bbox_overlaps(boxes, others, 'iof').tolist() == [[2 / 4, 0]]
    assert bbox_overlaps(boxes, others, offset=1).tolist() == [[pytest.approx(6 / 15), 0]]
    assert bbox_overlaps(boxes, others[:1], aligned=True).tolist() == [2 / 8]
