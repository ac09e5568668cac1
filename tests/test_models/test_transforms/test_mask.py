import pytest
import references as ref
import torch
import torch.nn.functional as F

from autokd_mm.models.transforms import (AttentionMaskTransform, RandomMaskTransform,
                                         TeacherAttentionMaskTransform)


def test_attention_mask_equals_the_equation():
    for seed in range(50):
        pair = ref.random_pair(seed)
        for result, expected in zip(AttentionMaskTransform()(*pair),
                                    ref.attention_mask(*ref.arrays(*pair))):
            torch.testing.assert_close(result, torch.from_numpy(expected).float(), rtol=1e-5,
                                       atol=1e-6)


@pytest.mark.parametrize('temperature', [0.5, 2.])
def test_l2_of_the_masked_features_is_fkd(temperature):
    for seed in range(10):
        pair = ref.random_pair(seed)
        loss = F.mse_loss(*AttentionMaskTransform(temperature)(*pair))
        ref.assert_close(loss, ref.fkd(*ref.arrays(*pair), temperature))


def test_masks_are_one_on_average_and_constants():
    student, teacher = ref.random_pair(0)
    transform = AttentionMaskTransform()
    spatial, channel = transform.mask(student, teacher)
    torch.testing.assert_close(spatial.mean((1, 2, 3)), torch.ones(len(student)))
    torch.testing.assert_close(channel.mean((1, 2, 3)), torch.ones(len(student)))
    # The student's gradient is that of a product with a constant.
    weighted, _ = transform(student, teacher)
    gradient = ref.gradients(weighted.sum(), student)
    torch.testing.assert_close(gradient, (spatial * channel).sqrt())


@pytest.mark.parametrize('temperature', [0.5, 2.])
def test_the_teachers_attention_equals_the_equation(temperature):
    for seed in range(50):
        pair = ref.random_pair(seed)
        for result, expected in zip(TeacherAttentionMaskTransform(temperature)(*pair),
                                    ref.teacher_attention_mask(*ref.arrays(*pair), temperature)):
            torch.testing.assert_close(result, torch.from_numpy(expected).float(), rtol=1e-5,
                                       atol=1e-6)


def test_the_students_attention_does_not_count():
    student, teacher = ref.random_pair(0)
    transform = TeacherAttentionMaskTransform()
    masks = transform.mask(student, teacher)
    assert all(torch.equal(x, y) for x, y in zip(masks, transform.mask(student * 9, teacher)))
    weighted, _ = transform(student, teacher)
    torch.testing.assert_close(ref.gradients(weighted.sum(), student),
                               (masks[0] * masks[1]).sqrt())
    doubled = AttentionMaskTransform().mask(teacher, teacher)
    torch.testing.assert_close(TeacherAttentionMaskTransform(0.25).mask(student, teacher), doubled)


@pytest.mark.parametrize('kind', [AttentionMaskTransform, TeacherAttentionMaskTransform])
def test_large_activations_do_not_overflow(kind):
    student, teacher = (x.half() * 1e4 for x in ref.random_pair(1))
    for result in kind()(student, teacher):
        assert result.dtype == torch.float32 and result.isfinite().all()


def test_random_mask_hides_whole_positions_of_the_student():
    transform = RandomMaskTransform(4, 0.65)
    transform.generation = torch.nn.Sequential(torch.nn.Identity())
    transform._generate = lambda masked: masked
    student, teacher = torch.rand(8, 4, 32, 32) + 1, torch.rand(8, 4, 32, 32)
    masked, unchanged = transform(student, teacher)
    assert torch.equal(unchanged, teacher)
    hidden = masked == 0
    assert torch.equal(hidden, hidden[:, :1].expand_as(hidden))
    assert torch.equal(masked[~hidden], student[~hidden])
    assert abs(hidden.float().mean().item() - 0.65) < 0.03
    assert not torch.equal(transform(student, teacher)[0], masked)


def test_random_mask_is_drawn_from_the_global_generator_in_any_mode():
    transform = RandomMaskTransform(3, 0.5).eval()
    student, teacher = torch.randn(2, 3, 6, 6), torch.randn(2, 3, 6, 6)
    torch.manual_seed(1)
    first, second = transform(student, teacher)[0], transform(student, teacher)[0]
    torch.manual_seed(1)
    assert torch.equal(transform(student, teacher)[0], first) and not torch.equal(first, second)


def test_the_generator_learns_and_the_teacher_does_not():
    transform = RandomMaskTransform(3, 0.5)
    student = torch.randn(2, 3, 6, 6, requires_grad=True)
    teacher = torch.randn(2, 3, 6, 6, requires_grad=True)
    F.mse_loss(*transform(student, teacher)).backward()
    assert student.grad.any() and teacher.grad is None
    assert all(parameter.grad.any() for parameter in transform.parameters())


def test_float16_features_are_generated_in_the_precision_of_the_weights():
    transform = RandomMaskTransform(3, 0.5)
    student = (torch.randn(2, 3, 6, 6) * 1e4).half()
    result, _ = transform(student, student)
    assert result.dtype == torch.float32 and result.isfinite().all()


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match='RandomMaskTransform.mask_ratio must be between'):
        RandomMaskTransform(3, 1.)
    with pytest.raises(ValueError, match='RandomMaskTransform.channels must be the number'):
        RandomMaskTransform(None)
    with pytest.raises(ValueError, match='channels is 3, but the features have 4 channels'):
        RandomMaskTransform(3)(torch.randn(2, 4, 2, 2), torch.randn(2, 4, 2, 2))
    with pytest.raises(ValueError, match='AttentionMaskTransform.temperature must be above 0'):
        AttentionMaskTransform(0)
