import pytest
import references as ref
import torch

from autokd_mm.models.distances import GramL2Distance, gram


@pytest.mark.parametrize('inter', ['sample', 'channel'])
def test_equals_the_equation(inter):
    for seed in range(50):
        student, teacher = ref.random_pair(seed)
        ref.assert_close(GramL2Distance(inter)(student, teacher),
                         ref.gram_l2(*ref.arrays(student, teacher), inter))


@pytest.mark.parametrize('inter', ['sample', 'channel'])
@pytest.mark.parametrize('limit', [1 << 18, 1])
def test_gradcheck(inter, limit, monkeypatch):
    """Also in blocks of single rows, as for a Gram matrix larger than the features."""
    monkeypatch.setattr(gram, 'block_size', lambda _: limit)
    monkeypatch.setattr(gram, '_SMALL', limit)
    for shape in ((4, 3, 2, 2), (5, 2, 1, 1), (2, 6, 1, 1)):
        student, teacher = ref.random_pair(0, shape, shape, torch.float64)
        assert torch.autograd.gradcheck(GramL2Distance(inter), (student, teacher))


def test_similarity_preserving():
    """SP: G = A A', rows of unit length, sum of squares over N^2. Ours over N."""
    student, teacher = ref.random_pair(1, (6, 4, 3, 3))
    rows = [torch.nn.functional.normalize(x.flatten(1) @ x.flatten(1).T, dim=1)
            for x in (student.double(), teacher.double())]
    sp = (rows[0] - rows[1]).square().sum() / len(student)**2
    ref.assert_close(GramL2Distance('sample')(student, teacher), len(student) * float(sp.detach()))


def test_inter_channel_correlation():
    """ICKD: the same on C x HW of each sample. Its mean over C x C is ours over C."""
    student, teacher = ref.random_pair(2, (6, 4, 3, 3))
    rows = [torch.nn.functional.normalize(x.flatten(2) @ x.flatten(2).transpose(1, 2), dim=2)
            for x in (student.double(), teacher.double())]
    ickd = (rows[0] - rows[1]).square().mean()
    ref.assert_close(GramL2Distance('channel')(student, teacher),
                     student.shape[1] * float(ickd.detach()))


def test_zero_rows_have_no_gradient():
    student, teacher = ref.random_pair(3, (4, 3, 2, 2))
    student = student.detach()
    student[1] = 0
    student.requires_grad_()
    loss = GramL2Distance('sample')(student, teacher)
    gradient = ref.gradients(loss, student)
    assert loss.isfinite() and gradient.isfinite().all() and gradient[0].any()
    zero = torch.zeros_like(student, requires_grad=True)
    assert not ref.gradients(GramL2Distance('channel')(zero, teacher), zero).any()


def test_memory_of_large_gram_matrices():
    """No block of the C x C matrices of a batch is larger than the features (or 1 MB)."""
    sizes = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            sizes.extend(x.numel() for x in [result] if torch.is_tensor(x))
            return result

    student, teacher = torch.randn(8, 512, 2, 2, requires_grad=True), torch.randn(8, 512, 2, 2)
    with Watch():
        GramL2Distance('channel')(student, teacher).backward()
    assert max(sizes) <= 1 << 18 < 8 * 512 * 512
