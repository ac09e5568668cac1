import io

import pytest
from optuna.trial import TrialState, create_trial
from rich.console import Console

from autokd_mm.engine.progress import Display, best_table, table_text
from autokd_mm.space.handcrafted import HANDCRAFTED

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
    assert '75.00%' in rows[0] and '\x1b' not in text
    assert max(map(len, text.splitlines())) <= 150
