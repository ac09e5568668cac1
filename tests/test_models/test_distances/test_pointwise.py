import pytest
import references as ref
import torch
import torch.nn.functional as F

from autokd_mm.models.distances import CosineDistance, L2Distance, PearsonDistance

INTERS = ('none', 'sample', 'channel')
DISTANCES = {L2Distance: ref.l2, CosineDistance: ref.cosine, PearsonDistance: ref.pearson}


@pytest.mark.parametrize('inter', INTERS)
@pytest.mark.parametrize('distance', DISTANCES)
def test_equals_the_equation(distance, inter):
    for seed in range(50):
        student, teacher = ref.random_pair(seed, smallest=(3, 3, 1, 1))
        ref.assert_close(distance(inter)(student, teacher),
                         DISTANCES[distance](*ref.arrays(student, teacher), inter))


@pytest.mark.parametrize('inter', INTERS)
@pytest.mark.parametrize('distance', DISTANCES)
def test_gradcheck(distance, inter):
    for seed in range(3):
        student, teacher = ref.random_pair(seed, (3, 2, 2, 1), (4, 3, 2, 2), torch.float64)
        assert torch.autograd.gradcheck(distance(inter), (student, teacher))


@pytest.mark.parametrize('inter', INTERS)
@pytest.mark.parametrize('distance', [CosineDistance, PearsonDistance])
def test_far_from_zero_the_spread_still_counts(distance, inter):
    # r from sums of squares and products loses all digits here.
    for seed in range(10):
        student, teacher = ref.random_pair(seed, smallest=(4, 3, 3, 3))
        student = (student.detach() + 1000).requires_grad_()
        if distance is PearsonDistance:
            ref.assert_close(distance(inter)(student, teacher),
                             ref.pearson(*ref.arrays(student, teacher), inter), 1e-4)
        assert ref.gradients(distance(inter)(student, teacher), student).isfinite().all()


@pytest.mark.parametrize('inter', INTERS)
def test_close_features_keep_their_digits(inter):
    student, _ = ref.random_pair(0, (5, 6, 5, 5))
    teacher = student.detach() + 1e-3 * torch.randn(student.shape)
    ref.assert_close(CosineDistance(inter)(student, teacher),
                     ref.cosine(*ref.arrays(student, teacher), inter), 1e-3)


@pytest.mark.parametrize('inter', ['sample', 'channel'])
def test_supplement_eq_5_to_8(inter):
    """L2^2 of normalised vectors = 2 (1 - cos)."""
    for seed in range(10):
        student, teacher = ref.random_pair(seed, smallest=(3, 3, 1, 1))
        ref.assert_close(L2Distance(inter)(student, teacher),
                         2 * ref.cosine(*ref.arrays(student, teacher), inter))


def test_supplement_eq_5_to_8_of_vectors_normalised_by_hand():
    student, teacher = ref.random_pair(0)
    unit_rms = [x.flatten(1) / x.flatten(1).square().mean(1, keepdim=True).sqrt()
                for x in (student, teacher)]
    ref.assert_close(L2Distance()(*unit_rms), 2 * ref.cosine(*ref.arrays(student, teacher)))


@pytest.mark.parametrize('inter,dims', [('none', (1, 2, 3)), ('sample', (0, )),
                                        ('channel', (0, 2, 3))])
def test_pearson_is_the_cosine_of_centred_inputs(inter, dims):
    for seed in range(10):
        student, teacher = ref.random_pair(seed, smallest=(3, 3, 1, 1))
        centred = [x - x.mean(dims, keepdim=True) for x in (student, teacher)]
        ref.assert_close(PearsonDistance(inter)(student, teacher),
                         float(CosineDistance(inter)(*centred).detach()))


def test_pearson_does_not_change_with_scale_and_offset():
    student, teacher = ref.random_pair(1, smallest=(3, 3, 2, 2))
    expected = float(PearsonDistance()(student, teacher).detach())
    ref.assert_close(PearsonDistance()(student * 3 + 2, teacher * 5 - 1), expected)


@pytest.mark.parametrize('distance', [CosineDistance, PearsonDistance])
@pytest.mark.parametrize('inter', INTERS)
def test_vectors_without_direction(distance, inter):
    """Zero and constant vectors: a finite loss, no gradient, and 0 where both have none."""
    student, teacher = ref.random_pair(2, (4, 4, 3, 3))
    for value in (0., 0.1, 1e4):
        flat = torch.full_like(student, value).requires_grad_()
        loss = distance(inter)(flat, teacher)
        gradient = ref.gradients(loss, flat)
        assert loss.isfinite() and gradient.isfinite().all()
        if distance is PearsonDistance or value == 0:
            assert loss.item() == 0.5 and not gradient.any()
            assert distance(inter)(flat, flat).item() == 0


def test_only_the_vectors_without_direction_get_no_gradient():
    student, teacher = ref.random_pair(3, (4, 4, 3, 3))
    partly_zero = student.detach().clone()
    partly_zero[1] = 0
    partly_zero.requires_grad_()
    gradient = ref.gradients(CosineDistance()(partly_zero, teacher), partly_zero)
    assert not gradient[1].any() and gradient[0].any()


@pytest.mark.parametrize('inter', INTERS)
def test_blocks_do_not_show(inter, monkeypatch):
    """One vector at a time gives what all at once give."""
    from autokd_mm.models.distances import pointwise
    student, teacher = ref.random_pair(4, (5, 4, 3, 3))
    loss = PearsonDistance(inter)(student, teacher)
    gradient = ref.gradients(loss, student)
    monkeypatch.setattr(pointwise, 'block_size', lambda _: 1)
    in_blocks = PearsonDistance(inter)(student, teacher)
    ref.assert_close(in_blocks, loss.item(), 1e-6)
    torch.testing.assert_close(ref.gradients(in_blocks, student), gradient)


def test_l2_is_the_mean_squared_error():
    student, teacher = ref.random_pair(5)
    assert torch.equal(L2Distance()(student, teacher), F.mse_loss(student, teacher))


@pytest.mark.parametrize('shape', [(64, 10, 1, 1), (16, 32, 2, 2), (2, 5, 3, 7, 4)])
@pytest.mark.parametrize('inter', INTERS)
@pytest.mark.parametrize('distance', [CosineDistance, PearsonDistance])
def test_small_features_go_together_to_the_same_bits(distance, inter, shape, monkeypatch):
    from autokd_mm.models.distances import pointwise
    calls, alone = [], pointwise._direction
    monkeypatch.setattr(pointwise, '_direction', lambda *args: calls.append(1) or alone(*args))
    student, teacher = ref.random_pair(6, shape) if len(shape) == 4 else (
        torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    student = student.detach().requires_grad_()
    loss = distance(inter)(student, teacher)
    gradient = ref.gradients(loss, student)
    monkeypatch.setattr(pointwise, '_SMALL', 0)
    apart = distance(inter)(student, teacher)
    assert torch.equal(loss, apart) and torch.equal(gradient, ref.gradients(apart, student))
    assert len(calls) == 1 + 2
