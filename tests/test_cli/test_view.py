"""``autokd view``: the study for viewers of a search that is over, or was stopped."""
import shutil
from pathlib import Path

import optuna
import pytest

from autokd_mm.cli.main import main
from autokd_mm.study.view import VIEW

OLD = Path(__file__).resolve().parents[1] / 'data' / 'version_0_1_0' / 'search'


@pytest.fixture
def view(capsys):

    def run(*args):
        code = main(['view', *map(str, args)])
        found = capsys.readouterr()
        return code, found.out, found.err

    return run


def best(path):
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    study = optuna.load_study(storage=storage, study_name=VIEW)
    return study.best_trial.number, study.best_value


def test_of_version_0_1_0(view, tmp_path):
    """The winner of its final round had not the highest reward before."""
    work = tmp_path / 'old search'
    shutil.copytree(str(OLD), str(work))
    code, out, err = view(work)
    assert code == 0 and not err
    assert out.startswith(f'3 trials as study {VIEW}') and f"'{work}/view.journal'" in out
    assert best(work / 'view.journal') == (2, 0.152962)
    assert view(work)[0] == 0 and best(work / 'view.journal') == (2, 0.152962)
    (work / 'leaderboard.csv').unlink()
    (work / 'view.journal').unlink()
    assert view(work)[0] == 0 and best(work / 'view.journal')[0] == 0


def test_into_another_file(view, tmp_path):
    before = sorted(path.name for path in OLD.iterdir())
    assert view(OLD, '--out', tmp_path / 'mine.journal')[0] == 0
    assert best(tmp_path / 'mine.journal')[0] == 2
    assert sorted(path.name for path in OLD.iterdir()) == before
    code, _, err = view(OLD, '--out', tmp_path / 'nowhere' / 'x')
    assert code == 2 and 'cannot be written' in err and len(err.splitlines()) == 1


def test_a_file_that_is_something_else_is_kept(view, tmp_path):
    for name in ('study.journal', 'leaderboard.csv'):
        path = tmp_path / name
        shutil.copy(str(OLD / name), str(path))
        before = path.read_bytes()
        code, _, err = view(OLD, '--out', path)
        assert code == 2 and err.startswith(f'error: --out: {path} is there already')
        assert path.read_bytes() == before
    (tmp_path / 'begun').touch()  # by one that was killed
    for _ in range(2):
        assert view(OLD, '--out', tmp_path / 'begun')[0] == 0


def test_no_search(view, tmp_path):
    code, _, err = view(tmp_path)
    assert code == 2 and err.startswith('error: work_dir: there is no study.journal')
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(tmp_path / 'study.journal')))
    optuna.create_study(storage=storage, study_name='mine')
    code, _, err = view(tmp_path)
    assert code == 2 and 'holds no study of a search' in err
