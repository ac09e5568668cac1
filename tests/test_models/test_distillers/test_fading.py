"""Which losses change their weight, and what becomes of them."""
from dataclasses import replace

import pytest
import torch

from autokd_mm.errors import ConfigError
from autokd_mm.models.distillers import (LayerPair, Layers, all_off, distill_losses,
                                         distiller_config, fade, feed_teacher, loss_schedules,
                                         spec_from_config)
from autokd_mm.registry import MODELS
from autokd_mm.space import DistillerSpace, DistillerSpec, LayerwiseSpec, Shapes
from autokd_mm.space.handcrafted import handcrafted
from autokd_mm.space.schedules import SCHEDULES

CPU = torch.device('cpu')
ONE = Layers.single('body', 'body', 'fc', 'fc', (3, 4, 4), (5, 4, 4))
PAIRS = tuple(LayerPair(f'feature_{i}', f'body{i}', f'body{i}', (3, 4, 4), (5, 4, 4), factor=0.5)
              for i in range(2))
LOGITS = (LayerPair('logits', 'fc', 'fc', (9, 1, 1), (9, 1, 1)), )
FITNET = handcrafted('FitNet', same_shape=False)
BOTH = replace(FITNET, feature_schedule='linear', logits='kl', logits_temperature=4,
               logits_weight=1, logits_schedule='cosine')


@pytest.fixture
def distiller():
    """Both losses, with records of a student that asks for gradients."""
    torch.manual_seed(0)
    built = MODELS.build(distiller_config(BOTH, ONE))
    records = dict(feature=torch.randn(4, 3, 4, 4), logits=torch.randn(4, 9))
    for name, value in records.items():
        built.student_recorders.recorders[name].data_buffer.append(value.requires_grad_())
    feed_teacher(built, dict(feature=torch.randn(4, 5, 4, 4), logits=torch.randn(4, 9)))
    return built


# ---------------------------------------------------------------------- which losses
@pytest.mark.parametrize('spec, schedules', [
    (FITNET, {}), (BOTH, dict(loss_feature='linear', loss_logits='cosine')),
    (replace(BOTH, feature_schedule=None), dict(loss_logits='cosine')),
    (replace(handcrafted('KD'), logits_schedule='off_third'), dict(loss_logits='off_third'))])
def test_schedules_by_name_of_the_loss(spec, schedules):
    assert loss_schedules(spec, ONE) == schedules
    assert distiller_config(spec, ONE) == distiller_config(
        replace(spec, feature_schedule=None, logits_schedule=None), ONE)


def test_all_pairs_of_layers_that_share_their_options():
    layers = Layers(PAIRS, LOGITS)
    assert loss_schedules(BOTH, layers) == dict(
        loss_feature_0='linear', loss_feature_1='linear', loss_logits='cosine')
    assert spec_from_config(distiller_config(BOTH, layers),
                            schedules=loss_schedules(BOTH, layers)) == BOTH
    with pytest.raises(ConfigError, match='loss_feature_1: differs from loss_feature_0 in more'):
        spec_from_config(distiller_config(BOTH, layers), schedules=dict(loss_feature_1='linear'))


def test_layers_with_options_of_their_own():
    layers = Layers(PAIRS, LOGITS, shared=False)
    for first in (replace(FITNET, feature_schedule='off_third'), DistillerSpec('left_out')):
        spec = LayerwiseSpec((('feature_0', first), ('feature_1', FITNET)), 'kl', 4, 1, 'linear')
        found = loss_schedules(spec, layers)
        assert found == dict(dict(loss_feature_0='off_third') if first.has_feature else {},
                             loss_logits='linear')
        assert spec_from_config(distiller_config(spec, layers), layers, found) == spec


def test_there_and_back():
    space = DistillerSpace(dict(
        transform=['logits_only', 'random_mask'], mask_ratio=[0.5], connector=['conv1x1'],
        intra=['none'], inter=['none'], distance=['kl'], temperature=[4], feature_weight=[5],
        feature_schedule=SCHEDULES, logits=['none', 'kl'], logits_temperature=[4],
        logits_weight=[1], logits_schedule=SCHEDULES), Shapes(same=False))
    for spec in space.enumerate():
        assert spec_from_config(distiller_config(spec, ONE),
                                schedules=loss_schedules(spec, ONE)) == spec


# ---------------------------------------------------------------------- their weights
def test_losses_times_their_factors(distiller):
    state, plain = set(distiller.state_dict()), distiller.compute_distill_losses()
    same = distill_losses(distiller, CPU)
    assert all(torch.equal(plain[name], same[name]) for name in plain)
    assert fade(distiller, loss_schedules(BOTH, ONE), 0.25) == pytest.approx(
        dict(loss_feature=0.75, loss_logits=(1 + 0.5**0.5) / 2))
    found = distill_losses(distiller, CPU)
    assert list(found) == list(plain)
    for name, factor in distiller.loss_factors.items():
        assert torch.equal(found[name], plain[name] * factor) and factor < 1
    fade(distiller, dict(loss_feature='constant'), 0.25)  # and the other one as it is
    assert torch.equal(distill_losses(distiller, CPU)['loss_feature'], plain['loss_feature'])
    assert distiller.loss_factors['loss_logits'] < 1
    assert set(distiller.state_dict()) == state
    assert distiller.distill_losses['loss_logits'].loss_weight == 1


def test_a_loss_that_is_off_is_not_computed(distiller, monkeypatch):
    fade(distiller, dict(loss_feature='off_third'), 0.5)
    monkeypatch.setattr(distiller.distill_losses['loss_feature'], 'forward', pytest.fail)
    with torch.no_grad():
        distiller.connectors['feature'].conv.weight.fill_(float('inf'))
    mappings = distiller.loss_forward_mappings
    found = distill_losses(distiller, CPU)
    assert distiller.loss_forward_mappings is mappings and list(found) == list(mappings)
    assert found['loss_feature'] == 0 and found['loss_logits'] > 0
    sum(found.values()).backward()
    grads = [parameter.grad for parameter in distiller.parameters()]
    assert grads and all(grad is not None and not grad.any() for grad in grads)
    assert not all_off(distiller)


def test_mappings_come_back_when_a_loss_fails(distiller, monkeypatch):
    fade(distiller, dict(loss_feature='off_third'), 0.5)
    mappings = dict(distiller.loss_forward_mappings)
    monkeypatch.setattr(distiller.distill_losses['loss_logits'], 'forward', lambda **_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        distill_losses(distiller, CPU)
    assert distiller.loss_forward_mappings == mappings


def test_all_off(distiller):
    assert not all_off(distiller)
    off = dict(loss_feature='off_third', loss_logits='off_two_thirds')
    for share, expected in ((0, False), (0.5, False), (0.7, True)):
        fade(distiller, off, share)
        assert all_off(distiller) == expected
    assert {name: loss.item() for name, loss in distill_losses(distiller, CPU).items()} == dict(
        loss_feature=0, loss_logits=0)
    # What is delivered changes the student, and needs the teacher to the end.
    distiller.deliveries.deliveries['one'] = object()
    assert not all_off(distiller)
    assert not all_off(MODELS.build(dict(type='mmrazor.ConfigurableDistiller')))


def test_a_loss_of_several_parts(distiller, monkeypatch):
    parts = [torch.tensor(2.), torch.tensor(4.)]
    monkeypatch.setattr(distiller.distill_losses['loss_logits'], 'forward', lambda **_: parts)
    fade(distiller, dict(loss_logits='linear'), 0.5)
    assert distill_losses(distiller, CPU)['loss_logits'] == [1, 2]
