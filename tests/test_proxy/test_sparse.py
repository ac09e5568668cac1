"""Dynamic sparse training."""
import copy
import math

import pytest
import torch
from torch import nn

from autokd_mm.errors import CheckpointError, ConfigError
from autokd_mm.proxy.sparse import SparseMasks, layer_densities


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(),
                         nn.Conv2d(16, 32, 3, bias=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(32, 10))


def train(model, masks, optimizer, steps, first=0):
    torch.manual_seed(1)
    images, labels = torch.randn(16, 3, 8, 8), torch.arange(16) % 10
    for step in range(first, steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
        masks.after_step(step, optimizer)


def test_densities_of_an_erdos_renyi_kernel():
    shapes = dict(first=(16, 3, 3, 3), middle=(64, 64, 3, 3), head=(10, 64))
    found = layer_densities(shapes, 0.05)
    there = sum(found[name] * math.prod(shape) for name, shape in shapes.items())
    assert there == pytest.approx(0.05 * sum(map(math.prod, shapes.values())))
    # (sum of dimensions) / (product of dimensions), by hand, for layers below 1
    assert found['middle'] / found['head'] == pytest.approx((134 / 36864) / (74 / 640))
    assert found['first'] < 1 and found['first'] > found['middle']


def test_small_layers_become_dense_and_the_others_make_up_for_it():
    shapes = dict(tiny=(4, 1, 3, 3), large=(64, 64, 3, 3), depthwise=(64, 1, 3, 3))
    found = layer_densities(shapes, 0.2)
    assert found['tiny'] == found['depthwise'] == 1
    there = sum(found[name] * math.prod(shape) for name, shape in shapes.items())
    assert there == pytest.approx(0.2 * sum(map(math.prod, shapes.values())))
    assert layer_densities(shapes, 1.0) == dict(tiny=1, large=1, depthwise=1)


def test_masks_convolutions_and_linear_layers_at_once():
    model = network()
    before = copy.deepcopy(model.state_dict())
    masks = SparseMasks(model, density=0.2, seed=3)
    assert set(masks.masks) == {'0.weight', '3.weight', '6.weight'}
    weights = dict(model.named_parameters())
    for name, mask in masks.masks.items():
        assert torch.equal(weights[name] != 0, mask)
        assert torch.equal(weights[name][mask], before[name][mask])
    for name in ('1.weight', '1.bias', '3.bias', '6.bias'):
        assert torch.equal(weights[name], before[name])
    sizes = {name: mask.numel() for name, mask in masks.masks.items()}
    assert masks.density == pytest.approx(0.2, abs=3 / sum(sizes.values()))


@pytest.mark.parametrize('make', [
    lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-2),
    lambda p: torch.optim.AdamW(p, lr=0.01)])
def test_masked_weights_stay_zero_in_the_network_and_the_optimiser(make):
    model = network()
    masks = SparseMasks(model, density=0.2, death_rate=0.5, interval=3, steps=20)
    optimizer = make(model.parameters())
    train(model, masks, optimizer, 10)
    weights = dict(model.named_parameters())
    for name, mask in masks.masks.items():
        assert not weights[name][~mask].any()
        buffers = [value for value in optimizer.state[weights[name]].values()
                   if value.shape == mask.shape]
        assert buffers and not any(buffer[~mask].any() for buffer in buffers)
        assert all(buffer[mask].any() for buffer in buffers)


def test_an_interval_replaces_the_smallest_and_keeps_the_number():
    model = network()
    masks = SparseMasks(model, density=0.2, death_rate=0.5, interval=4, steps=100)
    before, values = masks.state_dict(), copy.deepcopy(model.state_dict())
    for step in range(3):
        masks.after_step(step)
    assert all(torch.equal(masks.masks[name], mask) for name, mask in before.items())
    masks.after_step(3)
    rate = 0.25 * (1 + math.cos(math.pi * 4 / 100))
    for name, mask in masks.masks.items():
        old = before[name]
        dropped, grown, kept = old & ~mask, mask & ~old, old & mask
        assert mask.sum() == old.sum()
        assert dropped.sum() == grown.sum() == min(int(rate * old.sum()), (~old).sum())
        if dropped.any():
            assert values[name][dropped].abs().max() <= values[name][kept].abs().min()
        weight = model.state_dict()[name]
        assert not weight[grown].any() and torch.equal(weight[kept], values[name][kept])
    assert (masks.masks['3.weight'] != before['3.weight']).any()


