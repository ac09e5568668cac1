"""The held-out loss of heads that have one in training only."""
import copy
import math

import pytest
import torch
from mmengine.structures import BaseDataElement, InstanceData
from torch import nn

from autokd_mm.measure.losses import (EVALUATION, NONE, THROUGHOUT, TRAINING, find_mode,
                                      in_training, loss_of_images)


class DropPath(nn.Module):
    """Noise by its name, not by its class."""

    def forward(self, x):
        return x * torch.rand(1) if self.training else x


class Block(nn.Module):
    """Inside a backbone: what training changes there is noise."""

    def forward(self, x):
        return x + torch.rand(1) if self.training else x


class Backbone(nn.Module):

    def __init__(self):
        super().__init__()
        self.norm, self.block = nn.BatchNorm2d(3, momentum=0.5), Block()

    def forward(self, x):
        x = self.block(self.norm(x))
        return (x, 2 * x) if self.training else x


class Head(nn.Module):
    """Has its loss in training only, and changes whatever it can."""

    def __init__(self):
        super().__init__()
        self.drop, self.path = nn.Dropout(0.9), DropPath()
        self.attention = nn.MultiheadAttention(4, 1, dropout=0.9)
        self.register_buffer('seen', torch.zeros(()))
        self.steps, self.history = 0, [1]

    def loss(self, x, samples):
        first, second = x
        if not self.training:
            raise TypeError('no loss')
        tokens = second.flatten(2)[:, :, :4]
        tokens = tokens + self.attention(tokens, tokens, tokens)[0]
        self.seen += 1
        self.steps += 1
        self.history.append(self.steps)
        self.seen = self.seen * 2
        noise = torch.rand(1)  # as of boxes that are drawn
        pairs = len(samples) * sum(sample[0] for sample in samples)  # depends on the batch
        return dict(loss_a=[self.drop(first).mean() + self.seen, self.path(tokens).mean()],
                    loss_b=noise * pairs + self.steps, accuracy=torch.ones(()))


class Student(nn.Module):

    def __init__(self, head=Head):
        super().__init__()
        self.backbone, self.bbox_head = Backbone(), head()
        self.backbone.norm.running_mean.fill_(0.3)

    def forward(self, inputs, samples, mode):
        return self.bbox_head.loss(self.backbone(inputs), samples)


