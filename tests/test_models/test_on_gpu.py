"""Losses and connectors on a pretended GPU: no fault, the numbers of the CPU, no waits."""
from functools import partial

import compositions
import pytest
import torch
from pretend_device import pretend_cuda

from autokd_mm.models.connectors import ConvConnector, IdentityConnector
from autokd_mm.models.losses import LOGITS_DISTANCES, FeatureLoss, LogitsLoss
from autokd_mm.models.losses.operations import REGIONS
from autokd_mm.models.transforms.padding import BatchSizes
from autokd_mm.models.transforms.regions import BatchBoxes


def few():
    """Compositions in which every transform, intra, and distance with its inter occurs."""
    found, seen = [], set()
    for arguments in compositions.legal(4):
        new = {arguments['transform'], (arguments['intra'], ), (arguments['inter'],
                                                                arguments['distance'])} - seen
        if new:
            found.append(arguments)
            seen |= new
    return found


class Batch:
    """``images`` images, padded to 64 x 64, in maps of ``side`` x ``side``."""

    def __init__(self, images, side, padded):
        self.rng = torch.Generator().manual_seed(0)
        self.shape = (images, 4, side, side)
        sizes = tuple((64 - 16 * (number % 3) * padded, 64) for number in range(images))
        self.sizes = BatchSizes(sizes, (64, 64))
        self.boxes = [self.draw(1 + number % 3, 4).abs().cumsum(1) * 10
                      for number in range(images)]

    def draw(self, *shape):
        return torch.randn(shape, generator=self.rng)

    def show(self, loss, device):
        if self.sizes.padded:
            loss.show_sizes(self.sizes)
        if getattr(loss, 'region', None) is not None:
            loss.region.show(BatchBoxes(tuple(boxes.to(device) for boxes in self.boxes),
                                        self.sizes.images, self.sizes.batch))


def gradients(loss, batch, device, shape=None):
    """The loss and the student's gradient, on the CPU."""
    student, teacher = (batch.draw(*(shape or batch.shape)) for _ in range(2))
    loss = loss.to(device)
    student, teacher = student.to(device).requires_grad_(), teacher.to(device)
    batch.show(loss, device)
    return loss, student, teacher


def run(loss, student, teacher):
    value = loss(student, teacher)
    value.backward()
    return value.detach(), student.grad


def alike(cuda, make, batch, shape=None):
    """Waits of ours in a step on the pretended GPU, whose numbers are those of the CPU."""
    found = []
    for device in ('cpu', 'cuda'):
        torch.manual_seed(0)
        batch.rng.manual_seed(1)
        loss, student, teacher = gradients(make(), batch, device, shape)
        torch.manual_seed(1)
        with cuda.counted() as waits:
            numbers = run(loss, student, teacher)
        found.append([number.cpu() for number in numbers])
    assert all(torch.equal(here, there) for here, there in zip(*found))
    return [wait for wait in waits if wait.ours]


@pytest.fixture
def cuda():
    with pretend_cuda() as device:
        yield device


@pytest.mark.parametrize('region, padded',
                         [('all', False), *((region, True) for region in REGIONS)])
def test_features(cuda, region, padded):
    small, large, tried = Batch(3, 8, padded), Batch(6, 16, padded), 0
    for arguments in few():
        if arguments['transform'] == 'random_mask':
            arguments = dict(arguments, channels=4)

        make = partial(FeatureLoss, **arguments, region=region)
        try:
            make()
        except ValueError:
            continue
        tried += 1
        for batch in (small, large) if tried % 4 == 1 else (small, ):
            waits = alike(cuda, make, batch)
            # How many boxes there are; see BatchBoxes.places.
            assert len(waits) == (region == 'instances'), (arguments, waits)
    assert tried >= 10


def test_the_boxes_of_a_batch_are_waited_for_once(cuda):
    batch = Batch(4, 8, True)
    boxes = BatchBoxes(tuple(found.to('cuda') for found in batch.boxes), batch.sizes.images,
                       batch.sizes.batch)
    with cuda.counted() as waits:
        for side in (16, 8, 4):
            loss = FeatureLoss(region='instances')
            loss.region.show(boxes)
            loss(*(torch.zeros(4, 4, side, side, device='cuda') for _ in range(2)))
    assert [wait.kind for wait in waits] == ['copied over']


@pytest.mark.parametrize('distance', LOGITS_DISTANCES)
def test_logits(cuda, distance):
    for padded, shape in ((False, (8, 5)), (False, (4, 5, 8, 8)), (True, (4, 5, 8, 8))):
        batch = Batch(shape[0], 8, padded)
        assert not alike(cuda, lambda: LogitsLoss(distance), batch, shape)


@pytest.mark.parametrize('connector, shape', [
    (dict(size=(4, 4)), (3, 4, 8, 8)), (dict(size=(16, 16)), (3, 4, 8, 8)),
    (dict(strides=(8, 16)), (3, 4, 8, 8)), (dict(extra_tokens=1), (3, 17, 4)),
    (dict(channels_last=True), (3, 8, 8, 4)), (dict(extra_tokens=0, strides=(8, 32)), (3, 64, 4))])
def test_connectors(cuda, connector, shape):
    for made in (IdentityConnector(**connector), ConvConnector(4, 6, norm=True, **connector),
                 ConvConnector(4, 6, kernel_size=3, **connector)):
        made = made.to('cuda')
        made.show_sizes(BatchSizes(((64, 48), (48, 64), (64, 64)), (64, 64)))
        feature = torch.ones(shape).to('cuda').requires_grad_()
        with cuda.counted() as waits:
            made(feature).sum().backward()
        assert not waits and feature.grad.is_cuda
