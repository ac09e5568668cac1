"""``autokd doctor`` on this installation, on a bare one and on broken ones."""
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from autokd_mm import compat, installed, ops
from autokd_mm.cli import doctor, imports, machine
from autokd_mm.errors import AutoKDWarning
from autokd_mm.ops.stand_in import StandIn

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def examined(capsys, monkeypatch):
    """Exit code and lines; ``without``: distributions that are not there, ``more``: versions of
    others that are."""

    def run(without=(), **more):
        found = {name: one for name, one in installed.distributions_by_name().items()
                 if name not in without}
        for name, version in more.items():
            found[name.replace('_', '-')] = SimpleNamespace(
                version=version, locate_file=found['torch'].locate_file, read_text=lambda name: '')
        monkeypatch.setattr(doctor, 'distributions_by_name', lambda *names: found)
        code = doctor.examine()
        out, err = capsys.readouterr()
        assert err == '' and len(out.splitlines()) <= 40
        return code, out.splitlines()

    return run


def test_this_installation_is_well(examined):
    code, lines = examined()
    assert code == 0 and lines[-1] == 'nothing is wrong'
    assert lines[0].startswith('autokd_mm ') and 'Python 3.' in lines[0]
    packages = [line.split()[0] for line in lines[1:9]]
    assert packages == ['torch', 'torchvision', 'mmengine', 'mmcv', 'mmrazor', 'mmpretrain',
                        'mmdet', 'mmseg']
    assert not [line for line in lines[1:9] if 'missing' in line]
    assert any(line.startswith('mmcv operations: ') for line in lines)
    assert any('GiB are free' in line for line in lines)
    folders = {str(ROOT), sys.prefix, os.path.expanduser('~')}
    assert not [line for line in lines if any(folder in line for folder in folders)]


def test_without_any_package(tmp_path):
    """Not even NumPy: ``-S`` leaves site-packages out."""
    code = f'import sys; sys.path.insert(0, {str(ROOT)!r})\n' + (
        'from autokd_mm.cli.main import main\ncode = main(["doctor"])\n'
        'assert not {"torch", "numpy", "mmengine"} & set(sys.modules)\nsys.exit(code)')
    done = subprocess.run([sys.executable, '-S', '-c', code], capture_output=True, text=True,
                          cwd=str(tmp_path), timeout=60,
                          env={name: value for name, value in os.environ.items()
                               if name != 'PYTHONPATH'})
    assert done.returncode == 0 and done.stderr == '', done.stderr
    assert "the search alone is set up; what a training needs comes with pip install " \
           "'autokd_mm[onedl]'" in done.stdout
    assert done.stdout.endswith('nothing is wrong\n')


def test_two_in_one_folder(examined):
    code, lines = examined(without=['mmcv', 'onedl-mmcv'], mmcv='2.1.0', mmcv_lite='2.1.0')
    assert code == 1 and 'nothing is wrong' not in lines
    at = lines.index('wrong: mmcv and mmcv-lite are installed into one folder')
    assert lines[at + 1] == ('  mend it with: pip uninstall -y mmcv-lite; pip install '
                             '--force-reinstall --no-deps mmcv==2.1.0')
    assert '  mmcv         2.1.0 (mmcv), 2.1.0 (mmcv-lite)' in lines


def test_a_training_lacks_something(examined):
    code, lines = examined(without=['rich', 'scipy'])
    assert code == 1 and 'wrong: a training needs scipy, rich' in lines
    assert "  mend it with: pip install 'autokd_mm[train]'" in lines


def test_a_package_that_cannot_be_imported(examined, monkeypatch):
    def require(name):
        if name == 'mmcv':
            raise ImportError('autokd_mm cannot use mmcv (OSError: /home/me/env/x.so: bad); '
                              'install it with: pip install mmcv-lite')
        return sys.modules[name]
    monkeypatch.setattr(compat, 'require', require)
    code, lines = examined()
    assert code == 1
    at = lines.index('wrong: autokd_mm cannot use mmcv (OSError: .../x.so: bad)')
    assert lines[at + 1] == '  mend it with: pip install mmcv-lite'
    assert 'mmcv operations: not looked at, see below' in lines
    assert len([line for line in lines if line.startswith('wrong: ')]) == 1


def test_our_own_part_cannot_be_imported(examined, monkeypatch):
    monkeypatch.setitem(sys.modules, 'autokd_mm.engine', None)
    code, lines = examined()
    assert code == 1 and [line for line in lines if line.startswith('wrong: ')] == [
        'wrong: import of autokd_mm.engine halted; None in sys.modules']


def test_a_nearly_full_folder(examined, monkeypatch):
    monkeypatch.setattr(machine, 'free_disk', lambda: 0.5)
    code, lines = examined()
    assert code == 1 and 'wrong: this folder is nearly full' in lines


def test_a_warning_of_ours_is_told(examined, monkeypatch):
    import warnings
    monkeypatch.setattr(compat, 'prepare', lambda: warnings.warn(
        'the compiled operations of mmcv 2.1.0 do not load', AutoKDWarning, stacklevel=1))
    code, lines = examined()
    assert code == 1
    at = lines.index('wrong: the compiled operations of mmcv 2.1.0 do not load')
    assert re.match('  mend it with: pip uninstall -y [a-z-]*mmcv[a-z-]*; pip install --no-deps '
                    "'?mmcv-lite", lines[at + 1])


def test_who_has_the_operations(monkeypatch):
    compiled = ModuleType('mmcv._ext')
    compiled.__file__, compiled.nms, compiled.roi_align = '_ext.so', len, len
    monkeypatch.setitem(sys.modules, 'mmcv._ext', compiled)
    found, problems = dict(mmcv=None, mmdet=None), []
    assert imports._operations(found, problems) == ['mmcv operations: 2 compiled, none stood in']

    monkeypatch.setattr(ops, 'OPERATIONS',
                        {'nms': 'nms', 'nms_match': 'nms', 'roi_align_forward': 'roi_align'})
    monkeypatch.setitem(sys.modules, 'mmcv._ext', StandIn('mmcv'))
    assert imports._operations(found, problems) == [
        'mmcv operations: none compiled, stood in (autokd_mm.ops): nms roi_align']
    assert problems == []

    monkeypatch.setitem(sys.modules, 'mmcv._ext', None)
    assert imports._operations(found, problems) == ['mmcv operations: none']
    assert problems[0].what.startswith('mmcv has no operations (ModuleNotFoundError')
    assert problems[0].mend == "pip uninstall -y mmcv; pip install --no-deps 'mmcv-lite<2.2'"


def test_no_folder_of_the_user_is_told():
    home = os.path.expanduser('~')
    assert doctor._without_folders(f'x {home}/a/b.so: y') == 'x .../a/b.so: y'
    assert doctor._without_folders('in /srv/people/me/env/lib/_ext.so') == 'in .../_ext.so'
    for line in ('CPU/GPU a/b', "pip install 'autokd_mm[onedl]'", '2 of 2 cores'):
        assert doctor._without_folders(line) == line
