"""What a wheel, an sdist and an editable install contain, and what the pins say."""
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from autokd_mm.installed import PROVIDERS

ROOT = Path(__file__).resolve().parents[1]
STACKS = ROOT / 'requirements' / 'stacks'
SETS = ['latest', 'onedl', 'openmmlab']
LEFT_OUT = shutil.ignore_patterns('.venv*', '.git', '.mim', 'work_dirs', 'build', 'dist', 'data',
                                  '*.egg-info', '__pycache__', '.*_cache', '.hypothesis')
VERSION = re.search(r"'(.+)'", (ROOT / 'autokd_mm' / 'version.py').read_text()).group(1)


def run(*args, cwd):
    done = subprocess.run([sys.executable, *args], cwd=str(cwd), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, universal_newlines=True, timeout=300)
    assert done.returncode == 0, done.stdout
    return done.stdout


def files(tree, folder, pattern='*'):
    """Relative posix names of the files below ``tree/folder`` that a package may hold."""
    return {path.relative_to(tree).as_posix() for path in (tree / folder).rglob(pattern)
            if path.is_file() and path.suffix not in ('.pyc', '.pyo')
            and '.mim' not in path.parts}


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    """A copy of the sources, so that building leaves nothing in the working tree."""
    pytest.importorskip('setuptools')
    pytest.importorskip('wheel')
    folder = tmp_path_factory.mktemp('sources') / 'autokd_mm'
    shutil.copytree(str(ROOT), str(folder), ignore=LEFT_OUT)
    return folder


@pytest.fixture(scope='module')
def wheel_names(tree, tmp_path_factory):
    folder = tmp_path_factory.mktemp('wheel')
    run('-m', 'pip', 'wheel', '.', '--no-deps', '--no-build-isolation', '--no-index',
        '--wheel-dir', str(folder), cwd=tree)
    wheel, = folder.iterdir()
    assert wheel.name == f'autokd_mm-{VERSION}-py3-none-any.whl'
    with zipfile.ZipFile(str(wheel)) as archive:
        metadata = archive.read(f'autokd_mm-{VERSION}.dist-info/METADATA').decode()
        return set(archive.namelist()), metadata


@pytest.fixture(scope='module')
def sdist_names(tree):
    run('setup.py', '-q', 'sdist', '--formats=gztar', cwd=tree)
    archive, = (tree / 'dist').glob('*.tar.gz')
    with tarfile.open(str(archive)) as opened:
        return {member.name.split('/', 1)[1] for member in opened.getmembers() if member.isfile()}


def test_version(tree):
    assert run('setup.py', '--version', cwd=tree).splitlines()[-1] == VERSION


def test_wheel_holds_package_and_mim_content(tree, wheel_names):
    names, _ = wheel_names
    assert files(tree, 'autokd_mm', '*.py') <= names
    assert len(files(tree, 'autokd_mm/page/templates')) > 5
    assert files(tree, 'autokd_mm/page/templates') <= names
    assert 'autokd_mm/py.typed' in names  # without it nobody's mypy reads our annotations
    mim = files(tree, 'configs') | files(tree, 'tools')
    mim.add('model-index.yml')
    assert {f'autokd_mm/.mim/{name}' for name in mim} <= names
    stray = {name for name in names if not name.startswith(('autokd_mm/', 'autokd_mm-'))}
    assert not stray
    assert not [name for name in names if name.endswith('.pyc')]
    assert [name for name in names if name.endswith('LICENSE')]


def test_wheel_metadata(wheel_names):
    _, metadata = wheel_names
    assert 'License: Apache-2.0' in metadata or 'License-Expression: Apache-2.0' in metadata
    assert 'Requires-Python: >=3.8' in metadata
    required = [line.split(': ', 1)[1] for line in metadata.splitlines()
                if line.startswith('Requires-Dist') and 'extra' not in line]
    names = {re.match(r'[\w-]+', line).group(0) for line in required}
    assert names == {'numpy', 'optuna'}
    train = {re.match(r'[\w-]+', line.split(': ', 1)[1]).group(0)
             for line in metadata.splitlines() if re.search('extra == .train.', line)}
    assert train == {'joblib', 'rich', 'scikit-learn', 'scipy'}
    extras = {line.split(': ')[1] for line in metadata.splitlines()
              if line.startswith('Provides-Extra')}
    assert extras == {'all', 'docs', 'mim', 'onedl', 'onnx', 'openmmlab', 'optional', 'plots',
                      'postgres', 'tests', 'train', 'viewers'}


