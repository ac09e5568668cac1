"""Class maps of dense heads: against the formula anchor by anchor, and against the papers'."""
import weakref

import dense_levels
import pytest
import torch
from torch.nn import functional as F

from autokd_mm.errors import ConfigError
from autokd_mm.models.losses import ClassMapsLoss
from autokd_mm.registry import MODELS


def reference(found, distance, padded=False, objectness=False):
    total, count = 0.0, 0.0
    for student, teacher, key in dense_levels.anchors_of(found, 3, 'classes', padded):
        s, t = student.sigmoid(), teacher.sigmoid()
        each = -(t * s.log() + (1 - t) * (1 - s).log())
        sure = t.max()
        if distance == 'kl':
            s, t = student.softmax(0), teacher.softmax(0)
            each, sure = t * (t / s).log(), t[:2].max()
        elif distance == 'weighted_bce':
            each = each * (t - s).abs()
        there = dense_levels.at(found, 'teacher', 'quality', 1, key).sigmoid()[0] \
            if objectness else 1
        total, count = total + each.sum() * there, count + sure * there
    return total / max(count, 1)


@pytest.mark.parametrize('padded', (False, True))
@pytest.mark.parametrize('objectness', (False, True))
@pytest.mark.parametrize('distance', ('bce', 'weighted_bce', 'kl'))
def test_the_formula_anchor_by_anchor(distance, objectness, padded):
    found = dense_levels.maps()
    loss = ClassMapsLoss(3, distance, loss_weight=2.0, objectness=objectness)
    loss.show_sizes(dense_levels.SIZES if padded else None)
    wanted = 2 * reference(found, distance, padded, objectness)
    torch.testing.assert_close(loss(**found), wanted)


def test_it_is_the_loss_of_crosskd_and_bckd_up_to_the_number_that_divides_it():
    """``KDQualityFocalLoss(beta=1)`` and ``NovelKDLoss(beta=1)``: in both the gradient flows
    through the weight as well."""
    found = dense_levels.maps(dtype=torch.float64)
    levels = [found[f'student_classes_{level}'].requires_grad_() for level in (0, 1)]
    student, teacher = (torch.cat([
        found[f'{who}_classes_{level}'].permute(0, 2, 3, 1).reshape(-1, 3) for level in (0, 1)])
        for who in ('student', 'teacher'))
    target = teacher.sigmoid()
    theirs = F.binary_cross_entropy_with_logits(student, target, reduction='none')
    theirs = (theirs * (student.sigmoid() - target).abs().pow(1)).sum() / target.amax(1).sum()
    ours = ClassMapsLoss(3, 'weighted_bce')(**found)
    torch.testing.assert_close(ours, theirs)
    for one, other in zip(*(torch.autograd.grad(value, levels) for value in (ours, theirs))):
        torch.testing.assert_close(one, other)


def test_nothing_flows_to_the_teacher_and_nothing_from_the_padding():
    found = {name: tensor.requires_grad_() for name, tensor in dense_levels.maps().items()}
    loss = ClassMapsLoss(3)
    loss.show_sizes(dense_levels.SIZES)
    loss(**found).backward()
    assert all(found[name].grad is None for name in found if name.startswith('teacher'))
    outside = found['student_classes_0'].grad[1, :, 3]
    assert (outside == 0).all() and (found['student_classes_0'].grad[1, :, :3] != 0).all()


@pytest.mark.parametrize('distance', ('bce', 'weighted_bce', 'kl'))
def test_gradients_are_those_of_differences(distance):
    found = dense_levels.maps()
    names = [name for name in found if name.startswith('student_classes')]

    def loss_of(*levels):
        return ClassMapsLoss(3, distance, loss_weight=3)(**dict(found, **dict(zip(names, levels))))

    torch.autograd.gradcheck(loss_of, [found[name].requires_grad_() for name in names],
                             fast_mode=True)


class Box:
    """Of a tensor that is kept for a backward pass."""


def test_nothing_but_the_gradient_is_kept():
    found = dense_levels.maps()
    for level in (0, 1):
        found[f'student_classes_{level}'].requires_grad_()
    kept = weakref.WeakSet()

    def pack(tensor):
        box = Box()
        box.tensor = tensor
        kept.add(box)
        return box

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda box: box.tensor):
        loss = ClassMapsLoss(3)(**found)
    assert [box.tensor.numel() for box in kept] == [2 * 26 * 2 * 3]
    loss.backward()


def test_without_gradients_there_is_none():
    with torch.no_grad():
        assert not ClassMapsLoss(3)(**dense_levels.maps()).requires_grad


def test_an_image_that_the_teacher_sees_nothing_in_has_no_large_loss():
    found = {name: torch.full_like(tensor, -20 if name.startswith('teacher') else -4)
             for name, tensor in dense_levels.maps().items()}
    wanted = 2 * 26 * 2 * 3 * F.softplus(torch.tensor(-4.0, dtype=torch.float64))
    torch.testing.assert_close(ClassMapsLoss(3, 'bce')(**found), wanted, rtol=1e-6, atol=0)


def test_half_precision_is_computed_in_single():
    found = {name: tensor.half() for name, tensor in dense_levels.maps().items()}
    single = {name: tensor.float() for name, tensor in found.items()}
    loss = ClassMapsLoss(3)
    assert loss(**found).dtype == torch.float32 and loss(**found) == loss(**single)


def test_it_is_in_the_registry():
    loss = MODELS.build(dict(type='mmrazor.ClassMapsLoss', classes=3, distance='bce'))
    assert isinstance(loss, ClassMapsLoss) and "distance='bce'" in repr(loss)


@pytest.mark.parametrize('arguments, told', [
    (dict(classes=3, distance='bse'), "'bce'"), (dict(classes=0), 'at least 1'),
    (dict(classes=1, distance='kl'), 'at least 2'),
    (dict(classes=3, loss_weight=float('nan')), 'loss_weight')])
def test_arguments_that_mean_nothing(arguments, told):
    with pytest.raises(ConfigError, match=told):
        ClassMapsLoss(**arguments)


def test_maps_that_do_not_fit():
    found = dense_levels.maps()
    with pytest.raises(ConfigError, match='no multiple of the 4'):
        ClassMapsLoss(4)(**found)
    with pytest.raises(ConfigError, match='student_classes_0'):
        ClassMapsLoss(3)(student=found['student_classes_0'])
    other = dict(found, teacher_classes_1=found['teacher_classes_1'][:, :3])
    with pytest.raises(ConfigError, match=r'level 1.*\(2, 6, 2, 3\).*\(2, 3, 2, 3\)'):
        ClassMapsLoss(3)(**other)
