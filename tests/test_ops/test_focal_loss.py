"""Focal losses of mmcv on the stand-in; the compiled ones need a GPU."""
import pytest
import torch
from mmcv.ops import sigmoid_focal_loss, softmax_focal_loss
from torch.nn import functional as F

from autokd_mm.ops import focal_loss


def drawn(generator, rows=20, classes=5, lowest=0, highest=None):
    logits = torch.randn(rows, classes, generator=generator, dtype=torch.float64) * 3
    highest = classes if highest is None else highest
    target = torch.randint(lowest, highest, (rows, ), generator=generator)
    return logits.requires_grad_(), target


def sigmoid_by_definition(logits, target, gamma, alpha, weight=None):
    """The paper's formula, class by class, in float64."""
    hit = F.one_hot(target.clamp(0, logits.shape[1]), logits.shape[1] + 1)[:, :-1].bool()
    hit &= (target >= 0)[:, None]
    p = logits.sigmoid()
    loss = torch.where(hit, -alpha * (1 - p) ** gamma * p.log(),
                       -(1 - alpha) * p ** gamma * (1 - p).log())
    return loss if weight is None else loss * weight[target][:, None]


@pytest.mark.parametrize('gamma, alpha', [(2., 0.25), (0., 0.5), (1.5, 0.9)])
@pytest.mark.parametrize('at_once', [3, 10 ** 6])
def test_sigmoid_is_the_formula(stand_in, generator, monkeypatch, gamma, alpha, at_once):
    """Background is the number of classes, or -1."""
    monkeypatch.setitem(focal_loss._AT_ONCE, 'cpu', at_once)
    logits, target = drawn(generator, lowest=-1, highest=6)
    found = sigmoid_focal_loss(logits, target, gamma, alpha, None, 'none')
    wanted = sigmoid_by_definition(logits, target, gamma, alpha)
    torch.testing.assert_close(found, wanted)
    weights = torch.linspace(0, 1, found.numel(), dtype=torch.float64).view_as(found)
    for one, other in zip(torch.autograd.grad((found * weights).sum(), logits),
                          torch.autograd.grad((wanted * weights).sum(), logits)):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize('reduction', ['mean', 'sum'])
def test_sigmoid_reduced_and_weighted(stand_in, generator, reduction):
    logits, target = drawn(generator)
    weight = torch.rand(5, generator=generator, dtype=torch.float64)
    found = sigmoid_focal_loss(logits, target, 2., 0.25, weight, reduction)
    wanted = sigmoid_by_definition(logits, target, 2., 0.25, weight).sum()
    torch.testing.assert_close(found, wanted / (20 if reduction == 'mean' else 1))
    assert torch.autograd.gradcheck(
        lambda logits: sigmoid_focal_loss(logits, target, 2., 0.25, weight, reduction), (logits, ))


def test_a_row_of_no_class_has_the_weight_one(stand_in):
    logits, target = torch.tensor([[1., 2.], [1., 2.]]), torch.tensor([2, 0])
    found = sigmoid_focal_loss(logits, target, 2., 0.25, torch.tensor([4., 5.]), 'none')
    plain = sigmoid_focal_loss(logits, target, 2., 0.25, None, 'none')
    torch.testing.assert_close(found, plain * torch.tensor([[1.], [4.]]))


def test_extreme_logits_stay_finite(stand_in):
    logits = torch.tensor([[1000., -1000.], [-1000., 1000.]], requires_grad=True)
    loss = sigmoid_focal_loss(logits, torch.tensor([0, 0]), 2., 0.25, None, 'none')
    loss.sum().backward()
    assert loss.tolist() == [[0, 0], [250, 750]]
    assert logits.grad.tolist() == [[0, 0], [-0.25, 0.75]]


@pytest.mark.parametrize('gamma, alpha', [(2., 0.25), (1., 1.)])
def test_softmax_is_the_formula(stand_in, generator, gamma, alpha):
    """A target that is no class is left out."""
    logits, target = drawn(generator, lowest=-1, highest=6)
    known = (target >= 0) & (target < 5)
    assert 0 < known.sum() < 20
    found = softmax_focal_loss(logits, target, gamma, alpha, None, 'none')
    p = logits.softmax(1).gather(1, target.clamp(0, 4)[:, None])[:, 0]
    wanted = -alpha * (1 - p) ** gamma * p.log() * known
    torch.testing.assert_close(found, wanted)
    found = softmax_focal_loss(logits, target, gamma, alpha, None, 'sum')  # mmcv: not of 'none'
    gradients = [torch.autograd.grad(loss, logits, retain_graph=True)[0]
                 for loss in (found, wanted.sum())]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize('reduction', ['mean', 'sum'])
def test_softmax_reduced_and_weighted(stand_in, generator, reduction):
    logits, target = drawn(generator)
    weight = torch.rand(5, generator=generator, dtype=torch.float64)
    found = softmax_focal_loss(logits, target, 2., 0.25, weight, reduction)
    p = logits.softmax(1).gather(1, target[:, None])[:, 0]
    wanted = (-0.25 * (1 - p) ** 2 * p.log() * weight[target]).sum()
    torch.testing.assert_close(found, wanted / (20 if reduction == 'mean' else 1))
    assert torch.autograd.gradcheck(
        lambda logits: softmax_focal_loss(logits, target, 2., 0.25, weight, reduction), (logits, ))


@pytest.mark.parametrize('loss', [sigmoid_focal_loss, softmax_focal_loss])
def test_half_precision_and_nothing(stand_in, generator, loss):
    logits, target = drawn(generator)
    logits = logits.detach().bfloat16()
    found = loss(logits, target, 2., 0.25, None, 'none')
    assert found.dtype == torch.bfloat16
    wanted = loss(logits.float(), target, 2., 0.25, None, 'none')
    torch.testing.assert_close(found.float(), wanted, rtol=0.05, atol=0.02)
    nothing = torch.zeros(0, 5, requires_grad=True)
    loss(nothing, target[:0], 2., 0.25, None, 'sum').backward()
    assert nothing.grad.shape == (0, 5)
