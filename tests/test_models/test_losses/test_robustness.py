"""Precisions, memory layouts and degenerate features, for every legal composition."""
import copy
import warnings

import compositions
import pytest
import references as ref
import torch

from autokd_mm.models.losses import FeatureLoss

LEGAL = compositions.legal(channels=4)
every = pytest.mark.parametrize('arguments', LEGAL, ids=compositions.name)


def features(seed=0, shape=(4, 4, 8, 8)):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for _ in range(2)]


def value_and_gradient(arguments, student, teacher):
    torch.manual_seed(0)  # random_mask: the same weights and the same mask
    loss = FeatureLoss(**arguments)
    student = student.detach().requires_grad_()  # of the same memory and strides
    value = loss(student, teacher)
    return value.detach(), ref.gradients(value, student)


def test_all_of_the_space_is_here():
    assert len(LEGAL) > 150
    for key, names in (('transform', 6), ('intra', 3), ('inter', 3), ('distance', 9)):
        assert len({arguments[key] for arguments in LEGAL}) == names


@every
def test_gradients_reach_the_student_only_and_nothing_is_modified(arguments):
    student, teacher = (x.requires_grad_() for x in features())
    before = copy.deepcopy([student.data, teacher.data])
    FeatureLoss(**arguments)(student, teacher).backward()
    assert student.grad.any() and teacher.grad is None
    assert torch.equal(before[0], student) and torch.equal(before[1], teacher)
    assert student._version == teacher._version == 0


@every
def test_layouts_do_not_matter(arguments):
    student, teacher = features()
    expected = value_and_gradient(arguments, student, teacher)
    wide = [torch.stack([x, x + 1], dim=-1).flatten(-2)[..., ::2] for x in (student, teacher)]
    last = [x.contiguous(memory_format=torch.channels_last) for x in (student, teacher)]
    assert not wide[0].is_contiguous() and not last[0].is_contiguous()
    for s, t in (wide, last, (last[0], teacher), (student, wide[1])):
        value, gradient = value_and_gradient(arguments, s, t)
        ref.assert_close(value, expected[0].item())
        torch.testing.assert_close(gradient, expected[1], rtol=1e-3, atol=1e-6)


@every
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_features(arguments, dtype):
    """The loss of half features is the float32 loss of their values; 1e4 is no overflow."""
    student, teacher = (x.to(dtype) for x in features())
    expected, _ = value_and_gradient(arguments, student.float(), teacher.float())
    value, gradient = value_and_gradient(arguments, student, teacher)
    assert value.dtype == torch.float32 and gradient.dtype == dtype
    ref.assert_close(value, expected.item())
    large = [(x.clamp(-1, 1) * 1e4).to(dtype) for x in features()]
    for pair in (large, large[::-1], (large[0], -large[0])):
        value, gradient = value_and_gradient(arguments, *pair)
        assert value.isfinite() and gradient.isfinite().all()


@every
def test_autocast_changes_nothing(arguments):
    student, teacher = features()
    expected = value_and_gradient(arguments, student, teacher)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        value, gradient = value_and_gradient(arguments, student, teacher)
    # random_mask's generator is a network, and runs as autocast says.
    tolerance = 0.1 if arguments['transform'] == 'random_mask' else 0
    ref.assert_close(value, expected[0].item(), tolerance)
    assert gradient.isfinite().all()
    if not tolerance:
        assert torch.equal(gradient, expected[1])


@every
def test_degenerate_features(arguments):
    """Zeros, constants and equal samples: finite values and gradients, small ones."""
    student, teacher = features()
    zero, one = torch.zeros_like(student), torch.full_like(student, 0.1)
    same = student[:1].expand_as(student)
    dead = student * (torch.arange(4) > 1).view(1, 4, 1, 1)
    for pair in ((zero, teacher), (student, zero), (zero, zero), (one, teacher), (student, one),
                 (one, one), (same, teacher), (student, same), (dead, teacher), (student, dead)):
        value, gradient = value_and_gradient(arguments, *pair)
        assert value.isfinite() and value >= 0
        assert gradient.isfinite().all() and gradient.abs().max() < 100


@every
def test_one_position(arguments):
    """1 x 1 maps: a clear error or a finite value."""
    student, teacher = features(shape=(4, 4, 1, 1))
    try:
        value, gradient = value_and_gradient(arguments, student, teacher)
    except ValueError as error:
        assert 'needs at least' in str(error) or 'larger than the 1 x 1 map' in str(error)
    else:
        assert value.isfinite() and value >= 0 and gradient.isfinite().all()


@every
def test_one_sample_and_no_sample(arguments):
    student, teacher = features(shape=(1, 4, 8, 8))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        value, gradient = value_and_gradient(arguments, student, teacher)
    assert value.isfinite() and gradient.isfinite().all()
    with pytest.raises(ValueError, match='FeatureLoss: got an empty batch'):
        FeatureLoss(**arguments)(student[:0], teacher[:0])
