import pytest
import references as ref
import torch

from autokd_mm.models.distances import (CorrelationDistance, LocalCorrelationDistance, RKDAngle,
                                        RKDDistance, relation)
from autokd_mm.models.transforms import LocalTransform

RELATIONS = {RKDDistance: ref.rkd_distance, RKDAngle: ref.rkd_angle,
             CorrelationDistance: ref.correlation}


@pytest.mark.parametrize('distance', RELATIONS)
def test_equals_the_equation(distance):
    for seed in range(50):
        student, teacher = ref.random_pair(seed, smallest=(3, 2, 2, 1))
        ref.assert_close(distance()(student, teacher),
                         RELATIONS[distance](*ref.arrays(student, teacher)))


@pytest.mark.parametrize('distance', RELATIONS)
@pytest.mark.parametrize('limit', [1 << 18, 1])
def test_gradcheck(distance, limit, monkeypatch):
    monkeypatch.setattr(relation, 'block_size', lambda _: limit)
    student, teacher = ref.random_pair(0, (4, 3, 2, 1), (4, 3, 2, 1), torch.float64)
    assert torch.autograd.gradcheck(distance(), (student, teacher))


@pytest.mark.parametrize('distance', RELATIONS)
def test_features_that_are_all_alike(distance):
    """After a ReLU the cosines are near 1; 1 - cos from the raw Gram matrix has no digits left."""
    for seed in range(10):
        student, teacher = ref.random_pair(seed, (4, 8, 4, 4), (6, 8, 6, 6))
        student, teacher = (x.detach() * 0.03 + 1 for x in (student, teacher))
        ref.assert_close(distance()(student, teacher),
                         RELATIONS[distance](*ref.arrays(student, teacher)), 1e-4)


@pytest.mark.parametrize('distance', RELATIONS)
def test_equal_samples(distance):
    """Two equal samples, and two of zeros, have no angle; nothing is NaN or huge."""
    student, teacher = ref.random_pair(1, (6, 4, 3, 3))
    student = student.detach().clone()
    student[1] = student[0]
    student[2:4] = 0
    student.requires_grad_()
    loss = distance()(student, teacher)
    ref.assert_close(loss, RELATIONS[distance](*ref.arrays(student, teacher)))
    gradient = ref.gradients(loss, student)
    assert gradient.isfinite().all() and gradient.abs().max() < 10
    assert not gradient[2:4].any()


@pytest.mark.parametrize('distance', RELATIONS)
def test_a_collapsed_student(distance):
    teacher = ref.random_pair(2, (5, 4, 3, 3))[1]
    for value in (0., 1.):
        student = torch.full_like(teacher, value).requires_grad_()
        loss = distance()(student, teacher)
        assert loss.isfinite() and ref.gradients(loss, student).isfinite().all()


@pytest.mark.parametrize('gamma,order', [(0.4, 2), (1., 3), (0.1, 1)])
def test_correlation_congruence(gamma, order):
    student, teacher = ref.random_pair(3)
    ref.assert_close(CorrelationDistance(gamma, order)(student, teacher),
                     ref.correlation(*ref.arrays(student, teacher), gamma, order))


@pytest.mark.parametrize('arguments', [dict(gamma=0), dict(order=0)])
def test_correlation_without_a_kernel(arguments):
    with pytest.raises(ValueError, match='CorrelationDistance.gamma must be above 0'):
        CorrelationDistance(**arguments)


def test_local_correlation():
    for seed in range(50):
        grid = 2 + seed % 3
        student, teacher = ref.random_pair(seed, (1, 2, 4, 4), (3, 5, 9, 9))
        (_, *stacked), = LocalTransform(grid, crop=True)(student, teacher)
        ref.assert_close(LocalCorrelationDistance()(*stacked),
                         ref.local_correlation(*ref.arrays(student, teacher), grid))


def test_local_correlation_gradcheck():
    student, teacher = ref.random_pair(0, (2, 3, 4, 4), (2, 3, 4, 4), torch.float64)

    def loss(s, t):
        (_, *stacked), = LocalTransform(2, crop=True)(s, t)
        return LocalCorrelationDistance()(*stacked)

    assert torch.autograd.gradcheck(loss, (student, teacher))


def test_local_correlation_says_that_it_needs_patches():
    with pytest.raises(ValueError, match='patches of a sample.*needs at least 2, got 1'):
        LocalCorrelationDistance()(*ref.random_pair(0))


def test_angle_needs_neither_n3_d_nor_n2_d():
    """The largest temporary has N^3 elements or those of the features."""
    sizes = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            sizes.append(result.numel() if torch.is_tensor(result) else 0)
            return result

    student, teacher = torch.randn(16, 64, 8, 8, requires_grad=True), torch.randn(16, 64, 8, 8)
    with Watch():
        RKDAngle()(student, teacher).backward()
    assert max(sizes) <= student.numel()


def test_rows_that_are_equal_but_for_rounding_have_no_distance():
    for seed in range(10):
        row, other = torch.randn(2, 40, generator=torch.Generator().manual_seed(seed))
        rows = torch.stack([row, 3 * row, 0.1 * row, other])[None]
        squared = relation.unit_squared_distances(rows)
        assert not squared[0, :3, :3].any() and (squared[0, 3, :3] > 0.1).all()


@pytest.mark.parametrize('gamma, order', [(0, 2), (-1, 2), (float('nan'), 2), (0.4, 0), (0.4, 1.5)])
def test_a_kernel_that_is_none(gamma, order):
    with pytest.raises(ValueError, match='CorrelationDistance.gamma must be above 0 and order at '
                                         'least 1, got'):
        CorrelationDistance(gamma, order)


def test_temporaries_are_bounded_by_the_block(monkeypatch):
    """Of 6 rows of 4000 numbers 1000 numbers at a time: 166 columns."""
    widths = []
    real = relation.blocks
    monkeypatch.setattr(relation, 'block_size', lambda _: 1000)
    monkeypatch.setattr(relation, 'blocks', lambda *args: widths.append(
        max(part.stop - part.start for part in real(*args))) or real(*args))
    rows = torch.randn(2, 3, 4000, requires_grad=True)
    relation.unit_squared_distances(rows).sum().backward()
    assert widths == [166, 166]
