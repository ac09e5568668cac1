"""tools/benchmarks/make_table.py on four tiny distillers."""
import csv
import gzip
import json
from pathlib import Path

import optuna
import pytest

from autokd_mm.study.journal import journal_path, open_storage

TOOLS = Path(__file__).resolve().parents[2] / 'tools' / 'benchmarks'
STRONG = dict(transform='none', connector='conv1x1', intra='none', inter='none', distance='l2',
              feature_weight=50, logits='none')
LAYERS = ['backbone.layer2', 'backbone.layer3']
SPACE = dict(transform=['none'], connector=['conv1x1'], intra=['none'], patch_grid=[2],
             inter=['none'], distance=['l2', 'cosine'], temperature=[4], feature_weight=[1, 5],
             mask_ratio=[0.5], logits=['none'], logits_temperature=[4], logits_weight=[1])


@pytest.fixture
def make_table(tool, tmp_path, tiny_config, tiny_teacher):
    config = tmp_path / 'four.py'
    text = (tiny_config(str(tiny_teacher)) + 'train_cfg["warm_start"] = []\n'
            + f'train_cfg["space"] = {SPACE!r}\n')

    def run(*args, layers=None, work_dir='work'):
        config.write_text(text + f'train_cfg["layers"] = {layers or {}!r}\n')
        return tool('benchmarks/make_table', config, '--work-dir', tmp_path / work_dir,
                    '--test-images', 50, *args)

    return run


def study_of(folder):
    return optuna.load_study(study_name='table', storage=open_storage(journal_path(str(folder))))


def test_two_workers_share_the_units_and_go_on_where_they_were(make_table, tmp_path):
    make_table('--workers', '2')
    units = [tuple(trial.user_attrs['unit']) for trial in study_of(tmp_path / 'work').trials]
    assert sorted(units) == [(place, seed) for place in (-1, 0, 1, 2, 3) for seed in (0, 1)]
    assert ' of 10:' not in make_table()  # nothing is left
    path = tmp_path / 'table.csv.gz'
    make_table('--export', str(path))
    with gzip.open(str(path), 'rt') as file:
        about = json.loads(file.readline()[2:])
        rows = list(csv.DictReader(file))
    assert [(row['index'], row['seed'], row['state']) for row in rows] == [
        (str(place), str(seed), 'complete') for place in range(4) for seed in range(2)]
    assert set(about['baseline']) == {'0', '1'} and about['test_images'] == 50
    assert all(0 <= float(row['test_metric']) <= 1 for row in rows)
    assert all(float(row['held_out_loss']) > 0 for row in rows)


def test_without_the_undistilled_student(make_table, tmp_path):
    make_table('--no-baseline', '--random', '1', '--seeds', '1')
    unit, = (trial.user_attrs['unit'] for trial in study_of(tmp_path / 'work').trials)
    assert unit[0] >= 0 and unit[1] == 0
    path = tmp_path / 'table.csv.gz'
    make_table('--export', str(path))
    with gzip.open(str(path), 'rt') as file:
        assert json.loads(file.readline()[2:])['baseline'] == {}
        assert len(list(csv.DictReader(file))) == 1


def test_a_small_part_of_a_space_is_written_with_its_distillers(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    import make_table

    from autokd_mm.space import DistillerSpace, Shapes
    shapes = dict(batch=64, channels=8, height=4, width=4, classes=10)
    space = DistillerSpace(SPACE, Shapes(**shapes))
    options = {level: list(values) for level, values in space.levels()}
    assert space.count() == 4
    about = dict(space=dict(options, feature_weight=list(range(1, 16))), shapes=shapes)
    rows = [dict(index=index, seed=0) for index in (3, 3, 20)]
    listed = make_table.listing(about, rows)
    assert [row['index'] for row in rows] == [0, 0, 1] and len(listed['distillers']) == 2
    assert [spec['feature_weight'] for spec in listed['distillers']] == [4, 6]
    assert [spec['distance'] for spec in listed['distillers']] == ['l2', 'cosine']
    rows = [dict(index=index, seed=0) for index in range(4)]
    whole = dict(space=options, shapes=shapes)
    assert make_table.listing(whole, rows) is whole and rows[3]['index'] == 3


def test_factors_of_layers_are_computed_as_in_a_search(make_table, tmp_path):
    def table(factors):
        make_table('--no-baseline', '--only', json.dumps(STRONG), '--seeds', '1',
                   work_dir=str(factors),
                   layers=dict(student=LAYERS, teacher=LAYERS, factors=factors))
        study = study_of(tmp_path / str(factors))
        row, = (trial.user_attrs['row'] for trial in study.trials)
        return study.user_attrs['about']['factors'], row['held_out_loss']

    factors, loss = table('cka')
    assert sum(factors) == pytest.approx(1) and factors[0] != pytest.approx(0.5, abs=1e-3)
    assert table(factors)[1] == pytest.approx(loss, rel=1e-6)
    assert table('equal')[1] != pytest.approx(loss, rel=1e-6)
