"""Detectors and segmentors, measured by hand: a student that says what it is shown, in batches of
images that are smaller than their batch."""
import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from autokd_mm.measure.dense_evaluation import evaluate_dense, grid_of, inside, positions
from autokd_mm.measure.evaluation import feature_terms
from autokd_mm.models.distillers import LayerPair, Layers


class Student(nn.Module):
    """Its features are the image averaged in cells of 2 x 2 pixels, and twice that; its loss is
    the mean of the images."""

    def __init__(self):
        super().__init__()
        self.small, self.twice = nn.AvgPool2d(2), nn.Identity()

    def forward(self, inputs, samples, mode):
        assert mode == 'loss' and not self.training and not torch.is_grad_enabled()
        self.twice(2 * self.small(inputs))
        return dict(loss=inputs.mean(), accuracy=torch.ones(()))


class Counted:
    """A metric: the images that were shown."""

    def __init__(self):
        self.images, self.outputs = 0, set()

    def add(self, student, outputs, inputs, samples):
        self.images, self.outputs = self.images + len(samples), self.outputs | set(outputs)

    def value(self):
        return self.images / 10


def pair_of(name, layer, factor):
    return LayerPair(name, layer, layer, (3, 4, 6), (5, 4, 6), factor)


LAYERS = Layers((pair_of('feature_0', 'small', 0.25), pair_of('feature_1', 'twice', 0.75)), ())


def batch_of(images, height, width, seed):
    """Images of ``height`` x ``width`` in a batch of 8 x 12."""
    inputs = torch.randn(images, 3, 8, 12, generator=torch.Generator().manual_seed(seed))
    return inputs, [SimpleNamespace(img_shape=(height, width, 3)) for _ in range(images)]


BATCHES = [batch_of(4, 8, 8, 0), batch_of(3, 4, 12, 1)]


@pytest.fixture
def teacher():
    generator = torch.Generator().manual_seed(2)
    return {name: torch.randn(28, 5, generator=generator) for name in ('feature_0', 'feature_1')}


def test_by_hand(teacher):
    metric, student = Counted(), Student()
    found = evaluate_dense(student, BATCHES, LAYERS, teacher, 2, metric)
    loss = sum(float(inputs.mean()) * len(inputs) for inputs, _ in BATCHES) / 7
    assert found['held_out_loss'] == found['calibrated_loss'] == pytest.approx(loss)
    assert found['metric'] == 0.7 and metric.outputs == {'feature_0', 'feature_1'}
    parts = [positions(nn.functional.avg_pool2d(inputs, 2), cells, 2)
             for (inputs, _), cells in zip(BATCHES, ((4, 4), (2, 6)))]
    terms = [feature_terms(factor * torch.cat(parts), teacher[name])
             for factor, name in ((1, 'feature_0'), (2, 'feature_1'))]
    for name in ('gap', 'debiased_gap', 'linear_gap', 'relation_gap'):
        expected = 0.25 * terms[0][name] + 0.75 * terms[1][name]
        assert found[name] == pytest.approx(expected, abs=1e-6)
    assert found['gap'] != pytest.approx(terms[0]['gap'], abs=1e-3)


def test_without_a_metric(teacher):
    assert math.isnan(evaluate_dense(Student(), BATCHES, LAYERS, teacher, 2, None)['metric'])


def test_gaps_are_computed_in_full_precision(teacher):
    expected = evaluate_dense(Student(), BATCHES, LAYERS, teacher, 2, None)
    with torch.autocast('cpu', torch.bfloat16):
        found = evaluate_dense(Student(), BATCHES, LAYERS, teacher, 2, None)
    for name in ('gap', 'debiased_gap', 'linear_gap', 'relation_gap'):
        assert found[name] == pytest.approx(expected[name], abs=1e-6)


def test_cells_inside_an_image():
    """Heights go with heights, widths with widths; an image of 16 x 20 pixels in 32 x 64."""
    feature, inputs = torch.zeros(1, 7, 8, 16), torch.zeros(1, 3, 32, 64)
    assert inside(feature, inputs, SimpleNamespace(img_shape=(16, 20, 3))) == (4, 5)


def test_positions_are_cells_of_the_image():
    feature = torch.arange(2 * 3 * 6 * 8).float().view(2, 3, 6, 8)
    found = positions(feature.half(), (4, 6), 2)
    assert found.shape == (8, 3) and found.dtype == torch.float32
    assert torch.equal(found[1], feature[0, :, :2, 3:6].mean((1, 2)))
    assert torch.equal(found[6], feature[1, :, 2:4, :3].mean((1, 2)))


def test_the_grid_keeps_to_4096_positions():
    assert [grid_of(n) for n in (1, 256, 257, 1024, 1025, 4096, 9999)] == [4, 4, 2, 2, 1, 1, 1]
