import pytest
import references as ref
import torch

from autokd_mm.errors import DegenerateBatchWarning
from autokd_mm.models.losses import LOGITS_DISTANCES, LogitsLoss
from autokd_mm.registry import MODELS

REFERENCES = {
    'kl': ref.kd,
    'pearson_inter': ref.dist_inter,
    'pearson_intra': ref.dist_intra,
    'pearson_both': lambda s, t, tau: ref.dist_inter(s, t, tau) + ref.dist_intra(s, t, tau),
}


def pair(seed, scale=3., dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    n, k = (int(torch.randint(3, 12, (), generator=generator)) for _ in range(2))
    student, teacher = ((torch.randn(n, k, generator=generator) * scale).to(dtype)
                        for _ in range(2))
    return student.requires_grad_(), teacher


@pytest.mark.parametrize('distance', LOGITS_DISTANCES)
@pytest.mark.parametrize('tau', [1, 4, 8, 16])
def test_equals_the_equation(distance, tau):
    for seed in range(50):
        student, teacher = pair(seed)
        ref.assert_close(LogitsLoss(distance, tau)(student, teacher),
                         REFERENCES[distance](*ref.arrays(student, teacher), tau))


@pytest.mark.parametrize('distance', LOGITS_DISTANCES)
def test_gradcheck(distance):
    student, teacher = pair(0, dtype=torch.float64)
    assert torch.autograd.gradcheck(LogitsLoss(distance, 2.), (student, teacher))


@pytest.mark.parametrize('distance', LOGITS_DISTANCES)
def test_dense_logits_are_folded_into_the_batch(distance):
    student, teacher = torch.randn(2, 5, 3, 4), torch.randn(2, 5, 3, 4)
    folded = [x.permute(0, 2, 3, 1).reshape(-1, 5) for x in (student, teacher)]
    ref.assert_close(LogitsLoss(distance)(student, teacher),
                     float(LogitsLoss(distance)(*folded)))


@pytest.mark.parametrize('distance', LOGITS_DISTANCES)
def test_weight_and_registry(distance):
    student, teacher = pair(1)
    loss = MODELS.build(dict(type='LogitsLoss', distance=distance, temperature=2., loss_weight=3.,
                             _scope_='mmrazor'))
    ref.assert_close(loss(student, teacher),
                     3 * float(LogitsLoss(distance, 2.)(student, teacher).detach()))


@pytest.mark.parametrize('distance', LOGITS_DISTANCES)
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_logits(distance, dtype):
    student = (torch.randn(8, 10) * 1e4).to(dtype).requires_grad_()
    teacher = (torch.randn(8, 10) * 1e4).to(dtype).requires_grad_()
    loss = LogitsLoss(distance)(student, teacher)
    loss.backward()
    assert loss.dtype == torch.float32 and loss.isfinite()
    assert student.grad.isfinite().all() and teacher.grad is None


@pytest.mark.parametrize('distance', LOGITS_DISTANCES)
def test_zero_when_equal(distance):
    student, _ = pair(2)
    assert 0 <= LogitsLoss(distance)(student, student).item() < 1e-9


def test_the_last_batch_of_an_epoch_may_have_one_sample():
    student, teacher = torch.randn(1, 10), torch.randn(1, 10)
    with pytest.warns(DegenerateBatchWarning, match='needs at least 3, got 1'):
        both = LogitsLoss('pearson_both')(student, teacher)
    ref.assert_close(both, float(LogitsLoss('pearson_inter')(student, teacher)))


def test_whole_numbers_are_numbers():
    for loss in (LogitsLoss('pearson_both', 2, 3), LogitsLoss('pearson_both', 2.0, 3.0)):
        assert loss.extra_repr() == "distance='pearson_both', temperature=2.0, loss_weight=3.0"


@pytest.mark.parametrize('weight', ['1', None, float('inf')])
def test_a_weight_that_is_no_number(weight):
    with pytest.raises(ValueError, match='LogitsLoss.loss_weight must be a number'):
        LogitsLoss(loss_weight=weight)


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="LogitsLoss.distance: 'pearson' is unknown, did you "
                                         "mean 'pearson_"):
        LogitsLoss('pearson')
    with pytest.raises(ValueError, match='LogitsLoss.temperature must be above 0'):
        LogitsLoss(temperature=0)
    with pytest.raises(ValueError, match='LogitsLoss.loss_weight must be a number'):
        LogitsLoss(loss_weight=float('nan'))
    with pytest.raises(ValueError, match='LogitsLoss: the student has shape'):
        LogitsLoss()(torch.randn(2, 5), torch.randn(2, 6))
    with pytest.raises(ValueError, match='LogitsLoss: got an empty batch'):
        LogitsLoss()(torch.randn(0, 5), torch.randn(0, 5))


@pytest.mark.parametrize('shape', [(6, 1), (2, 1, 3, 4)])
def test_one_logit_is_a_class_and_the_rest(shape):
    """KL of two Bernoulli distributions, with the temperature in the sigmoid."""
    student, teacher = torch.randn(shape), torch.randn(shape)
    p, q = (torch.sigmoid(logits / 2).flatten() for logits in (teacher, student))
    expected = 4 * (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).mean()
    assert float(LogitsLoss('kl', temperature=2)(student, teacher)) == pytest.approx(
        float(expected), rel=1e-5)
    both = [torch.cat([torch.zeros(shape), logits], 1) for logits in (student, teacher)]
    loss = LogitsLoss('pearson_intra')  # over two classes nothing can be correlated
    assert torch.equal(loss(student, teacher), loss(*both))


def test_divergence_of_vectors_is_one_step_for_autograd():
    """A student's own logits are small, and each further step takes as long as a softmax."""
    student, teacher = pair(0)
    loss = LogitsLoss('kl')(student, teacher)
    (before, _), = (found for found in loss.grad_fn.next_functions if found[0] is not None)
    assert before.variable is student
    gradient, = torch.autograd.grad(loss, student)
    of_maps = LogitsLoss('kl')(student[:, :, None, None], teacher[:, :, None, None])
    assert torch.equal(loss, of_maps)
    assert torch.equal(gradient, torch.autograd.grad(of_maps, student)[0])
