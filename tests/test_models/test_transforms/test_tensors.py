import pytest
import torch

from autokd_mm.models.transforms.tensors import (block_size, blocks, checked_pair, full_precision,
                                                 inverse_or_zero)


def test_checked_pair_detaches_and_widens():
    student = torch.randn(2, 3, dtype=torch.bfloat16, requires_grad=True)
    teacher = torch.randn(2, 3, dtype=torch.float16, requires_grad=True)
    s, t = checked_pair(student, teacher, 'here')
    assert s.shape == t.shape == (2, 3, 1, 1) and s.dtype == t.dtype == torch.float32
    assert s.requires_grad and not t.requires_grad


def test_checked_pair_copies_nothing_of_float32():
    student, teacher = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    for before, after in zip((student, teacher), checked_pair(student, teacher, 'here')):
        assert before.data_ptr() == after.data_ptr()


@pytest.mark.parametrize('length,each,limit,expected', [
    (5, 1, 2, [(0, 2), (2, 4), (4, 5)]), (2, 10, 3, [(0, 1), (1, 2)]), (3, 1, 10, [(0, 3)])])
def test_blocks(length, each, limit, expected):
    assert [(part.start, part.stop) for part in blocks(length, each, limit)] == expected


def test_blocks_are_large_on_a_gpu():
    assert block_size(torch.empty(1)) < block_size(torch.empty(1, device='meta'))


def test_inverse_or_zero_has_no_gradient_at_zero():
    norm = torch.tensor([0., 2.], requires_grad=True)
    inverse = inverse_or_zero(norm)
    gradient, = torch.autograd.grad(inverse.sum(), norm)
    assert inverse.tolist() == [0, 0.5] and gradient.tolist() == [0, -0.25]


def test_full_precision_switches_autocast_off():
    a = torch.randn(4, 4)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert (a @ a).dtype == torch.bfloat16
        with full_precision(a):
            assert (a @ a).dtype == torch.float32


def test_full_precision_where_there_is_no_autocast():
    with full_precision(torch.empty(1, device='meta')):
        pass


@pytest.mark.parametrize('shape', [(4, ), (2, 3, 4), (1, ) * 6])
def test_what_is_no_feature_is_refused(shape):
    with pytest.raises(ValueError, match='here: expects N x C x H x W or N x D, got shape'):
        checked_pair(torch.ones(shape), torch.ones(shape), 'here')


def test_empty_is_refused_and_one_number_is_not():
    for shape in ((0, 3), (2, 0, 4, 4), (2, 3, 0, 4)):
        with pytest.raises(ValueError, match='here: got an empty batch or map'):
            checked_pair(torch.ones(shape), torch.ones(shape), 'here')
    assert checked_pair(torch.ones(1, 1), torch.ones(1, 1), 'here')[0].shape == (1, 1, 1, 1)


def test_blocks_hold_at_least_one_item_and_as_many_as_fit():
    assert [(part.start, part.stop) for part in blocks(4, 3, 6)] == [(0, 2), (2, 4)]
    assert list(blocks(0, 3, 6)) == [] and list(blocks(2, 0, 1)) == [slice(0, 1), slice(1, 2)]
