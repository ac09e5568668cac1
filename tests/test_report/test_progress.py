import io

import pytest
from optuna.trial import TrialState, create_trial
from rich.console import Console

from autokd_mm.report.progress import Display, best_table, expected_work, table_text
from autokd_mm.space.handcrafted import HANDCRAFTED
from autokd_mm.study.ranking import Standing

OUTCOME = dict(held_out_loss=1.5, calibrated_loss=1.25, gap=0.5, metric=0.75, seconds=2.0)


def console(terminal):
    return Console(file=io.StringIO(), force_terminal=terminal, width=120)


def test_bar_on_a_terminal():
    screen = console(True)
    display = Display(console=screen)
    with display.running():
        display.show('evaluating the teacher', 0, 1)
        display.show('searching', 3, 60, 'best +0.1234')
        display.show('searching', 4, 60, 'best +0.4321')
    text = screen.file.getvalue()
    assert 'searching' in text and '4/60' in text and 'best +0.4321' in text and 'left' in text


def test_one_bar_and_one_time_for_what_shares_the_work():
    screen, clock = console(True), [0.0]
    display = Display(console=screen)
    with display.running():
        display._progress.get_time = lambda: clock[0]
        display.show('searching', 30, 60, '', (20.0, 80.0))  # resumed
        assert left(display) == '-:--:--'
        clock[0] = 100.0
        display.show('searching', 40, 60, 'best +0.1', (30.0, 80.0))
        assert left(display) == '0:08:20'  # 50 more, 10 s each
        clock[0] = 200.0
        assert left(display) == '0:06:40'
        clock[0] = 300.0
        display.show('final round', 5, 10, '', (60.0, 80.0))
        assert left(display) == '0:02:30'
        assert len(display._progress.tasks) == 1
        task = display._progress.tasks[0]
        assert (task.description, task.fields['count']) == ('final round', '5/10')
        clock[0] = 10000.0
        assert left(display) == '0:00:00'


def left(display):
    return str(display._progress.columns[-1].render(display._progress.tasks[0]))


def finished(value, state=TrialState.COMPLETE, last=None, **attrs):
    return create_trial(state=state, value=value, user_attrs=attrs,
                        intermediate_values={} if last is None else {last: 0.1})


def test_expected_work():
    assert expected_work([], 60, 0, 4, 48) == (0, 108)
    done = [finished(0.5), finished(0.1, TrialState.PRUNED, 1), finished(None, TrialState.FAIL),
            finished(None, TrialState.PRUNED, rejected=True)]
    # 2.25 full runs for the three that count: the 57 to come are taken to be as long.
    assert expected_work(done, 60, 9, 4, 48) == (2.25, 2.25 + 57 * 0.75 + 48)
    assert expected_work(done, 60, 0, 4, 48) == (2.25, 2.25 + 56 * 2.25 / 4 + 48)
    assert expected_work(done, 3, 9, 4, 48, 16) == (18.25, 50.25)
    assert expected_work(done[3:], 60, 9, 4) == (0, 60)


@pytest.mark.parametrize('terminal, enabled', [(False, True), (True, False)])
def test_no_bar_in_a_file_or_for_other_workers(terminal, enabled):
    screen = console(terminal)
    with Display(enabled=enabled, console=screen).running() as display:
        display.show('searching', 3, 60)
    assert screen.file.getvalue().strip() == ''


def test_show_outside_and_after_an_error():
    display = Display(console=console(True))
    display.show('searching', 1, 2)
    with pytest.raises(KeyboardInterrupt), display.running():
        raise KeyboardInterrupt
    display.show('searching', 1, 2)


def test_table_of_the_best_in_words():
    trials = []
    for number in range(12):
        trial = create_trial(value=number / 10, user_attrs=dict(
            spec=HANDCRAFTED['KD'].to_dict(), outcome=OUTCOME))
        trial.number = number
        trials.append(trial)
    failed = create_trial(state=TrialState.FAIL)
    failed.number = 12
    text = table_text(best_table(trials + [failed]))
    rows = [line for line in text.splitlines() if 'logits kl (T=4) x1' in line]
    assert len(rows) == 10 and '+1.1000' in rows[0] and '+0.2000' in rows[-1]
    assert '75.00%' in rows[0] and '\x1b' not in text and 'final' not in text
    assert max(map(len, text.splitlines())) <= 150


def test_table_of_the_final_round():
    trials = []
    for number, state in enumerate([TrialState.COMPLETE] * 2 + [TrialState.PRUNED] * 2):
        trials.append(create_trial(state=state, value=number / 10, user_attrs=dict(
            spec=HANDCRAFTED['KD'].to_dict(), outcome=OUTCOME)))
        trials[-1].number = number
    text = table_text(best_table(trials, {0: Standing(4, 0.75), 2: Standing(4, 0.5)}))
    rows = [line.split('\u2502')[1:4] for line in text.splitlines() if 'logits kl' in line]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ['0', '+0.0000', '+0.7500'], ['2', '+0.2000', '+0.5000'], ['1', '+0.1000', '']]
    assert ' final ' in text
