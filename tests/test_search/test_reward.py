import math

import pytest

from autokd_mm.search.reward import TERMS, Outcome, Reward

BASE = Outcome(held_out_loss=2.0, calibrated_loss=1.0, gap=0.5, metric=0.6, seconds=10.0)


def outcome(**changes):
    return Outcome(**dict(BASE.to_dict(), **changes))


@pytest.mark.parametrize('weights, changes, expected', [
    # (1.0 - 0.8) / 1.0 and (0.5 - 0.4) / 0.5, half each
    (None, dict(calibrated_loss=0.8, gap=0.4), 0.2),
    (None, dict(calibrated_loss=1.5), -0.25),
    # 0.75 * 0.2 + 0.25 * 0.5
    (dict(calibrated_loss=3, gap=1), dict(calibrated_loss=0.8, gap=0.25), 0.275),
    (dict(held_out_loss=1), dict(held_out_loss=1.5), 0.25),
    # more is better: (0.75 - 0.6) / 0.6
    (dict(metric=1), dict(metric=0.75), 0.25),
    (dict(metric=1), dict(metric=0.3), -0.5),
    (dict(metric=1, gap=0), dict(metric=0.6, gap=99), 0.0),
    # no gain counts for more than 1, no loss for more than -1
    (dict(calibrated_loss=1), dict(calibrated_loss=1e9), -1.0),
    (None, dict(calibrated_loss=1e9, gap=0.25), -0.25),
    (dict(metric=1), dict(metric=60.0), 1.0),
    (dict(gap=1), dict(gap=0.0), 1.0),
])
def test_by_hand(weights, changes, expected):
    assert Reward(weights)(outcome(**changes), BASE) == pytest.approx(expected, abs=1e-12)


def test_no_better_than_no_distillation_is_zero():
    for weights in (None, dict.fromkeys(TERMS, 1)):
        assert Reward(weights)(BASE, BASE) == 0


def test_seconds_and_terms_without_weight_do_not_count():
    assert Reward()(outcome(seconds=999.0, held_out_loss=9.0, metric=math.nan), BASE) == 0


def test_a_loss_below_zero():
    """Of a baseline at -2, a loss of -3 is a gain of one half."""
    reward = Reward(dict(held_out_loss=1))
    assert reward(outcome(held_out_loss=-3.0), outcome(held_out_loss=-2.0)) == 0.5


def test_a_perfect_baseline_cannot_be_beaten():
    reward, perfect = Reward(dict(gap=1)), outcome(gap=0.0)
    assert reward(perfect, perfect) == 0 and reward(BASE, perfect) == -1


@pytest.mark.parametrize('bad', [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize('side', [0, 1])
def test_a_term_that_is_not_finite(bad, side):
    pair = [BASE, BASE]
    pair[side] = outcome(gap=bad)
    with pytest.raises(ValueError, match='^gap is not finite'):
        Reward()(*pair)


@pytest.mark.parametrize('weights, message', [
    (dict(gab=1), "reward: 'gab' is unknown, did you mean 'gap'? Valid: held_out_loss, "),
    (dict(gap=-1), 'reward.gap: -1 is not a weight >= 0'),
    (dict(gap='1'), "reward.gap: '1' is not a weight >= 0"),
    (dict(gap=math.nan), 'reward.gap: nan is not a weight >= 0'),
    (dict(gap=math.inf), 'reward.gap: inf is not a weight >= 0'),
    (dict(gap=True), 'reward.gap: True is not a weight >= 0'),
    (dict(gap=0), 'reward: all weights are zero'),
    (0.5, 'reward must be a dict like dict(calibrated_loss=0.5, gap=0.5), got 0.5'),
])
def test_mistakes(weights, message):
    with pytest.raises(ValueError) as info:
        Reward(weights)
    assert str(info.value).startswith(message) and '\n' not in str(info.value)
