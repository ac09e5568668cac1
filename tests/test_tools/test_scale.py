"""tools/benchmarks/scale.py: simulated workers, by hand and on a table of a dozen distillers."""
import importlib
import json
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / 'tools' / 'benchmarks'


@pytest.fixture
def scale(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    path = list(sys.path)
    yield importlib.import_module('scale')
    sys.path[:] = path


def costs(scale, **spent):
    """A storage whose steps take 0 s but those named, whatever the number of trials."""
    steps = dict.fromkeys(('look', 'take', 'question', 'write', 'leaderboard'), 0.0)
    return scale.Costs(dict(writers={'1': dict(per_second=1e9)}, steps={
        '1': dict(steps, **spent), '2': dict(steps, **spent)}))


def test_workers_of_a_free_storage_are_never_idle(scale):
    share, rate = scale.simulate(4, 400, 5.0, costs(scale))
    assert share < 0.01 and rate == pytest.approx(4 / 5.0, rel=0.1)


def test_a_turn_that_takes_a_second_feeds_one_trial_a_second(scale):
    share, rate = scale.simulate(64, 1000, 5.0, costs(scale, take=1.0))
    assert rate == pytest.approx(1.0, rel=0.05) and share == pytest.approx(1 - 5 / 64, rel=0.05)


def test_regret(scale, table, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['scale.py', 'regret', '--table', str(table), '--workers', '4',
                                      '1', '--seeds', '2', '--trials', '12', '--work-dir',
                                      str(tmp_path / 'out')])
    scale.main()
    one, four = json.loads((tmp_path / 'out' / 'regret.json').read_text())
    assert (one['workers'], four['workers']) == (1, 4)
    assert one['one_worker_as_informed'] == one['regret'] and one['regret'] <= 1
    assert four['one_worker_as_informed'] >= one['regret']  # behind 9 of the 12 trials
    assert (tmp_path / 'out' / 'regret.md').read_text().count('\n') == 4
