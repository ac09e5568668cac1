"""Configs are found by file or by name, whatever folder the program runs in."""
from pathlib import Path

import pytest

from autokd_mm.cli import shipped
from autokd_mm.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of its own with three configs."""
    for name in ('search/a', 'search/both', 'distill/both', '_base_/part'):
        path = tmp_path / 'site' / 'p' / '.mim' / 'configs' / f'{name}.py'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('')
    monkeypatch.setattr(shipped, '_PACKAGE', tmp_path / 'site' / 'p')
    return tmp_path / 'site'


def test_every_config_has_a_name(elsewhere):
    files = {path.resolve() for part in ('search', 'distill', 'vanilla')
             for path in (ROOT / 'configs' / part).glob('*.py')}
    assert {path.resolve() for path in shipped.configs().values()} == files
    for name in shipped.configs():
        path = ROOT / 'configs' / f'{name}.py'
        assert Path(shipped.config_file(name)).resolve() == path
        assert Path(shipped.config_file(path.stem)).resolve() == path  # no stem twice


def test_a_file_comes_first(elsewhere):
    (elsewhere / 'digits').mkdir()  # a folder is no config
    assert shipped.config_file('digits').endswith('search/digits.py')
    (elsewhere / 'kd').write_text('')
    (elsewhere / 'own.py').write_text('')
    assert shipped.config_file('kd') == 'kd' and shipped.config_file('own.py') == 'own.py'


@pytest.mark.parametrize('word, words', [
    ('digts', "'digts' is no file and no config of the package, nearest: search/digits; all"),
    ('serach/digits', 'nearest: search/digits'),
    ('retinanet_r101_r5', 'search/retinanet_r101_r50'),
    ('zzzz', "'zzzz' is no file and no config of the package; all names: autokd configs"),
    ('nowhere.py', 'there is no file nowhere.py'), ('a/b.json', 'there is no file a/b.json'),
    ('configs/search/digits.py', 'digits.py; the package\'s own is called search/digits')])
def test_names_that_are_none(elsewhere, word, words):
    with pytest.raises(ConfigError, match='^CONFIG: ') as error:
        shipped.config_file(word)
    assert words in str(error.value) and '\n' not in str(error.value)


def test_two_folders_with_one_stem(package):
    (package / 'p' / '.mim' / 'tools').mkdir()
    (package / 'p' / '.mim' / 'tools' / '_cli.py').write_text('')
    assert list(shipped.configs()) == ['search/a', 'search/both', 'distill/both']
    with pytest.raises(ConfigError, match="'both' is in two folders, say which: search/both or "
                                          'distill/both'):
        shipped.config_file('both')
    assert shipped.config_file('distill/both').endswith('distill/both.py')
    with pytest.raises(ConfigError, match='called search/both or distill/both'):
        shipped.config_file('both.py')


def test_where_tools_are(package):
    with pytest.raises(ConfigError, match='the tools are not installed'):
        shipped.root()
    (package / 'tools').mkdir()  # somebody else's, in site-packages
    with pytest.raises(ConfigError, match='the tools are not installed'):
        shipped.root()
    (package / 'tools' / '_cli.py').write_text('')
    assert shipped.root() == package  # a checkout that is not installed
    (package / 'p' / '.mim' / 'tools').mkdir()
    (package / 'p' / '.mim' / 'tools' / '_cli.py').write_text('')
    assert shipped.root() == package / 'p' / '.mim'
