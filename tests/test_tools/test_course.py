"""tools/benchmarks/course.py on a study made up on the spot."""
import optuna
import pytest

pytest.importorskip('matplotlib')


def test_a_picture_by_itself(tool, tmp_path):
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(tmp_path / 'study.journal'))),
        study_name='autokd_mm', direction='maximize')
    with pytest.raises(tool.Ended, match='has a reward yet'):
        tool('benchmarks/course', tmp_path, '--figure', tmp_path / 'none.svg')
    study.optimize(lambda trial: trial.number / 10, n_trials=4)
    tool('benchmarks/course', tmp_path, '--figure', tmp_path / 'course.svg')
    svg = (tmp_path / 'course.svg').read_text(encoding='utf-8')
    assert svg.startswith('<svg xmlns=') and 'var(--' not in svg and 'reward' in svg
