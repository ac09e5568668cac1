"""What holds for every legal composition, on shapes that hypothesis draws."""
import compositions
import hypothesis.strategies as st
import references as ref
import torch
from hypothesis import HealthCheck, given, settings

from autokd_mm.models.losses import LOGITS_DISTANCES, FeatureLoss, LogitsLoss

CHANNELS = 4
bounded = settings(derandomize=True, deadline=None, max_examples=120,
                   suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@st.composite
def feature_losses(draw):
    """A legal loss with all its options, and a student and a teacher."""
    arguments = dict(draw(st.sampled_from(compositions.legal(CHANNELS))))
    if arguments['distance'] == 'kl':
        arguments['temperature'] = draw(st.sampled_from([1, 4, 8, 16]))
    if arguments['intra'] == 'local':
        arguments['patch_grid'] = draw(st.sampled_from([2, 4]))
    if arguments['transform'] == 'random_mask':
        arguments['mask_ratio'] = draw(st.sampled_from([0.5, 0.65, 0.75]))
    n, h, w = (draw(st.integers(low, high)) for low, high in ((3, 6), (5, 9), (5, 9)))
    # A map that patches of 4 x 4 divide into single positions leaves some distances undefined.
    if arguments.get('patch_grid') == 4:
        h, w = h + 4, w + 4
    student, teacher = ref.random_pair(draw(st.integers(0, 99)), (n, CHANNELS, h, w), (0, ) * 4)
    # A generator of 4 channels gets nothing through its ReLU when its bias is all it sees.
    scale = draw(st.sampled_from([1e-2, 1., 1e2][arguments['transform'] == 'random_mask':]))
    relu = draw(st.booleans())
    student, teacher = ((x.detach().relu() if relu else x.detach()) * scale
                        for x in (student, teacher))
    torch.manual_seed(0)
    return FeatureLoss(**arguments), student.requires_grad_(), teacher, arguments


@bounded
@given(feature_losses())
def test_finite_and_not_below_zero_with_a_gradient(drawn):
    loss, student, teacher, _ = drawn
    value = loss(student, teacher)
    assert value.dim() == 0 and value.isfinite() and value >= 0
    gradient = ref.gradients(value, student)
    assert gradient.isfinite().all() and gradient.any()


@bounded
@given(feature_losses())
def test_zero_when_student_equals_teacher(drawn):
    loss, student, _, arguments = drawn
    if arguments['transform'] != 'random_mask':
        assert 0 <= loss(student, student.detach()).item() < 1e-9


@bounded
@given(feature_losses(), st.randoms(use_true_random=False))
def test_the_order_of_the_batch_does_not_matter(drawn, random):
    loss, student, teacher, arguments = drawn
    if arguments['transform'] != 'random_mask':
        order = list(range(len(student)))
        random.shuffle(order)
        ref.assert_close(loss(student[order], teacher[order]),
                         loss(student, teacher).item(), 1e-4)


@bounded
@given(feature_losses(), st.sampled_from([0.1, 5., 50.]))
def test_the_weight_is_a_factor(drawn, weight):
    loss, student, teacher, _ = drawn
    torch.manual_seed(0)
    expected = weight * loss(student, teacher).item()
    loss.loss_weight = weight
    torch.manual_seed(0)
    ref.assert_close(loss(student, teacher), expected)


@bounded
@given(st.sampled_from(LOGITS_DISTANCES), st.sampled_from([1, 4, 8, 16]), st.integers(3, 8),
       st.integers(3, 20), st.integers(0, 99))
def test_logits(distance, tau, n, k, seed):
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (torch.randn(n, k, generator=generator) * 3 for _ in range(2))
    student.requires_grad_()
    loss = LogitsLoss(distance, tau)
    value = loss(student, teacher)
    gradient = ref.gradients(value, student)
    assert value.isfinite() and value >= 0 and gradient.isfinite().all() and gradient.any()
    assert 0 <= loss(student, student).item() < 1e-9
    order = torch.randperm(n, generator=generator)
    ref.assert_close(loss(student[order], teacher[order]), value.item(), 1e-4)
