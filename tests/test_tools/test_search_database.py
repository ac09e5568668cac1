"""tools/search.py with a study in PostgreSQL, and a password that nobody may see."""
import importlib.util
import socket
from pathlib import Path

import optuna
import pytest

POSTGRES = Path(__file__).resolve().parents[2] / 'tools' / 'benchmarks' / 'parts' / 'postgres.py'


@pytest.fixture(scope='module')
def postgres():
    spec = importlib.util.spec_from_file_location('postgres_for_search', str(POSTGRES))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def leaks(folder, *texts):
    """Where the password stands."""
    texts = dict(enumerate(texts))
    texts.update({str(path): path.read_text(errors='replace')
                  for path in folder.rglob('*') if path.is_file()})
    return [name for name, text in texts.items()
            if any(word in text for word in ('p@ss', 'p%40ss', 'w:rd', 'w%3Ard'))]


def test_nobody_sees_the_password_of_a_server_that_is_not_there(search, search_config, tmp_path):
    if not any(map(importlib.util.find_spec, ('psycopg2', 'psycopg'))):
        pytest.skip('psycopg2 is not installed (pip install psycopg2-binary)')
    with socket.socket() as free:  # bound, and nobody listens
        free.bind(('127.0.0.1', 0))
        url = f'postgresql://me:p%40ss%2Fw%3Ard@127.0.0.1:{free.getsockname()[1]}/db'
        search_config.write_text(search_config.read_text() + f'\nkept = {url!r}\n'
                                 'train_cfg.update(storage=kept)\n')
        with pytest.raises(search.Ended) as ended:
            search()
    assert ended.value.code == 2 and 'storage: postgresql://me@127.0.0.1' in ended.value.line
    assert list((tmp_path / 'work').glob('*.py')), 'MMEngine has written the config down'
    assert leaks(tmp_path / 'work', ended.value.err) == []


@pytest.mark.timeout(300)
def test_search_and_resume(tool, search_config, tmp_path, postgres):
    if postgres.missing():
        pytest.skip(postgres.missing())
    folder, said = tmp_path / 'work', []
    with postgres.Postgres() as server:
        for args in (('--trials', 1), ('--trials', 2, '--resume')):
            said.append(tool('search', search_config, '--work-dir', folder, *args, '--cfg-options',
                             f'train_cfg.storage={server.url}', 'train_cfg.final_round=None',
                             'train_cfg.rejection=None'))
        study = optuna.load_study(
            study_name='autokd_mm/work',
            storage=server.url.replace('postgresql:', 'postgresql+psycopg2:'))
        assert len(study.trials) == 2 and 'heartbeat' not in study.user_attrs
    assert not (folder / 'study.journal').exists() and (folder / 'best_distiller.py').exists()
    assert leaks(folder, *said) == []
