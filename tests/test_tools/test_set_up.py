"""Setting up an environment: what is told of it, step by step. That the packages work together is
seen by whoever runs the tests."""
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STACKS = ROOT / 'requirements' / 'stacks'
sys.path.insert(0, str(ROOT / 'tools'))

import set_up  # noqa: E402


@pytest.fixture
def environment(tmp_path):
    """An environment whose interpreter is a shell script that the test writes."""
    bin_folder = tmp_path / 'env' / 'bin'
    bin_folder.mkdir(parents=True)

    def make(script, stack='onedl', version='3.11.2', **options):
        python = bin_folder / 'python'
        python.write_text('#!/bin/sh\n'
                          f'case "$*" in *python_version*) echo {version}; exit;; esac\n'
                          f'case "$*" in *"pip --version") exit;; esac\n' + script)
        python.chmod(0o755)
        return set_up.SetUp(stack, str(tmp_path / 'env'), **options)

    return make


@pytest.mark.parametrize('stack', set_up.STACKS)
def test_a_set_has_pins_of_torch_and_no_mmcv_in_them(stack):
    pins = (STACKS / f'{stack}.txt').read_text()
    assert re.search(r'^torch==', pins, re.M) and re.search(r'^torchvision==', pins, re.M)
    assert not re.search(r'^(mmcv|onedl-mmcv|mmcv-lite|ninja)==', pins, re.M)
    assert re.search(r'^mmcv-lite==', (STACKS / f'{stack}.mmcv-lite.txt').read_text(), re.M)
    compiled = set_up.STACKS[stack][2]
    assert (STACKS / f'{stack}.mmcv-compiled.txt').exists() == (compiled is not None)
    if compiled:
        build = (STACKS / f'{stack}.mmcv-compiled.txt').read_text()
        assert re.search(rf'^{compiled}==', build, re.M) and 'ninja==' in build


def test_the_steps_in_order_one_line_each(environment, capsys):
    setting = environment('case "$*" in *glob*) exit 1;; *doctor*) exit;; esac\n'
                          'echo "pip: $*" | tee -a "$0.said"\n')
    setting.run()
    lines = capsys.readouterr().out.splitlines()
    assert [re.sub(r' \d+ s$', '', line) for line in lines[1:]] == [
        '  torch ...', '  mmcv-lite ...', '  the other packages ...', '  autokd_mm ...']
    said = Path(setting.python + '.said').read_text()
    assert Path(setting.log).read_text() == said
    assert '--no-deps -r requirements/stacks/onedl.mmcv-lite.txt' in said.splitlines()[1]


def test_a_compiled_mmcv_that_loads_is_kept(environment, capsys):
    setting = environment('echo "pip: $*" >> "$0.said"\n')
    setting.run()
    assert 'mmcv: the compiled one that is there loads' in capsys.readouterr().out
    said = Path(setting.python + '.said').read_text()
    assert 'mmcv-lite' not in said and 'uninstall' not in said


def test_what_the_doctor_finds_wrong_is_told(environment, capsys):
    setting = environment('case "$*" in *doctor*) echo "autokd_mm 1"; echo "wrong: two mmcv"; '
                          'echo "  mend it with: pip uninstall one"; exit 1;; esac\n')
    setting.run()
    assert capsys.readouterr().out.splitlines()[-2:] == ['wrong: two mmcv',
                                                         '  mend it with: pip uninstall one']


def test_one_that_does_not_load_gives_way_to_the_sources_of_the_lite_one(environment, tmp_path):
    info = tmp_path / 'env' / 'lib' / 'python3.11' / 'site-packages' / 'onedl_mmcv-2.dist-info'
    info.mkdir(parents=True)
    (info / 'INSTALLER').write_text('pip')
    setting = environment('case "$*" in *glob*) exit 1;; esac\necho "$*" >> "$0.said"\n')
    setting.install_mmcv()
    first, second = Path(setting.python + '.said').read_text().splitlines()
    assert first.endswith('pip uninstall --yes onedl-mmcv') and 'mmcv-lite' in second


def test_compiled_is_tried_from_a_wheel_before_it_is_built(environment, capsys):
    setting = environment('echo "$*" >> "$0.said"\n'
                          'case "$*" in *glob*) test -e "$0.built"; exit;; '
                          '*no-binary*) touch "$0.built";; esac\n', mmcv='compiled')
    setting.install_mmcv()
    out = capsys.readouterr().out
    needs, *tries = [line for line in Path(setting.python + '.said').read_text().splitlines()
                     if ' install ' in line]
    assert needs.endswith('setuptools wheel ninja') and ' -r ' not in needs
    assert len(tries) == 3 and all('--no-build-isolation' in line for line in tries)
    assert out.count('onedl-mmcv (') == 3 and out.count('do not load with this torch') == 2


def test_what_was_half_installed_is_swept_away(environment, tmp_path):
    packages = tmp_path / 'env' / 'lib' / 'python3.11' / 'site-packages'
    for name in ('whole', 'half'):
        (packages / f'{name}-1.dist-info').mkdir(parents=True)
    (packages / 'whole-1.dist-info' / 'INSTALLER').write_text('pip')
    environment('').sweep()
    assert [path.name for path in packages.iterdir()] == ['whole-1.dist-info']


@pytest.mark.parametrize('said, cause', [
    ('Collecting torch\nERROR: Could not install packages due to an OSError: [Errno 28] No space '
     'left on device', 'the disk is full'),
    ("WARNING: Retrying after NewConnectionError('...')\nERROR: No matching distribution found for "
     'torch', 'the package index cannot be reached'),
    ('ERROR: No matching distribution found for torch==2.11.0\n',
     'No matching distribution found for torch==2.11.0'),
    ("error: command '/usr/bin/g++' failed with exit code 1", 'the compiler failed'),
    ('Collecting\nERROR: something new\nnotice: a new pip', 'ERROR: something new'),
    ('', 'no word'),
])
def test_a_step_that_fails_says_why_and_where_the_rest_is(environment, said, cause, capsys):
    setting = environment(f'cat << "END"\n{said}\nEND\nexit 1\n')
    with pytest.raises(set_up.Failed) as failed:
        setting.pip('torch', 'torch')
    assert str(failed.value) == (f'torch: {cause}; all of it is in {setting.log}, and the same '
                                 'command goes on from here')
    assert capsys.readouterr().out == '  torch ... failed\n'


@pytest.mark.parametrize('stack, version, told', [
    ('onedl', '3.9.18', 'STACK=onedl needs Python 3.10 to 3.12'),
    ('onedl', '3.13.0', 'STACK=onedl needs Python 3.10 to 3.12'),
    ('openmmlab', '3.12.1', 'STACK=openmmlab needs Python 3.8 to 3.11'),
    ('latest', '3.11.7', 'STACK=latest needs Python 3.12 to 3.13'),
])
def test_another_python_is_refused(environment, stack, version, told):
    setting = environment('', stack, version)
    with pytest.raises(set_up.Failed, match=told) as failed:
        setting.make_venv()
    assert f'is {version}: try make PYTHON=python3.' in str(failed.value)


def test_the_newest_torch_has_no_compiled_mmcv():
    with pytest.raises(set_up.Failed, match='STACK=latest has no compiled mmcv for its torch, '
                                            'onedl and openmmlab have'):
        set_up.SetUp('latest', 'venv', 'compiled')
