"""Boxes of dense heads: against the formulas anchor by anchor, and against mmdet's own."""
import dense_levels
import pytest
import torch

from autokd_mm.errors import ConfigError
from autokd_mm.models.losses import BoxesLoss
from autokd_mm.models.losses.box_coding import BoxCoding, giou
from autokd_mm.models.transforms.regions import BatchBoxes
from autokd_mm.registry import MODELS

STDS = (0.1, 0.1, 0.2, 0.2)
CODINGS = [dict(type='delta', stds=STDS), dict(type='distance', activation='relu'),
           dict(type='distance', activation='exp'), dict(type='distribution', bins=3)]
BOXES = BatchBoxes((torch.tensor([[1., 1, 9, 12], [4, 6, 16, 20]]), torch.zeros(0, 4)),
                   ((16, 20), (10, 17)), (16, 20))
STRIDES = (4, 8)


def corners(values, coding):
    """Of one anchor with middle (50, 40) and sides 30 x 20, or of the point (50, 40) at stride
    8."""
    if coding['type'] == 'delta':
        x, y, log_w, log_h = (value * std for value, std in zip(values, STDS))
        x, y, w, h = 50 + x * 30, 40 + y * 20, 30 * log_w.exp(), 20 * log_h.exp()
        return x - w / 2, y - h / 2, x + w / 2, y + h / 2
    if coding['type'] == 'distribution':
        values = [sum(place * share for place, share in enumerate(side.softmax(0)))
                  for side in values.view(4, 3)]
    elif coding['activation'] == 'relu':
        values = [max(value, 0 * value) for value in values]
    else:
        values = [value.exp() for value in values]
    left, top, right, bottom = (8 * value for value in values)
    return 50 - left, 40 - top, 50 + right, 40 + bottom


def area(x1, y1, x2, y2):
    return max(x2 - x1, 0) * max(y2 - y1, 0)


def generalised_iou(one, other):
    overlap = area(*(max(pair) for pair in zip(one[:2], other[:2])),
                   *(min(pair) for pair in zip(one[2:], other[2:])))
    hull = area(*(min(pair) for pair in zip(one[:2], other[:2])),
                *(max(pair) for pair in zip(one[2:], other[2:])))
    union = area(*one) + area(*other) - overlap
    return (overlap / union if union > 0 else 0) - ((hull - union) / hull if hull > 0 else 0)


def distance_of(student, teacher, distance, coding):
    if distance == 'giou':
        return 1 - generalised_iou(corners(student, coding), corners(teacher, coding))
    if distance == 'kl':
        logs = [(values / 2).view(4, 3).log_softmax(1) for values in (student, teacher)]
        return 4 * (logs[1].exp() * (logs[1] - logs[0])).mean()
    if coding['type'] == 'distribution':
        places = torch.arange(3.)
        student, teacher = ((values.view(4, 3).softmax(1) * places).sum(1)
                            for values in (student, teacher))
    elif coding.get('activation') == 'relu':
        student, teacher = student.clamp(min=0), teacher.clamp(min=0)
    return (student - teacher).abs().mean()


def in_a_box(key):
    image, level, row, column, _ = key
    x, y = (column + .5) * STRIDES[level], (row + .5) * STRIDES[level]
    return any(x1 <= x < x2 and y1 <= y < y2 for x1, y1, x2, y2 in BOXES.boxes[image].tolist())


def reference(found, distance, by, coding, padded=False, objectness=False):
    total, count, width = 0.0, 0.0, 12 if coding['type'] == 'distribution' else 4
    for student, teacher, key in dense_levels.anchors_of(found, width, 'boxes', padded):
        s, t = (dense_levels.at(found, who, 'classes', 3, key).sigmoid()
                for who in ('student', 'teacher'))
        there = dense_levels.at(found, 'teacher', 'quality', 1, key).sigmoid()[0] \
            if objectness else 1
        weight, adds = t.max() * there, t.max() * there
        if by == 'difference':
            weight = (t - s).abs().max() * there
        elif by == 'foreground':
            weight = adds = float(in_a_box(key))
        total = total + weight * distance_of(student, teacher, distance, coding)
        count = count + adds
    return total / max(count, 1)


def numbers(coding):
    return 12 if coding['type'] == 'distribution' else 4


@pytest.mark.parametrize('by', ('confidence', 'difference', 'foreground'))
@pytest.mark.parametrize('coding, distance', [
    *((coding, distance) for coding in CODINGS for distance in ('l1', 'giou')),
    (CODINGS[3], 'kl')], ids=str)