def test_the_death_rate_falls_to_nothing_and_the_last_step_replaces_none():
    moved = []
    masks = SparseMasks(network(), density=0.2, death_rate=0.5, interval=10, steps=100)
    for step in range(100):
        before = masks.state_dict()
        masks.after_step(step)
        moved.append(sum(int((masks.masks[name] != mask).sum()) for name, mask in before.items()))
    at = [moved[step] for step in range(9, 100, 10)]
    assert at == sorted(at, reverse=True) and at[0] > 10 * at[-2] and at[-1] == 0
    assert sum(at) == sum(moved)


def test_death_rate_zero_is_a_fixed_random_mask():
    masks = SparseMasks(network(), density=0.2, death_rate=0.0, interval=1, steps=9)
    before = masks.state_dict()
    for step in range(9):
        masks.after_step(step)
    assert all(torch.equal(masks.masks[name], mask) for name, mask in before.items())


def test_the_seed_decides_whatever_was_drawn_before():
    found = []
    for noise, seed in ((0, 5), (7, 5), (0, 6)):
        model = network()
        masks = SparseMasks(model, density=0.1, interval=2, seed=seed, steps=10)
        torch.rand(noise)
        for step in range(6):
            torch.rand(noise)
            masks.after_step(step)
        found.append(torch.cat([mask.view(-1) for mask in masks.masks.values()]))
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_grown_weights_are_trained():
    model = network()
    masks = SparseMasks(model, density=0.1, interval=5, steps=50)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    first = masks.state_dict()
    train(model, masks, optimizer, 8)
    weight, mask = model[3].weight, masks.masks['3.weight']
    grown = mask & ~first['3.weight']
    assert grown.any() and (weight[grown] != 0).float().mean() > 0.9


def test_goes_on_where_it_was():
    whole = network()
    masks = SparseMasks(whole, density=0.2, interval=3, seed=1, steps=14)
    train(whole, masks, torch.optim.SGD(whole.parameters(), lr=0.1), 14)
    half = network()
    masks = SparseMasks(half, density=0.2, interval=3, seed=1, steps=14)
    train(half, masks, torch.optim.SGD(half.parameters(), lr=0.1), 7)
    rest = network(9)
    rest.load_state_dict(half.state_dict())
    masks = SparseMasks(rest, density=0.2, interval=3, seed=1, steps=14, masks=masks.state_dict())
    train(rest, masks, torch.optim.SGD(rest.parameters(), lr=0.1), 14, first=7)
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(),
                                                 rest.state_dict().values()))


def test_frozen_and_shared_weights():
    model = network()
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    assert set(SparseMasks(model, density=0.2).masks) == {'3.weight', '6.weight'}
    assert torch.equal(model[0].weight, before)
    tied = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    tied[1].weight = tied[0].weight
    masks = SparseMasks(tied, density=0.25)
    assert list(masks.masks) == ['0.weight'] and int((tied[1].weight != 0).sum()) == 16


@pytest.mark.parametrize('values, words', [
    (dict(density=0), r'sparse.density=0: must be a number in \(0, 1\]'),
    (dict(density=1.5), 'sparse.density=1.5'), (dict(density='0.1'), "sparse.density='0.1'"),
    (dict(density=float('nan')), 'sparse.density=nan'),
    (dict(death_rate=1), r'sparse.death_rate=1: must be a number in \[0, 1\)'),
    (dict(death_rate=-0.1), 'sparse.death_rate=-0.1'),
    (dict(interval=0), 'sparse.interval=0: must be a whole number of steps, at least 1'),
    (dict(interval=2.5), 'sparse.interval=2.5'), (dict(interval=True), 'sparse.interval=True'),
])
def test_values_out_of_range(values, words):
    with pytest.raises(ConfigError, match=words):
        SparseMasks(network(), **values)


def test_networks_that_cannot_be_masked():
    with pytest.raises(ConfigError, match='BatchNorm2d has no trainable convolution'):
        SparseMasks(nn.BatchNorm2d(3))
    masks = SparseMasks(network()).state_dict()
    with pytest.raises(CheckpointError, match='masks in the checkpoint are of another network'):
        SparseMasks(nn.Sequential(nn.Linear(4, 4)), masks=masks)
