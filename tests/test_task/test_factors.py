"""Factors of the pairs of layers, before anything is trained."""
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from autokd_mm.errors import ConfigError
from autokd_mm.layers.find import find_layers
from autokd_mm.models.distillers import distiller_config
from autokd_mm.proxy.batches import ProxyBatches
from autokd_mm.space.handcrafted import handcrafted
from autokd_mm.task.factors import checked_temperature, weigh

NAMES = dict(student=['backbone.layer1', 'backbone.layer2', 'backbone.layer3'],
             teacher=['backbone.layer1', 'backbone.layer2', 'backbone.layer3'])
PIXELS = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)


@pytest.fixture(scope='module')
def three(parts, tmp_path_factory):
    """Three pairs of layers, and a bank with them."""
    from mmengine.registry import DefaultScope
    layers = find_layers(parts.model, parts.student, NAMES, PIXELS)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        banks = parts.banks(tmp_path_factory.mktemp('bank'), layers=layers)
    images = ProxyBatches(banks['train'], torch.device('cpu'))
    return SimpleNamespace(layers=layers, banks=banks, images=images)


def computed(parts, three, layers=None, images=None, **names):
    return weigh(layers or three.layers, dict(NAMES, **names), parts.student,
                 images or three.images, 32, 0)


def by_hand(parts, three, measure, temperature=1.0):
    """The first 64 rows in batches of 32, BatchNorm with the statistics of the batch."""
    import copy
    student, found = copy.deepcopy(parts.student).train(), []
    for pair in three.layers.pairs:
        features, module = [], dict(student.named_modules())[pair.student]
        handle = module.register_forward_hook(lambda *args, seen=features: seen.append(args[2]))
        for start in (0, 32):
            images, _ = three.images.batch(np.arange(start, start + 32))
            with torch.no_grad():
                student(student.data_preprocessor(dict(inputs=images))['inputs'], mode='tensor')
        handle.remove()
        teacher = three.banks['train'].rows(pair.name, np.arange(64))
        found.append(measure(*(np.concatenate(part).reshape(64, -1).astype(np.float64) for part in (
            [feature.numpy() for feature in features], [teacher]))))
    weights = np.exp(np.array(found) / temperature)
    return weights / weights.sum()


def cka(s, t):
    s, t = s - s.mean(0), t - t.mean(0)
    return (s.T @ t).__pow__(2).sum() / np.sqrt(
        ((s.T @ s)**2).sum() * ((t.T @ t)**2).sum())


def gram(s, t):
    s, t = (g / np.linalg.norm(g, axis=1, keepdims=True) for g in (s @ s.T, t @ t.T))
    return -((s - t)**2).sum(1).mean()


@pytest.mark.parametrize('kind, measure', [('cka', cka), ('gram', gram)])
@pytest.mark.parametrize('temperature', [1.0, 0.05])
def test_softmax_of_the_similarities(parts, three, kind, measure, temperature):
    layers = computed(parts, three, factors=kind, factor_temperature=temperature)
    factors = [pair.factor for pair in layers.pairs]
    assert factors == pytest.approx(by_hand(parts, three, measure, temperature), abs=2e-5)
    assert math.fsum(factors) == pytest.approx(1, abs=1e-12)
    assert computed(parts, three, factors=kind, factor_temperature=temperature) == layers
    config = distiller_config(handcrafted('FitNet', False), layers)
    assert [loss['loss_weight'] for loss in config['distill_losses'].values()] == factors


def test_what_is_not_computed_stays(parts, three):
    assert [pair.factor for pair in three.layers.pairs] == [1 / 3] * 3
    assert computed(parts, three) == computed(parts, three, factors='equal') == three.layers
    numbers = find_layers(parts.model, parts.student, dict(NAMES, factors=[2, 1, 1]), PIXELS)
    assert [pair.factor for pair in numbers.pairs] == [0.5, 0.25, 0.25]
    assert computed(parts, three, numbers, factors=[2, 1, 1]) == numbers
    one = replace(parts.layers)
    assert computed(parts, three, one, factors='cka') == one


class Dead:
    """A bank whose teacher says the same of every image at one layer."""

    def __init__(self, images, value):
        self._images, self._value = images, value

    def __getattr__(self, name):
        return getattr(self._images, name)

    def __len__(self):
        return len(self._images)

    def of_teacher(self, *args):
        found = self._images.of_teacher(*args)
        found['feature_1'] = torch.full_like(found['feature_1'], self._value)
        return found


@pytest.mark.parametrize('kind', ['cka', 'gram'])
@pytest.mark.parametrize('value, words', [(0., 'the same for all images'), (3., 'the same for all'),
                                          (float('nan'), 'not finite')])
def test_a_dead_teacher_is_an_error(parts, three, kind, value, words):
    with pytest.raises(ConfigError, match=f"layers.factors='{kind}': the feature of the teacher at "
                                          f"'backbone.layer2' is {words}"):
        computed(parts, three, images=Dead(three.images, value), factors=kind)


@pytest.mark.parametrize('change, words', [
    (dict(factors='ckaa'), "layers.factors: 'ckaa' is unknown, did you mean 'cka'"),
    (dict(factors=[1, 2]), 'layers.factors has 2 numbers for 3 pairs'),
    (dict(factors=[1, float('nan'), 1]), 'layers.factors: nan is not'),
    (dict(factors=3), 'layers.factors=3: must be one of equal, cka, gram or a list'),
])
def test_bad_factors(parts, change, words):
    with pytest.raises(ConfigError, match=words):
        find_layers(parts.model, parts.student, dict(NAMES, **change), PIXELS)


@pytest.mark.parametrize('names, words', [
    (dict(factors='cka', factor_temperature=0), 'factor_temperature=0: must be a number above 0'),
    (dict(factors='cka', factor_temperature='hot'), 'factor_temperature='),
    (dict(factor_temperature=2.0), "only with layers.factors='cka' or 'gram'"),
])
def test_bad_temperature(names, words):
    with pytest.raises(ConfigError, match=words):
        checked_temperature(names)