def test_the_formula_anchor_by_anchor(coding, distance, by):
    found = dense_levels.maps(numbers=numbers(coding))
    padded = by == 'difference'
    loss = BoxesLoss(3, coding, distance, by, temperature=2, objectness=padded, loss_weight=3)
    if loss.region is not None:
        loss.region.show(BOXES)
    loss.show_sizes(dense_levels.SIZES if padded else None)
    wanted = 3 * reference(found, distance, by, coding, padded, padded)
    torch.testing.assert_close(loss(**found), torch.as_tensor(wanted), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('coding, distance', [(CODINGS[0], 'giou'), (CODINGS[0], 'l1'),
                                              (CODINGS[3], 'kl'), (CODINGS[3], 'giou')], ids=str)
def test_gradients_are_those_of_differences(coding, distance):
    found = dense_levels.maps(anchors=1, numbers=numbers(coding))

    def loss_of(*levels):
        return BoxesLoss(3, coding, distance)(**dict(found, student_boxes_0=levels[0],
                                                     student_boxes_1=levels[1]))

    torch.autograd.gradcheck(loss_of, [found[f'student_boxes_{level}'].requires_grad_()
                                       for level in (0, 1)], fast_mode=True)


def test_decoding_is_that_of_mmdet():
    """With the same GIoU as between the boxes that it decodes with a real anchor."""
    pytest.importorskip('mmdet')
    from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
    from mmdet.structures.bbox import bbox_overlaps
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(2, 50, 4, generator=generator) * 4
    coder = DeltaXYWHBBoxCoder(target_stds=STDS)
    anchors = torch.tensor([[35., 30, 65, 50]]).expand(50, 4)
    theirs = bbox_overlaps(*(coder.decode(anchors, value) for value in values), mode='giou',
                           is_aligned=True)
    coding = BoxCoding('delta', stds=STDS)
    ours = giou(*(coding.corners(value.t()[None, None]) for value in values))[0, 0]
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_ld_is_that_of_mmdet():
    """``KnowledgeDistillationKLDivLoss`` with the teacher's confidence as the weight."""
    pytest.importorskip('mmdet')
    from mmdet.models.losses import KnowledgeDistillationKLDivLoss
    coding = dict(type='distribution', bins=17)
    found = dense_levels.maps(anchors=1, numbers=68, dtype=torch.float32)
    flat = {}
    for who in ('student', 'teacher'):
        flat[who] = torch.cat([found[f'{who}_boxes_{level}'].permute(0, 2, 3, 1).reshape(-1, 17)
                               for level in (0, 1)])
    sure = torch.cat([found[f'teacher_classes_{level}'].sigmoid().amax(1).flatten()
                      for level in (0, 1)])
    theirs = KnowledgeDistillationKLDivLoss(loss_weight=0.25, T=10)(
        flat['student'], flat['teacher'], weight=sure[:, None].expand(-1, 4).reshape(-1),
        avg_factor=4 * float(sure.sum()))
    ours = BoxesLoss(3, coding, 'kl', 'confidence', loss_weight=0.25)(**found)
    torch.testing.assert_close(ours, theirs)


def test_the_weight_by_the_difference_has_no_gradient():
    found = {name: tensor.requires_grad_() for name, tensor in dense_levels.maps().items()}
    BoxesLoss(3, CODINGS[0], 'l1', 'difference')(**found).backward()
    assert found['student_classes_0'].grad is None and found['student_boxes_0'].grad is not None


def test_sides_below_zero_are_finite():
    coding = BoxCoding('distance')
    values = torch.full((1, 1, 4, 3), -2.0, requires_grad=True)
    found = giou(coding.corners(values), coding.corners(torch.zeros_like(values)))
    found.sum().backward()
    assert torch.isfinite(found).all() and torch.isfinite(values.grad).all()


def test_boxes_that_nobody_has_shown():
    with pytest.raises(ConfigError, match='show_samples'):
        BoxesLoss(3, CODINGS[0], 'l1', 'foreground')(**dense_levels.maps())


def test_it_is_in_the_registry():
    loss = MODELS.build(dict(type='mmrazor.BoxesLoss', classes=3, coding=CODINGS[0]))
    assert 'deltas (stds 0.1, 0.1, 0.2, 0.2)' in repr(loss)


@pytest.mark.parametrize('arguments, told', [
    (dict(distance='l2'), "'l1'"), (dict(by='confidense'), "'confidence'"),
    (dict(temperature=0), 'above 0'), (dict(distance='kl'), "compares distributions.*'giou'"),
    (dict(coding=dict(type='deltas')), "'delta'"),
    (dict(coding=dict(type='distance', activation='rely')), "'relu'"),
    (dict(coding=dict(type='distribution')), 'bins=None'),
    (dict(coding=dict(type='delta', bins=3)), 'bins=3')])
def test_arguments_that_mean_nothing(arguments, told):
    with pytest.raises(ConfigError, match=told):
        BoxesLoss(**dict(dict(classes=3, coding=CODINGS[0]), **arguments))


def test_a_coding_is_what_its_arguments_say():
    for arguments in CODINGS:
        coding = BoxCoding(**arguments)
        assert coding.to_dict() == arguments and BoxCoding(**coding.to_dict()) == coding
        assert hash(BoxCoding(**arguments)) == hash(coding)
    assert BoxCoding(**CODINGS[1]) != BoxCoding(**CODINGS[2])
    assert BoxCoding(**CODINGS[3]).in_words() == 'distributions over 3 distances'
    assert BoxCoding(**CODINGS[1]).in_words() == 'distances behind relu'
