"""The command ``autokd``: names, exit codes, and that a tool is run as its script is."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

from autokd_mm.cli import main as command
from autokd_mm.cli import shipped
from autokd_mm.version import __version__

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ['search', 'pair', 'recommend', 'experience', 'train', 'test', 'export', 'visualize',
            'configs', 'status', 'report', 'view', 'doctor']


def ran(capsys, *argv):
    code = command.main(list(argv))
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize('flag', ['--help', '-h'])
def test_help_lists_the_commands(capsys, flag):
    code, out, err = ran(capsys, flag)
    assert code == 0 and err == ''
    assert [line.split()[0] for line in out.splitlines() if line.startswith('  ')] == COMMANDS


def test_no_command_is_a_mistake(capsys):
    code, out, err = ran(capsys)
    assert code == 2 and out == '' and err.startswith('usage: autokd COMMAND')


def test_version(capsys):
    assert ran(capsys, '--version') == (0, f'autokd_mm {__version__}\n', '')


@pytest.mark.parametrize('argv, line', [
    (['serach', 'digits'], "error: COMMAND: 'serach' is unknown, did you mean 'search'? Valid: "
                           + ', '.join(COMMANDS)),
    (['doctor', 'everything'], "error: autokd doctor takes no arguments, not 'everything'")])
def test_mistakes_are_one_line(capsys, argv, line):
    assert ran(capsys, *argv) == (2, '', line + '\n')


def test_configs(capsys):
    code, out, _ = ran(capsys, 'configs')
    assert code == 0 and out.split() == list(shipped.configs())
    assert ran(capsys, 'configs', 'search', 'digits_l') == (0, 'search/digits_layerwise\n', '')
    assert ran(capsys, 'configs', '--help')[1].startswith('usage: autokd configs [WORD]')


def test_every_tool_is_there():
    for script, _ in command._TOOLS.values():
        assert (ROOT / 'tools' / f'{script}.py').is_file()


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Tools that write down how they are run."""
    (tmp_path / 'tools').mkdir()
    (tmp_path / 'tools' / '_cli.py').write_text('def run(main):\n    print("run"), main()\n')
    for name in ('search', 'export_student'):
        (tmp_path / 'tools' / f'{name}.py').write_text(
            f'import sys\nimport _cli\ndef main():\n    print({name!r}, sys.argv)\n')
    monkeypatch.setattr(shipped, 'root', lambda: tmp_path)
    monkeypatch.setattr(sys, 'argv', [])
    monkeypatch.setattr(sys, 'path', list(sys.path))
    for name in ('_cli', 'search', 'export_student'):
        monkeypatch.setitem(sys.modules, name, None)
        del sys.modules[name]


@pytest.mark.parametrize('name, script', [('search', 'search'), ('export', 'export_student')])
def test_a_command_is_the_tool(capsys, tools, name, script):
    code, out, _ = ran(capsys, name, 'digits', '--trials', '2')
    assert code == 0
    assert out == f"run\n{script} ['autokd {name}', 'digits', '--trials', '2']\n"


def test_ctrl_c(capsys, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt
    monkeypatch.setattr(shipped, 'configs', interrupted)
    assert ran(capsys, 'configs') == (130, '', 'interrupted\n')


def test_a_real_tool_from_another_folder(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', [])
    monkeypatch.setattr(sys, 'path', list(sys.path))
    for name in ('_cli', 'train'):
        monkeypatch.setitem(sys.modules, name, None)
        del sys.modules[name]
    with pytest.raises(SystemExit) as ended:
        command.main(['train', 'digits'])
    assert ended.value.code == 2
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith(
        'error: train_cfg.type: digits is a search config')


def test_whoever_reads_may_stop(tmp_path):
    """As in ``autokd configs | head -1``."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, '-m', 'autokd_mm.cli.main', 'configs'], stdout=writer,
                          stderr=subprocess.PIPE, cwd=str(ROOT), timeout=120)
    os.close(writer)
    assert done.returncode == 141 and done.stderr == b''


def test_an_output_that_is_closed_or_knows_ascii_alone(tmp_path):
    def run(how, *args):
        return subprocess.run(
            [sys.executable, '-c', how + '; import sys; from autokd_mm.cli.main import main; '
             'sys.exit(main(sys.argv[1:]))', *args], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, cwd=str(ROOT), timeout=120,
            env=dict(os.environ, PYTHONIOENCODING='ascii', PYTHONUTF8='1'))

    done = run('pass', 'status', str(tmp_path / 'größe'))
    assert done.returncode == 2 and done.stderr.startswith(b'error: work_dir: there is no')
    (tmp_path / 'größe').mkdir()
    (tmp_path / 'größe' / 'study.journal').touch()
    done = run('pass', 'status', str(tmp_path / 'größe'))
    assert done.returncode == 3 and done.stdout.startswith(b'gr\\xf6\\xdfe: preparing')
    done = run('import sys; sys.stdout = None', 'configs')
    assert (done.returncode, done.stderr) == (0, b'')
