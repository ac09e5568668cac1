"""``autokd report`` as a person and as a script see it."""
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from studies_of_searches import make_search

from autokd_mm.cli.main import main

pytest.importorskip('jinja2')
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def search(tmp_path_factory):
    folder = tmp_path_factory.mktemp('search')
    make_search(folder, 10)
    return folder


def test_it_is_light_and_changes_nothing_else(search):
    before = {path.name: path.read_bytes() for path in search.iterdir()}
    done = subprocess.run(
        [sys.executable, '-c', 'import sys\nfrom autokd_mm.cli.main import main\n'
         'code = main(["report", sys.argv[1]])\n'
         'assert not {"torch", "mmengine", "scipy", "pandas"} & set(sys.modules)\n'
         'sys.exit(code)', str(search)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == str(search / 'report.html')
    after = {path.name: path.read_bytes() for path in search.iterdir()}
    assert after.pop('report.html').startswith(b'<!doctype html>')
    assert after == before


def test_the_tool(search, tmp_path):
    out = tmp_path / 'page.html'
    done = subprocess.run([sys.executable, str(ROOT / 'tools' / 'report.py'), str(search), '--out',
                           str(out)], capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0 and out.is_file(), done.stderr


def test_mistakes_are_one_line(search, tmp_path, capsys):

    def line(*args):
        assert main(['report', *map(str, args)]) == 2
        error = capsys.readouterr().err
        assert error.startswith('error: ') and len(error.splitlines()) == 1
        return error

    assert 'there is no study.journal' in line(tmp_path)
    (tmp_path / 'study.journal').write_bytes(b'not a journal\nat all\n')
    assert 'is damaged' in line(tmp_path)
    assert 'cannot be written' in line(search, '--out', tmp_path / 'nowhere' / 'x.html')
    assert 'is not a page' in line(search, '--out', tmp_path / 'study.journal')
    assert (tmp_path / 'study.journal').read_bytes() == b'not a journal\nat all\n'
    other = tmp_path / 'other'
    other.mkdir()

    def create(name, **how):
        optuna.create_study(storage=optuna.storages.JournalStorage(
            optuna.storages.journal.JournalFileBackend(str(other / 'study.journal'))),
            study_name=name, **how)

    create('autokd_mm', directions=['minimize', 'maximize'])
    assert 'is not one of a search' in line(other)
    (other / 'study.journal').unlink()
    create('hyperparameters')
    assert 'is not one of a search (hyperparameters)' in line(other)


def test_while_a_line_is_being_written(search, tmp_path, capsys):
    content = (search / 'study.journal').read_bytes()
    (tmp_path / 'study.journal').write_bytes(content + b'{"op_code": 4, "wor')
    assert main(['report', str(tmp_path)]) == 0
    (tmp_path / 'study.journal').write_bytes(b'')
    assert main(['report', str(tmp_path)]) == 0
    assert 'Nothing yet' in (tmp_path / 'report.html').read_text(encoding='utf-8')


def test_whoever_reads_may_stop(search, monkeypatch):
    import autokd_mm.cli.report as report

    def printed(*_):
        raise BrokenPipeError
    monkeypatch.setattr(report, 'print', printed, raising=False)
    with pytest.raises(BrokenPipeError):  # which `main` knows
        report.write([str(search)])
