import pytest
import references as ref
import torch

from autokd_mm.models.distances import KLDistance, kl

INTERS = ('none', 'sample', 'channel')


@pytest.mark.parametrize('inter', INTERS)
@pytest.mark.parametrize('tau', [1, 4, 8, 16])
def test_equals_the_equation(inter, tau):
    for seed in range(50):
        student, teacher = ref.random_pair(seed, (1, 2, 2, 1))
        ref.assert_close(KLDistance(tau, inter)(student, teacher),
                         ref.kl(*ref.arrays(student, teacher), tau, inter))


def test_long_vectors_at_a_high_temperature():
    """Where log_softmax alone has three digits: the loss is far below log K."""
    for seed in range(5):
        student, teacher = ref.random_pair(seed, (1, 64, 32, 32), (1, 64, 32, 32))
        ref.assert_close(KLDistance(16, 'sample')(student, teacher),
                         ref.kl(*ref.arrays(student, teacher), 16, 'sample'))


@pytest.mark.parametrize('inter', INTERS)
def test_gradcheck(inter):
    for seed in range(3):
        student, teacher = ref.random_pair(seed, (1, 2, 2, 1), (3, 3, 2, 2), torch.float64)
        assert torch.autograd.gradcheck(KLDistance(2., inter), (student, teacher))


@pytest.mark.parametrize('inter', INTERS)
def test_far_apart(inter):
    """Probabilities that underflow give the difference of the logits, and never inf or NaN."""
    student, teacher = ref.random_pair(0, (2, 3, 2, 2))
    student = (student.detach() * 1e4).requires_grad_()
    loss = KLDistance(1., inter)(student, teacher * 1e4)
    assert loss.isfinite() and loss > 0
    assert ref.gradients(loss, student).isfinite().all()


def test_the_gradient_is_that_of_softmax():
    student, teacher = ref.random_pair(1)
    gradient = ref.gradients(KLDistance(4., 'channel')(student, teacher), student)
    n, c = student.shape[:2]
    expected = [(x.detach() / 4).flatten(2).softmax(2) for x in (student, teacher)]
    torch.testing.assert_close(gradient.flatten(2), 4 * (expected[0] - expected[1]) / (n * c))


def test_blocks_do_not_show(monkeypatch):
    student, teacher = ref.random_pair(2, (5, 4, 3, 3))
    loss = KLDistance(4.)(student, teacher)
    gradient = ref.gradients(loss, student)
    monkeypatch.setattr(kl, 'block_size', lambda _: 1)
    in_blocks = KLDistance(4.)(student, teacher)
    ref.assert_close(in_blocks, loss.item(), 1e-6)
    torch.testing.assert_close(ref.gradients(in_blocks, student), gradient)


@pytest.mark.parametrize('temperature', [0, -1.])
def test_temperature_must_be_positive(temperature):
    with pytest.raises(ValueError, match='KLDistance.temperature must be above 0'):
        KLDistance(temperature)
