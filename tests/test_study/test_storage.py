"""Where a study is kept, and that nobody sees the password."""
import os
import pickle
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import optuna
import pytest
from mmengine.config import Config

from autokd_mm.errors import ConfigError, StudyError
from autokd_mm.search import MCTSSampler
from autokd_mm.study import storage as module
from autokd_mm.study import study as studies
from autokd_mm.study.ranking import spec_of
from autokd_mm.study.storage import (check_storage, final_name, hide_password, is_final,
                                     open_storage, open_to_look, study_name)

URL = 'postgresql://ann:s3cr%2Ft%20x@nowhere.invalid:5/db?sslmode=require'
SAFE = 'postgresql://ann@nowhere.invalid:5/db?sslmode=require'
SECRETS = ('s3cr/t x', 's3cr%2Ft', 's3cr')


@pytest.fixture(autouse=True)
def driver(monkeypatch):
    """As if psycopg2 were installed; nothing here connects."""
    monkeypatch.setattr(module, 'find_spec', lambda name: name == 'psycopg2' or None)
    monkeypatch.setattr(module, '_secrets', {})


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text(f'storage = {URL!r}\nnested = [dict(a=({URL!r}, 1)), 2]\n'
                    "other = 'postgresql://bob:s3cr%2Ft%20x@else/db'\n"
                    'train_cfg = dict(type="SearchLoop", storage=storage)\n')
    return Config.fromfile(str(path))


def test_password_is_nowhere_in_the_config(config, tmp_path):
    hide_password(config)
    assert config.train_cfg.storage == SAFE == check_storage(config.train_cfg.storage)
    config.dump(str(tmp_path / 'dumped.py'))
    for text in (config.pretty_text, config.text, repr(config), str(config.to_dict()),
                 (tmp_path / 'dumped.py').read_text()):
        assert not [secret for secret in SECRETS if secret in text]
    assert config.nested[0].a == (SAFE, 1) and config.nested[1] == 2
    assert module._secrets[SAFE] == dict(password='s3cr/t x')


def test_password_in_the_query(tmp_path):
    config = Config(dict(train_cfg=dict(storage='postgresql://h/db?user=a&password=s3cr&x=1')))
    hide_password(config)
    assert config.train_cfg.storage == 'postgresql://h/db?user=a&x=1'


def test_nothing_to_hide():
    for storage in (None, 'postgresql://ann@h/db'):
        config = Config(dict(train_cfg=dict(storage=storage), a=1))
        hide_password(config)
        assert config.train_cfg.storage == storage and check_storage(storage) == storage


def test_a_password_that_would_be_written_down_is_refused():
    with pytest.raises(ConfigError, match='PGPASSWORD or ~/.pgpass') as refused:
        check_storage(URL)
    assert 's3cr' not in str(refused.value)


@pytest.mark.parametrize('storage', ['sqlite:///s3cr.db', 'mysql://a:s3cr@h/db', 's3cr', 7,
                                     'postgres://a:s3cr@h/db', 'postgresql://a:s3cr@h:port/db'])
def test_other_storages_are_refused_without_a_word_of_them(storage):
    for function in (check_storage, lambda value: hide_password(
            Config(dict(train_cfg=dict(storage=value))))):
        with pytest.raises(ConfigError, match='postgresql://user@host') as refused:
            function(storage)
        assert 's3cr' not in str(refused.value)


def test_missing_driver_is_named(monkeypatch):
    monkeypatch.setattr(module, 'find_spec', lambda name: None)
    with pytest.raises(ConfigError, match='pip install psycopg2-binary'):
        check_storage(SAFE)


def test_unreachable_database_is_one_line_without_the_password(monkeypatch, tmp_path, config):
    asked = []

    def refuse(url, engine_kwargs):
        from sqlalchemy.exc import OperationalError
        asked.append(url)
        cause = OperationalError('select', {}, Exception(f'no route for {url} (s3cr/t x)\nmore'))
        raise optuna.exceptions.StorageInternalError('during the commit') from cause

    monkeypatch.setattr(optuna.storages, 'RDBStorage', refuse)
    hide_password(config)
    with pytest.raises(StudyError, match='cannot be used: no route') as refused:
        open_storage(str(tmp_path), config.train_cfg.storage)
    assert asked[0].startswith('postgresql+psycopg2://ann:s3cr%2Ft')
    assert not [secret for secret in SECRETS if secret in str(refused.value)]
    assert '\n' not in str(refused.value) and refused.value.__cause__ is None


def test_name_of_the_study(tmp_path):
    assert study_name(str(tmp_path), None) == 'autokd_mm'
    assert study_name(str(tmp_path / 'digits') + os.sep, SAFE) == 'autokd_mm/digits'