def test_wheel_has_the_command(wheel_names):
    names, _ = wheel_names
    assert f'autokd_mm-{VERSION}.dist-info/entry_points.txt' in names


def extras(metadata):
    """Extra -> names of the distributions that pip installs for it."""
    found = {}
    for line in metadata.splitlines():
        extra = re.search(r'extra == .([a-z]+).', line)
        if line.startswith('Requires-Dist') and extra:
            name = re.match(r'[\w-]+', line.split(': ', 1)[1]).group(0)
            found.setdefault(extra.group(1), set()).add(name)
    return found


def test_no_extra_overwrites_itself(wheel_names):
    """Two distributions of one import name would; so would mmcv and what it requires."""
    for extra, names in extras(wheel_names[1]).items():
        if 'mmcv' in names or 'mmcv-lite' in names:
            assert 'onedl-mmengine' not in names, extra  # mmcv requires mmengine
        for rivals in PROVIDERS.values():
            assert len(names & set(rivals)) <= 1, (extra, rivals)


@pytest.mark.parametrize('extra', ['onedl', 'openmmlab'])
def test_an_extra_has_all_that_a_training_needs(wheel_names, extra):
    names = extras(wheel_names[1])
    assert names['train'] | {'torch', 'torchvision', 'mmrazor'} <= names[extra]
    for rivals in PROVIDERS.values():
        assert len(names[extra] & set(rivals)) == 1, rivals


def test_sdist_holds_the_sources_once(tree, sdist_names):
    expected = (files(tree, 'autokd_mm', '*.py') | files(tree, 'autokd_mm/page/templates')).union(
        *(files(tree, folder) for folder in ('configs', 'tools', 'tests', 'requirements')))
    expected |= {'LICENSE', 'Makefile', 'model-index.yml', 'autokd_mm/py.typed', 'pyproject.toml',
                 'requirements.txt', 'setup.py'}
    assert expected <= sdist_names
    assert not [name for name in sdist_names if '.mim' in name or name.endswith('.pyc')]


def test_editable_install_links_mim(tree, tmp_path):
    run('-m', 'pip', 'install', '-e', '.', '--no-deps', '--no-build-isolation', '--no-index',
        '--target', str(tmp_path), cwd=tree)
    mim = tree / 'autokd_mm' / '.mim'
    assert (mim / '.gitignore').read_text() == '*\n'
    if (mim / 'tools').exists():  # a system without links goes without
        assert (mim / 'tools').resolve() == (tree / 'tools').resolve()


@pytest.mark.parametrize('stack', SETS)
def test_pins_are_exact(stack):
    lines = (STACKS / f'{stack}.txt').read_text().splitlines()
    pins = [line.split(';')[0].strip() for line in lines if line and not line.startswith('#')]
    assert all(re.fullmatch(r'[a-z0-9-]+==[\w.]+', pin) for pin in pins)
    names = [pin.split('==')[0] for pin in pins]
    assert len(names) == len(set(names))
    wanted = {'torch', 'torchvision', 'mmrazor', 'setuptools', 'optuna', 'pytest', 'hypothesis',
              'ruff', 'mypy'}
    assert wanted <= set(names)
    assert not [name for name in names if name.startswith(('nvidia', 'cuda', 'triton'))]


@pytest.mark.parametrize('file', ['runtime.txt', 'train.txt', 'tests.txt'])
def test_everything_required_is_pinned(file):
    for stack in SETS:
        pinned = set(re.findall(r'^([a-z0-9-]+)==', (STACKS / f'{stack}.txt').read_text(), re.M))
        lines = (ROOT / 'requirements' / file).read_text().splitlines()
        assert {re.match(r'[\w-]+', line).group(0) for line in lines
                if not line.startswith('#')} <= pinned
