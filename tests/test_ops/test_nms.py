"""nms, soft_nms, nms_match and batched_nms of mmcv on the stand-in."""
import pytest
import torch
from mmcv.ops import batched_nms, nms, nms_match, soft_nms
from ops_in_turn import both, random_boxes
from torchvision.ops import box_iou

COUNTS = [0, 1, 2, 3, 7, 20, 60, 150]
BOXES = torch.tensor([[0., 0, 10, 10], [1, 0, 11, 10], [20, 20, 30, 30], [0, 5, 10, 15]])
SCORES = torch.tensor([.7, .9, .3, .8])


def cases(generator, number, ties=False):
    """Boxes, scores and a threshold each."""
    for index in range(number):
        count = COUNTS[index % len(COUNTS)]
        boxes = random_boxes(generator, count, 60.)
        scores = torch.rand(count, generator=generator)
        if ties:  # of a few values: many boxes have the same
            scores = (scores * 8).round() / 8 + 0.01
        yield boxes, scores, float(torch.rand(1, generator=generator))


def same(found, wanted):
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted):
        assert one.dtype == other.dtype and one.shape == other.shape
        assert torch.equal(one, other)


@pytest.mark.parametrize('ties', [False, True])
def test_parity_nms(compiled, generator, ties):
    for index, (boxes, scores, threshold) in enumerate(cases(generator, 50, ties)):
        same(*both(nms, boxes, scores, threshold, index % 2, [0, 0.4][index % 3 == 0],
                   [-1, 5][index % 4 == 0]))


@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
@pytest.mark.parametrize('ties', [False, True])
def test_parity_soft_nms(compiled, generator, method, ties):
    for index, (boxes, scores, threshold) in enumerate(cases(generator, 50, ties)):
        if method == 'gaussian':  # where the compiled one makes NaN of two that are empty
            boxes = torch.cat([boxes[:, :2], boxes[:, 2:] + 0.1], 1)
        wanted, found = both(soft_nms, boxes, scores, threshold, 0.5, [1e-3, 0.3][index % 3 == 0],
                             method, index % 2)
        assert torch.equal(found[1], wanted[1])
        assert torch.allclose(found[0], wanted[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize('ties', [False, True])
def test_parity_nms_match(compiled, generator, ties):
    for boxes, scores, threshold in cases(generator, 50, ties):
        wanted, found = both(nms_match, torch.cat([boxes, scores[:, None]], 1), threshold)
        assert [one.tolist() for one in found] == [one.tolist() for one in wanted]


@pytest.mark.parametrize('settings', [
    dict(type='nms'), dict(type='nms', max_num=4), dict(type='nms', split_thr=10),
    dict(type='nms', split_thr=10, max_num=4), dict(type='soft_nms'),
    dict(type='nms', class_agnostic=True)])
def test_parity_batched_nms(compiled, generator, settings):
    for boxes, scores, threshold in cases(generator, 50):
        scores = (scores * 20).round() / 20  # some are equal
        if len(boxes):  # mmcv's own maximum fails on none
            classes = torch.randint(0, 4, (len(boxes), ), generator=generator)
            same(*both(batched_nms, boxes, scores, classes,
                       dict(settings, iou_threshold=threshold)))


def test_the_overlap_decides(stand_in):
    """The second box overlaps the first by 9/11 and the fourth by 45/155."""
    assert nms(BOXES, SCORES, 0.85)[1].tolist() == [1, 3, 0, 2]
    assert nms(BOXES, SCORES, 0.8)[1].tolist() == [1, 3, 2]
    assert nms(BOXES, SCORES, 0.2)[1].tolist() == [1, 2]
    dets = nms(BOXES, SCORES, 0.2, max_num=1)[0]
    assert dets.tolist() == [[1, 0, 11, 10, pytest.approx(0.9)]]


def test_pixels_can_be_counted(stand_in):
    """Neighbours of one pixel: with the offset, they share one of three columns."""
    boxes = torch.tensor([[0., 0, 1, 0], [1., 0, 2, 0]])
    assert nms(boxes, SCORES[:2], 0.3, offset=1)[1].tolist() == [1]
    assert nms(boxes, SCORES[:2], 0.34, offset=1)[1].tolist() == [1, 0]
    assert nms(boxes, SCORES[:2], 0.0, offset=0)[1].tolist() == [1, 0]


def test_nothing_is_kept_of_nothing(stand_in):
    dets, kept = nms(torch.zeros(0, 4), torch.zeros(0), 0.5)
    assert dets.shape == (0, 5) and kept.shape == (0, ) and kept.dtype == torch.long
    dets, kept = soft_nms(torch.zeros(0, 4), torch.zeros(0))
    assert dets.shape == (0, 5) and kept.shape == (0, ) and kept.dtype == torch.long


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_other_types(stand_in, dtype):
    dets, kept = nms(BOXES.to(dtype), SCORES.to(dtype), 0.5)
    assert kept.tolist() == [1, 3, 2] and dets.dtype == dtype


def test_nms_is_what_it_says(stand_in, generator):
    """No kept box overlaps another above the threshold, and each other box overlaps a better."""
    for boxes, scores, threshold in cases(generator, 16):
        kept = nms(boxes, scores, threshold)[1]
        overlaps = box_iou(boxes, boxes).nan_to_num(0)
        among = overlaps[kept][:, kept]
        assert (among - torch.diag(among.diag()) <= threshold + 1e-6).all()
        for one in set(range(len(boxes))) - set(kept.tolist()):
            better = [other for other in kept.tolist() if scores[other] >= scores[one]]
            assert (overlaps[one, better] > threshold - 1e-6).any()


def test_soft_nms_weights(stand_in):
    dets, kept = soft_nms(BOXES, SCORES, 0.2, method='linear')
    first, second = box_iou(BOXES, BOXES)[1, [3, 0]].tolist()
    third = box_iou(BOXES, BOXES)[3, 0].item()
    assert kept.tolist() == [1, 3, 2, 0]
    assert dets[:, 4].tolist() == pytest.approx(
        [.9, .8 * (1 - first), .3, .7 * (1 - second) * (1 - third)])
    empty = soft_nms(BOXES[[0, 0]] * 0, SCORES[:2], method='gaussian')[0]
    assert empty[:, 4].tolist() == pytest.approx([.9, .7])
    dets = soft_nms(BOXES, SCORES, sigma=0.25, method='gaussian')[0]
    assert dets[1, 4].item() == pytest.approx(.8 * 2.718281828 ** (-first ** 2 / .25))


def test_nms_match_groups(stand_in):
    dets = torch.cat([BOXES, SCORES[:, None]], 1)
    assert [group.tolist() for group in nms_match(dets, 0.5)] == [[1, 0], [3], [2]]
    assert [group.tolist() for group in nms_match(dets, 0.2)] == [[1, 3, 0], [2]]
