import os
import signal

import pytest

from autokd_mm.errors import ConfigError
from autokd_mm.study import time_limit
from autokd_mm.study.time_limit import TimeLimit


@pytest.fixture(autouse=True)
def handlers():
    """As they were before the test."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}
    yield
    time_limit.listen()
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_hours_are_of_the_process(monkeypatch):
    now = [time_limit._START]
    monkeypatch.setattr(time_limit.time, 'monotonic', lambda: now[0])
    limit = TimeLimit(0.5)
    assert not limit.reached() and not limit.reached(1799) and not limit.stopped
    now[0] += 1700
    assert not limit.reached(99)
    assert limit.reached(101) and limit.stopped and limit.reached()
    assert limit.why() == 'max_hours=0.5: another run would not end in time'
    assert not TimeLimit().reached(10**9)


def test_signals():
    time_limit.listen()
    limit = TimeLimit()
    os.kill(os.getpid(), signal.SIGUSR1)
    assert limit.reached() and limit.why() == 'this worker was asked to end'
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize('hours', [0, -1, float('inf'), float('nan'), '2', True])
def test_nonsense(hours):
    with pytest.raises(ConfigError, match='max_hours=.*above 0'):
        TimeLimit(hours)
