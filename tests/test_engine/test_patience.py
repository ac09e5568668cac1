import time

from autokd_mm.engine.patience import Patience


def test_lasts_while_something_is_finished(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(time, 'monotonic', lambda: clock[0])
    patience, answers = Patience(), []
    for seconds, finished, longest in ((0, 3, 1), (59, 3, 1), (2, 3, 1), (5, 4, 1), (59, 4, 1),
                                       (2, 4, 7), (10, 4, 7)):
        clock[0] += seconds
        answers.append(patience.lasts(finished, longest))
    assert answers == [True, True, False, True, True, True, False]
