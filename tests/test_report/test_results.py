import csv
import errno
import os

import optuna
import pytest
from mmengine.config import Config
from optuna.trial import TrialState, create_trial

from autokd_mm.errors import AutoKDWarning
from autokd_mm.models.distillers import Layers, spec_from_config
from autokd_mm.report.results import Results
from autokd_mm.space.handcrafted import HANDCRAFTED
from autokd_mm.study.ranking import Standing
from autokd_mm.study.view import VIEW, VIEW_JOURNAL, View

OUTCOME = dict(held_out_loss=1.5, calibrated_loss=1.25, gap=0.5, metric=0.75, seconds=2.0)
LAYERS = Layers.single('backbone', 'backbone', 'head.fc', 'head.fc', (64, 8, 8), (64, 8, 8))


@pytest.fixture
def results(tmp_path):
    config = Config(dict(model=dict(type='A', distiller=dict()), train_cfg=dict(trials=3)))
    return Results(str(tmp_path), config, dict(max_epochs=9), LAYERS, str(tmp_path / 'teacher.pth'),
                   'MCTSSampler', OUTCOME)


def trial(number, value, name):
    found = create_trial(state=TrialState.FAIL if value is None else TrialState.COMPLETE,
                         value=value, user_attrs=dict(spec=HANDCRAFTED[name].to_dict(),
                                                      outcome=OUTCOME))
    found.number = number
    return found


def test_the_winner_as_a_config(results, tmp_path):
    trials = [trial(0, 0.5, 'KD'), trial(1, 0.25, 'AT'), trial(2, None, 'SP')]
    for final, name in (({}, 'KD'), ({1: Standing(4, 0.1)}, 'AT')):
        top = results.write_best(trials, final, ['  about the final round'] if final else ())
        config = Config.fromfile(str(tmp_path / 'best_distiller.py'))
        assert spec_from_config(config.model.distiller) == HANDCRAFTED[name]
        assert top.user_attrs['spec'] == HANDCRAFTED[name].to_dict()
        assert config.train_cfg == dict(max_epochs=9)
        assert config.teacher_ckpt == str(tmp_path / 'teacher.pth')
        text = (tmp_path / 'best_distiller.py').read_text()
        assert f'trial {top.number} of 3, sampler MCTSSampler' in text
        assert ('#   about the final round' in text) == bool(final)


def test_nobody_has_won(results, tmp_path):
    assert results.write_best([trial(0, None, 'KD')], {}) is None
    assert list(tmp_path.iterdir()) == []


def test_leaderboard(results, tmp_path):
    results.write_leaderboard([trial(0, 0.5, 'KD'), trial(1, 0.25, 'AT')], {1: Standing(4, 0.1)})
    rows = list(csv.DictReader((tmp_path / 'leaderboard.csv').open(newline='')))
    assert [row['trial'] for row in rows] == ['1', '0'] and rows[0]['final_reward'] == '0.1'


def test_the_leaderboard_costs_little(results, monkeypatch):
    """It is written again when twenty times has passed what it took."""
    now, ticks = [1000.0], iter((0.0, 0.5, 0.0, 2.0))
    monkeypatch.setattr('autokd_mm.report.results.time.time', lambda: now[0])
    monkeypatch.setattr('autokd_mm.report.results.time.perf_counter', lambda: next(ticks))
    assert not results.fresh()
    for seconds in (10.0, 40.0):
        results.write_leaderboard([], {})
        os.utime(results.leaderboard, (now[0], now[0]))
        now[0] += seconds - 0.1
        assert results.fresh()
        now[0] += 0.2
        assert not results.fresh()
    now[0] -= 3600  # another host's clock
    assert not results.fresh()


def test_the_study_for_viewers(results, tmp_path, monkeypatch):
    """It is kept beside, and where it cannot be written the search goes on."""
    search = optuna.create_study(direction='maximize')
    search.add_trial(trial(0, 0.5, 'KD'))
    search.add_trial(trial(1, 0.25, 'AT'))
    results.write_view(search)
    results.write_view(search, {1: Standing(4, 0.125)})
    view = optuna.load_study(study_name=VIEW, storage=optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(tmp_path / VIEW_JOURNAL))))
    assert (view.best_trial.number, view.best_value) == (1, 0.125)

    def full(*_):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(View, 'update', full)
    with pytest.warns(AutoKDWarning, match='view.journal cannot be kept up to date'):
        results.write_view(search)
    results.write_view(search)  # silently