# -- the other lines about security ------------------------------------------------------------
def test_no_pickle_is_loaded_from_a_study(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError('a pickle was loaded')

    studies.open_study(str(tmp_path), MCTSSampler(seed=0), dict(a=1)).optimize(
        lambda trial: trial.suggest_categorical('x', (1, 2)), n_trials=3)
    for name in ('load', 'loads', 'Unpickler'):
        monkeypatch.setattr(pickle, name, refuse)
    study = studies.open_study(str(tmp_path), MCTSSampler(seed=0), dict(a=1))
    assert len(study.trials) == 3 and not hasattr(study._storage.backend._backend, 'load_snapshot')


@pytest.mark.parametrize('umask, others', [(0o077, 0), (0o022, 0o044)])
def test_files_have_the_users_umask(tmp_path, umask, others):
    before = os.umask(umask)
    try:
        studies.open_study(str(tmp_path), MCTSSampler(seed=0), dict(a=1)).ask()
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {others}


def test_names_of_a_study_are_never_evaluated(tmp_path):
    """A spec that somebody has put into the storage is refused as what it is: no such option."""
    path, evil = tmp_path / 'was here', '__import__("pathlib").Path({!r}).touch()'
    study = studies.open_study(str(tmp_path), MCTSSampler(seed=0), dict(a=1))
    for spec in (dict(transform=evil.format(str(path))), {evil.format(str(path)): 1}):
        study.add_trial(optuna.trial.create_trial(value=1.0, user_attrs=dict(spec=spec)))
        with pytest.raises((ConfigError, TypeError)):
            spec_of(study.trials[-1]).in_words()
    assert not path.exists()


# -- a real server -----------------------------------------------------------------------------
@pytest.fixture(scope='module')
def server():
    tools = Path(__file__).resolve().parents[2] / 'tools' / 'benchmarks' / 'parts' / 'postgres.py'
    spec = spec_from_file_location('postgres_for_tests', str(tools))
    postgres = module_from_spec(spec)
    spec.loader.exec_module(postgres)
    if postgres.missing():
        pytest.skip(postgres.missing())
    with postgres.Postgres() as running:
        yield running


@pytest.mark.timeout(120)
def test_a_search_in_a_database(server, tmp_path, monkeypatch, caplog, capfd):
    monkeypatch.undo()
    config = Config(dict(train_cfg=dict(storage=server.url)))
    hide_password(config)
    url, folder = config.train_cfg.storage, str(tmp_path)
    studies.check_study(folder, False, storage=url)
    with pytest.raises(StudyError, match='--resume: there is no study autokd_mm/'):
        studies.check_study(folder, True, storage=url)
    study = studies.open_study(folder, MCTSSampler(seed=0), dict(a=1), storage=url)
    study.optimize(lambda trial: trial.suggest_categorical('x', (1, 2)), n_trials=2)
    again = studies.open_study(folder, MCTSSampler(seed=0), dict(a=1), storage=url)
    assert [trial.value for trial in again.trials] == [trial.value for trial in study.trials]
    with pytest.raises(StudyError, match='2 trials of a search'):
        studies.check_study(folder, False, storage=url)
    with pytest.raises(StudyError, match='study of another search'):
        studies.check_study(folder, True, False, dict(a=2), url)
    wrong = url.replace('autokd@', 'autokd:wrong@')
    config = Config(dict(train_cfg=dict(storage=wrong)))
    hide_password(config)
    with pytest.raises(StudyError, match='password authentication failed') as refused:
        open_storage(folder, config.train_cfg.storage)
    assert 'wrong' not in str(refused.value)
    out = ''.join(capfd.readouterr()) + caplog.text
    files = [path.read_text(errors='replace') for path in tmp_path.rglob('*') if path.is_file()]
    assert sys.modules['autokd_mm'] and not [t for t in [out, *files] if 'p@ss' in t or 'p%40' in t]


def test_who_looks_on_has_the_password_too(config, monkeypatch):
    """`--remember` reads the study behind a search of hours."""
    hide_password(config)
    urls = []
    monkeypatch.setattr(optuna.storages, 'RDBStorage', lambda url, **more: urls.append(url))
    open_to_look('work', config.train_cfg.storage)
    assert urls == [URL.replace('postgresql', 'postgresql+psycopg2').replace('%20', ' ')]


def test_no_other_search_has_the_study_of_a_final_round():
    """A search in the folder `coco_final` has the name that final rounds of `coco` once had."""
    storage = optuna.storages.InMemoryStorage()
    mine = study_name('coco', SAFE)
    optuna.create_study(storage=storage, study_name=study_name('coco_final', SAFE),
                        direction='maximize')
    assert final_name(mine, storage.get_all_studies()) == 'autokd_mm/coco/final'
    older = optuna.storages.InMemoryStorage()
    optuna.create_study(storage=older, study_name='autokd_mm/coco_final', direction='minimize')
    assert final_name(mine, older.get_all_studies()) == 'autokd_mm/coco_final'
    assert final_name(study_name('coco', None), []) == 'autokd_mm_final'
    assert all(map(is_final, ('autokd_mm/coco/final', 'autokd_mm_final')))
