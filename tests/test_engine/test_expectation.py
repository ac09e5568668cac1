from types import SimpleNamespace

import pytest
from optuna.trial import TrialState, create_trial

from autokd_mm.engine.expectation import Expectation, FullLength
from autokd_mm.search.extrapolation import expected_gain
from autokd_mm.search.reward import Outcome

UNDISTILLED = Outcome(1.0, 1.0, 0.5, 0.5, 1.0)


def trial(metric, state=TrialState.COMPLETE):
    found = create_trial(state=state, value=0.1 if state == TrialState.COMPLETE else None,
                         user_attrs=dict(outcome=Outcome(1, 1, 0.5, metric, 1).to_dict()))
    found.number = 3
    return found


def final(own, base):
    return SimpleNamespace(metrics=lambda number: {3: own, -1: base}[number])


def expectation(samples=80, full=None, baseline=UNDISTILLED):
    full = full or dict(max_epochs=10)
    return Expectation(FullLength.of(full, 1000, 50), samples, baseline, 500)


def test_it_is_made_of_all_lengths():
    found = expected_gain({80: 0.6, 320: 0.75}, {80: 0.5, 320: 0.7}, 10000, 500)
    line, = expectation().lines(trial(0.6), final({4: 0.75}, {4: 0.7}))
    assert line == (f'  expected gain at 10 epochs: {100 * found.gain:+.1f} +- '
                    f'{100 * found.spread:.1f} points of the metric (four of five lie inside), '
                    '31.2 times the longest of these runs')


def test_without_a_final_round():
    found = expected_gain({500: 0.6}, {500: 0.5}, 10000, 500)
    assert f'{100 * found.gain:+.1f} +- ' in expectation(500).lines(trial(0.6), None)[0]


def test_a_pruned_winner_counts_where_it_ran_to_the_end():
    assert expectation().lines(trial(0.6, TrialState.PRUNED), None) == []
    one = expectation().lines(trial(0.6, TrialState.PRUNED), final({4: 0.75}, {4: 0.7}))
    assert one == expectation().lines(trial(0.1, TrialState.PRUNED), final({4: 0.75}, {4: 0.7}))


@pytest.mark.parametrize('full, words, times', [
    (dict(max_iters=400), '400 steps of 50', 250.0), (dict(max_epochs=20), '20 epochs', 250.0)])
def test_further_than_the_tables_know(full, words, times):
    lines = expectation(80, full).lines(trial(0.6), None)
    assert f'expected gain at {words}: ' in lines[0] and f'{times} times' in lines[0]
    assert 'more than 40 times' in lines[1] and 'guess' in lines[1]


def test_a_full_training_shorter_than_the_proxy():
    lines = expectation(20000).lines(trial(0.6), None)
    assert 'longer than the full training' in lines[1] and '0.5 times' in lines[0]


def test_nothing_is_known():
    assert expectation().lines(trial(float('nan')), None) == []
    assert Expectation(FullLength.of({}, 10, 2), 80, UNDISTILLED, 500).lines(trial(0.6), None) == []