@pytest.fixture
def batch():
    inputs = torch.randn(3, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    return inputs, [[1.], [2.], [5.]]


@pytest.fixture
def student():
    torch.manual_seed(0)
    return Student().eval()


def state_of(student):
    return (copy.deepcopy(student.state_dict()),
            [(module.training, getattr(module, 'momentum', 0)) for module in student.modules()],
            student.bbox_head.steps, list(student.bbox_head.history), torch.get_rng_state())


def same(one, other):
    return (all(torch.equal(value, other[0][name]) for name, value in one[0].items())
            and one[1:4] == other[1:4] and torch.equal(one[4], other[4]))


def test_a_loss_of_training_only(student, batch):
    inputs, samples = batch
    assert find_mode(student, inputs, samples).mode == TRAINING
    found = loss_of_images(student, inputs[:1], samples[:1], TRAINING)
    features = student.backbone(inputs[:1]).detach()  # running statistics, no noise
    tokens = 2 * features.flatten(2)[:, :, :4]
    tokens = tokens + student.bbox_head.attention(tokens, tokens, tokens)[0]
    known = float(features.mean() + 2 + tokens.mean().detach() + 1)
    assert 0 < found - known < 1  # and what was drawn


def test_the_loss_of_an_image_is_the_same_in_every_batch(student, batch):
    inputs, samples = batch
    alone = [loss_of_images(student, inputs[at:at + 1], samples[at:at + 1], TRAINING)
             for at in range(3)]
    assert loss_of_images(student, inputs, samples, TRAINING) == pytest.approx(sum(alone))
    torch.rand(5)
    other = loss_of_images(student, inputs[[2, 0]], [samples[2], samples[0]], TRAINING)
    assert other == pytest.approx(alone[2] + alone[0])


@pytest.mark.parametrize('raises', [False, True])
def test_nothing_of_the_student_changes(student, batch, raises, monkeypatch):
    inputs, samples = batch
    before = state_of(student)
    buffers = [id(buffer) for buffer in student.buffers()]
    if raises:
        monkeypatch.setattr(DropPath, 'forward', lambda self, x: x.view(7777))
        with pytest.raises(RuntimeError):
            loss_of_images(student, inputs, samples, TRAINING)
    else:
        loss_of_images(student, inputs, samples, TRAINING)
    assert same(before, state_of(student))
    assert buffers == [id(buffer) for buffer in student.buffers()]


def test_who_is_trained(student):
    with in_training(student):
        trained = {name for name, module in student.named_modules() if module.training}
    assert trained == {'', 'backbone', 'bbox_head'}
    with in_training(student, throughout=True):
        trained = {name for name, module in student.named_modules() if module.training}
    assert trained == {'', 'backbone', 'backbone.block', 'bbox_head'}
    assert not any(module.training for module in student.modules())


class EvalHead(nn.Module):
    """As most heads are: the mode changes nothing."""

    def loss(self, x, samples):
        return dict(loss=(x[0] if isinstance(x, tuple) else x).mean() + self.more())

    def more(self):
        return 0.


class OtherUnits(EvalHead):

    def more(self):
        return 0. if self.training else 100.


class NoLoss(EvalHead):

    def more(self):
        raise TypeError(f'none, training={self.training}')


class NotInTraining(EvalHead):

    def more(self):
        assert not self.training
        return 3.


class NotFinite(NotInTraining):

    def more(self):
        return super().more() * float('nan')


class OfBlocks(EvalHead):
    """Wants what a block of the backbone does in training."""

    def loss(self, x, samples):
        if not isinstance(x, tuple) or float(x[0].mean()) == float(x[0].mean().round()):
            raise TypeError('no loss')
        return dict(loss=x[0].sum())


class OfState(EvalHead):
    """Its loss depends on what came before."""

    def __init__(self):
        super().__init__()
        self.register_buffer('total', torch.zeros(()))

    def more(self):
        self.total += 1
        return self.total


@pytest.mark.parametrize('head, compare, mode', [
    (EvalHead, True, EVALUATION), (OtherUnits, True, TRAINING), (OtherUnits, False, EVALUATION),
    (NotInTraining, True, EVALUATION), (NoLoss, True, NONE), (NoLoss, False, NONE),
    (NotFinite, True, EVALUATION), (OfState, True, EVALUATION), (OfBlocks, True, THROUGHOUT),
    (Head, False, TRAINING)])
def test_the_loss_that_is_trained_is_measured(batch, head, compare, mode):
    student = Student(head).train()
    if head is OfBlocks:  # a mean of whole numbers, but for what the block adds in training
        student.backbone.norm = nn.Identity()
        batch = torch.ones(3, 3, 4, 4), batch[1]
    before = copy.deepcopy(student.state_dict())
    found = find_mode(student, *batch, compare=compare)
    assert found.mode == mode and not student.training
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())
    errors = {EvalHead: 0, OtherUnits: 0, NotInTraining: int(compare), NoLoss: 3, Head: 1,
              OfState: 0, OfBlocks: 2, NotFinite: 1}
    assert len(found.errors) == errors[head]


def test_evaluation_is_the_loss_of_the_batch(batch):
    inputs, samples = batch
    student = Student(EvalHead).eval()
    expected = 3 * float(student(inputs, samples, 'loss')['loss'].detach())
    assert loss_of_images(student, inputs, samples, EVALUATION) == expected
    assert math.isnan(loss_of_images(student, inputs, samples, NONE))


class Renaming(Head):
    """Takes boxes out of the samples, as RoI heads do it with the proposals of a file."""

    def loss(self, x, samples):
        boxes = [sample.proposals.pop('bboxes') for sample in samples]
        for sample, own in zip(samples, boxes):
            sample.proposals.priors = own
        return dict(loss=sum(own.sum() for own in boxes))


def test_a_loss_takes_nothing_out_of_the_samples(batch):
    boxes = torch.arange(8.).view(2, 4)
    samples = [BaseDataElement(proposals=InstanceData(bboxes=boxes)) for _ in range(3)]
    student = Student(Renaming)
    for _ in range(2):
        assert find_mode(student, batch[0], samples).mode == EVALUATION
        assert loss_of_images(student, batch[0], samples, EVALUATION) == 3 * 3 * 28
    assert [list(sample.proposals.keys()) for sample in samples] == [['bboxes']] * 3
