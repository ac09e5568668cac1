"""What a search will take, made of the paces of its parts."""
import re
from types import SimpleNamespace

import pytest
from optuna.pruners import MedianPruner, SuccessiveHalvingPruner

from autokd_mm.engine import estimate as estimates
from autokd_mm.engine.estimate import _kept, estimate, foretell
from autokd_mm.engine.expectation import FullLength
from autokd_mm.engine.settings import SearchSettings
from autokd_mm.engine.trial_run import Pace, _Rows
from autokd_mm.errors import CandidateFailed

PACE = Pace(row=0.5, row_bytes=2 ** 20, step=2.0, plain_step=1.0, image=0.25, begin=3.0,
            teacher_step=4.0, teacher_image=0.125, memory=2 ** 30)
NO_MORE = dict(rejection=None, pruner=None, final_round=None)


@pytest.fixture
def told(monkeypatch):
    """``told(**train_cfg)``: the estimate of 10 trials on 64 + 16 of 200 images."""
    monkeypatch.setattr(estimates, 'pace_of', lambda *_: PACE)

    def tell(evaluation=7.0, proxy=None, full_training=None, tell=estimate, **values):
        settings = SearchSettings.from_config(dict(
            full_training=full_training or dict(max_epochs=6, val_interval=3), layers={},
            trials=10, proxy=dict(dict(images=64, held_out=16, epochs=4, batch_size=16, views=2),
                                  **(proxy or {})), **values), 16)
        loader = SimpleNamespace(dataset=range(200))
        batches = type('Batches', (), dict(dataset=range(200), __len__=lambda self: 12))()
        task = SimpleNamespace(proxy=settings.proxy, first=[1, 2], dataloader=batches)
        runner = SimpleNamespace(val_loop=SimpleNamespace(dataloader=loader))
        return tell(task, runner, settings, evaluation)

    return tell


def test_parts(told):
    found = told(**NO_MORE)
    run = 3 + 16 * 2 + 16 * 0.25
    assert found.trial == run and found.final == 0 and found.teacher == 7
    assert found.trials == 10 * run + 3 + 16 * 1 + 4 * 16 * 0.25  # and the undistilled student
    assert found.bank == (2 * 64 + 16) * 0.5 and found.bank_bytes == 144 * 2 ** 20
    asked = told(proxy=dict(select='teacher_entropy'), **NO_MORE)
    assert asked.bank == found.bank + 200 * 0.5


def test_teacher_is_trained_first(told):
    found = told(None, **NO_MORE)
    assert found.teacher == 6 * 12 * 4 + 3 * 200 * 0.125  # validated twice, and behind it
    assert told(None, teacher_epochs=24, **NO_MORE).teacher == 24 * 12 * 4 + 9 * 200 * 0.125
    found = told(None, full_training=dict(max_iters=100, val_interval=40), **NO_MORE)
    assert found.teacher == 100 * 4 + (3 + 1) * 200 * 0.125


def test_accelerations(told):
    run, look = 39.0, 4.0
    found = told(rejection=True, pruner=True, final_round=dict(best=2, handcrafted=1, length=2,
                                                               seeds=1))
    assert found.trial == run + look + 3 + 2 * 2  # looked at once on the way, and two batches
    assert found.final == (1 + 3) * 2 * run
    plain = told(**NO_MORE)
    assert found.trials - plain.trials == pytest.approx(10 * (look + 7 - run / 8))


@pytest.mark.parametrize('pruner, epochs, kept', [
    (None, 4, 1), (MedianPruner(), 4, 1),
    (SuccessiveHalvingPruner(min_resource=2, reduction_factor=2), 4, 0.875),
    (SuccessiveHalvingPruner(min_resource=1, reduction_factor=2), 4, 0.25 + 0.75 / 4 + 0.5625 / 2),
    (SuccessiveHalvingPruner(min_resource=8, reduction_factor=2), 4, 1)])
def test_share_of_the_epochs_that_a_pruner_leaves(pruner, epochs, kept):
    assert _kept(pruner, epochs) == kept


def test_words(told, monkeypatch):
    lines = told(tell=foretell, **NO_MORE)
    assert [re.sub(r'\d+ s\)', 'N s)', line) for line in lines] == [
        'estimate for this machine, one worker (a few steps of each, N s):',
        '  teacher      0.1 min', '  bank         1.2 min, 144.0 MiB',
        '  10 trials    7.1 min, 39.0 s each', '  final round  0.0 min',
        '  together     8.4 min; memory 1.0 GiB']
    assert ', some of them pruned on the way' in told(tell=foretell)[3]

    def failing(*_):
        raise CandidateFailed('out of memory')

    monkeypatch.setattr(estimates, 'pace_of', failing)
    line, = told(tell=foretell, **NO_MORE)
    assert line == 'no estimate: a few steps could not be made (out of memory)'


@pytest.mark.parametrize('full, words', [
    (FullLength(28160, '240 epochs'), '10.0% of those of one full training (240 epochs, 28,160)'),
    (FullLength(1408, '12 epochs'), '2.0 times those of one full training (12 epochs, 1,408)')])
def test_price_in_samples(told, full, words):
    """Of ten trials and the undistilled student, each of 4 epochs over 64 images."""
    assert told(**NO_MORE).samples == 11 * 4 * 64
    final = told(rejection=None, pruner=None, final_round=dict(best=2, handcrafted=1, length=2,
                                                               seeds=1))
    assert final.samples == (11 + (1 + 3) * 2) * 4 * 64
    found = told(**NO_MORE)
    last = estimates.lines(found, SimpleNamespace(trials=10, pruner=None, proxy=SimpleNamespace(
        epochs=4)), full)[-1]
    assert last == f'  samples      2,816, {words}'


def test_rows_of_two_banks(monkeypatch):
    ticks = iter((10.0, 12.0, 14.0, 20.0, 21.0))
    monkeypatch.setattr('autokd_mm.engine.trial_run.time.perf_counter', lambda: next(ticks))
    rows = _Rows()
    for done, total in ((0, 8), (4, 8), (8, 8), (0, 2), (2, 2)):
        rows('teacher', done, total)
    assert (rows.seconds, rows.rows) == (4 + 1, 10)


def test_of_a_real_search(search, tool, search_config, tmp_path):
    """The size of the bank is known before; times are compared in docs/watching.md."""
    options = ('--cfg-options', 'teacher_ckpt=None', 'train_cfg.train_teacher=True',
               'train_cfg.trials=1', 'train_cfg.proxy.views=3')
    out = tool('search', search_config, '--work-dir', tmp_path / 'work', '--dry-run', *options)
    told = re.search(r'bank +([\d.]+) min, ([\d.]+) MiB', out)
    assert re.search(r'together +([\d.]+) min; memory [\d.]+ GiB', out)
    assert re.search(r'teacher +[\d.]+ min\n', out)
    folder = search(*options)
    size = sum(path.stat().st_size for path in (folder / 'bank').rglob('*') if path.is_file())
    assert float(told.group(2)) / 1.5 - 0.1 < size / 2 ** 20 < 1.5 * float(told.group(2)) + 0.1
