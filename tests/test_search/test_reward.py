import math

import pytest

from autokd_mm.search.reward import DEFAULT_WITHOUT_METRIC, MEASURED, TERMS, Outcome, Reward, gain

BASE = Outcome(held_out_loss=2.0, calibrated_loss=1.0, gap=0.5, metric=0.6, seconds=10.0)


def outcome(**changes):
    return Outcome(**dict(BASE.to_dict(), **changes))


def curved(*points):
    return Outcome(seconds=1.0, curve=points, **points[-1])


def points(term, *values):
    return [{**dict(held_out_loss=2.0, calibrated_loss=1.0, gap=0.5, metric=0.6), term: value}
            for value in values]


@pytest.mark.parametrize('weights, changes, expected', [
    # (0.75 - 0.6) / 0.6 and (0.5 - 0.4) / 0.5, half each
    (None, dict(metric=0.75, gap=0.4), 0.225),
    (None, dict(metric=0.3), -0.25),
    (DEFAULT_WITHOUT_METRIC, dict(calibrated_loss=0.8, gap=0.4), 0.2),
    (DEFAULT_WITHOUT_METRIC, dict(calibrated_loss=1.5), -0.25),
    # 0.75 * 0.2 + 0.25 * 0.5
    (dict(calibrated_loss=3, gap=1), dict(calibrated_loss=0.8, gap=0.25), 0.275),
    (dict(held_out_loss=1), dict(held_out_loss=1.5), 0.25),
    # more is better: (0.75 - 0.6) / 0.6
    (dict(metric=1), dict(metric=0.75), 0.25),
    (dict(metric=1), dict(metric=0.3), -0.5),
    (dict(metric=1, gap=0), dict(metric=0.6, gap=99), 0.0),
    # no loss counts for more than -1; a metric three times the baseline's has a gain of 2 and
    # counts 1 + ln 2
    (dict(calibrated_loss=1), dict(calibrated_loss=1e9), -1.0),
    (DEFAULT_WITHOUT_METRIC, dict(calibrated_loss=1e9, gap=0.25), -0.25),
    (dict(metric=1), dict(metric=1.2), 1.0),
    # already a gain of 1.5 is compressed
    (dict(metric=1), dict(metric=1.5), 1 + math.log(1.5)),
    (dict(metric=1), dict(metric=1.8), 1 + math.log(2)),
    (dict(gap=1), dict(gap=0.0), 1.0),
])
def test_by_hand(weights, changes, expected):
    assert Reward(weights)(outcome(**changes), BASE) == pytest.approx(expected, abs=1e-12)


def test_no_better_than_no_distillation_is_zero():
    full = curved(*[dict.fromkeys(MEASURED, 0.5)] * 3)
    assert Reward()(BASE, BASE) == Reward(dict.fromkeys(TERMS, 1))(full, full) == 0


def test_seconds_and_terms_without_weight_do_not_count():
    assert Reward()(outcome(seconds=999.0, held_out_loss=9.0, mse_gap=math.nan), BASE) == 0


def test_a_loss_below_zero():
    """Of a baseline at -2, a loss of -3 is a gain of one half."""
    reward = Reward(dict(held_out_loss=1))
    assert reward(outcome(held_out_loss=-3.0), outcome(held_out_loss=-2.0)) == 0.5


def test_a_perfect_baseline_cannot_be_beaten():
    reward, perfect = Reward(dict(gap=1)), outcome(gap=0.0)
    assert reward(perfect, perfect) == 0 and reward(BASE, perfect) == -1


@pytest.mark.parametrize('base', [0.0, 0.009, 0.01])
def test_a_baseline_that_hits_nothing(base):
    """It counts as 0.01, and two distillers differ by the logarithms of their gains."""
    found = [Reward(dict(metric=1))(outcome(metric=value), outcome(metric=base))
             for value in (0.5, 0.25)]
    assert found[0] == pytest.approx(1 + math.log((0.5 - base) / 0.01))
    assert found[0] - found[1] == pytest.approx(math.log((0.5 - base) / (0.25 - base)))


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
    (0.5, 'reward must be a dict like dict(metric=0.5, gap=0.5), got 0.5'),
])
def test_mistakes(weights, message):
    with pytest.raises(ValueError) as info:
        Reward(weights)
    assert str(info.value).startswith(message) and '\n' not in str(info.value)


def test_what_a_reward_needs():
    for weights in (None, dict(metric_slope=1)):
        Reward(weights).refuse_without_metric(has_metric=True)
        with pytest.raises(ValueError, match='^reward.metric: no metric is known'):
            Reward(weights).refuse_without_metric(has_metric=False)
    for weights in (DEFAULT_WITHOUT_METRIC, dict(metric=0, gap=1)):
        Reward(weights).refuse_without_metric(has_metric=False)
    with pytest.raises(ValueError, match='^final_round.reward.gap: -1 is not a weight'):
        Reward(dict(gap=-1), 'final_round.reward')


@pytest.mark.parametrize('term, values, base, expected', [
    # four epochs: the half is behind the second; it fell by 0.3, the baseline by 0.1 of its 0.5
    ('gap', (0.9, 0.8, 0.6, 0.5), (0.9, 0.6, 0.55, 0.5), 0.2 / 0.5),
    # three epochs: the half is behind the second, too
    ('gap', (0.9, 0.8, 0.5), (0.9, 0.6, 0.5), 0.2 / 0.5),
    # an accuracy that rises faster: (0.3 - 0.1) / 0.5
    ('metric', (0.2, 0.5), (0.4, 0.5), 0.2 / 0.5),
])
def test_slopes_by_hand(term, values, base, expected):
    outcome, baseline = (curved(*points(term, *side)) for side in (values, base))
    assert gain(f'{term}_slope', outcome, baseline) == pytest.approx(expected)
    assert Reward({f'{term}_slope': 2}).needs_curve and not Reward({f'{term}_slope': 0,
                                                                    'gap': 1}).needs_curve


def test_a_slope_without_a_curve():
    with pytest.raises(ValueError, match='^gap_slope is not finite'):
        Reward(dict(gap_slope=1))(BASE, BASE)


def test_half_way_against_the_baseline_half_way():
    baseline = curved(*points('gap', 0.8, 0.5))
    half = curved(*points('gap', 0.6))
    assert Reward(dict(gap=1)).at(0, half, baseline) == pytest.approx(0.25)
    with pytest.raises(ValueError, match='was not measured behind epoch 2'):
        Reward(dict(gap=1)).at(2, half, baseline)


def test_outcome_as_json_and_back():
    import json
    outcome = curved(*points('gap', 0.8, 0.5))
    again = Outcome.from_dict(json.loads(json.dumps(outcome.to_dict())))
    assert again.curve == outcome.curve and again.to_dict().keys() == outcome.to_dict().keys()
    assert again.gap == 0.5 and math.isnan(again.mse_gap)


def test_a_loss_that_is_not_measured_is_refused():
    Reward(dict(metric=1, gap=1, held_out_loss=0)).refuse_without_loss(False)
    Reward(dict(held_out_loss=1)).refuse_without_loss(True)
    for term in ('held_out_loss', 'calibrated_loss', 'held_out_loss_slope'):
        with pytest.raises(ValueError, match=f"^reward.{term}: the student has no loss"):
            Reward({'gap': 1, term: 1}).refuse_without_loss(False)
