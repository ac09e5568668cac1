"""The page beside the leaderboard."""
import os

import pytest
from studies_of_searches import make_search

from autokd_mm.page import keeping
from autokd_mm.page.keeping import SHARE, Page

pytest.importorskip('jinja2')


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1e9

        def time(self):
            return self.now

        def perf_counter(self):
            return self.now

    found = Clock()
    monkeypatch.setattr(keeping, 'time', found)
    return found


def kept(tmp_path, clock, seconds, said=None):
    """A page that takes so long to write, and the times at which it was."""
    times = []

    def write(work_dir, study, final, at_work):
        clock.now += seconds
        path = os.path.join(work_dir, 'report.html')
        open(path, 'w').close()
        os.utime(path, (clock.now, clock.now))
        times.append(clock.now)
        return path

    page = Page(str(tmp_path), None, None, (said or []).append)
    return page, times, write


def test_not_for_every_trial_and_of_all_workers_one(tmp_path, clock, monkeypatch):
    page, times, write = kept(tmp_path, clock, .1)
    other, _, _ = kept(tmp_path, clock, .1)
    monkeypatch.setattr(keeping, 'write_page', write)
    for _ in range(4000):
        clock.now += 1
        page.keep()
        other.keep()
    assert 15 <= len(times) <= 4000 / 60
    assert min(b - a for a, b in zip(times, times[1:])) >= 60


def test_under_one_percent_of_the_time(tmp_path, clock, monkeypatch):
    page, times, write = kept(tmp_path, clock, 5.)
    monkeypatch.setattr(keeping, 'write_page', write)
    begun = clock.now
    while clock.now < begun + 50000:
        clock.now += 1
        page.keep()
    assert len(times) > 10 and 5 * len(times) < (clock.now - begun) * 2 / SHARE


def test_a_page_that_cannot_be_written_ends_nothing(tmp_path, monkeypatch):
    said = []
    page = Page(str(tmp_path / 'gone'), *make_search(tmp_path, 3), said.append)
    assert page.write() is None and page.write() is None
    assert len(said) == 1 and 'report.html is not written: ' in said[0] and '\n' not in said[0]


def test_it_is_replaced_in_one_step(tmp_path):
    page = Page(str(tmp_path), *make_search(tmp_path, 3), print)
    before = {path.name for path in tmp_path.iterdir()}
    assert page.write() == str(tmp_path / 'report.html')
    assert {path.name for path in tmp_path.iterdir()} - before == {'report.html'}
