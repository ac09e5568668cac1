#!/usr/bin/env python3
"""Build the wheel, install it outside the checkout, and search, train and export digits with it.

The first environment sees the packages of the one that runs this, but not its autokd_mm; the second
one has NumPy and Optuna alone. Nothing is downloaded.
"""
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOT_BUILT = shutil.ignore_patterns('.*', 'work_dirs', 'build', 'dist', 'data', '*.egg-info',
                                   '__pycache__', 'tests')
# A teacher, two candidates and a final round: the whole way, on few images.
SHORT = ['--trials', '2', '--cfg-options', 'train_cfg.proxy.images=64', 'train_cfg.proxy.epochs=1',
         'train_cfg.proxy.held_out=64', 'train_cfg.full_training.max_epochs=5']
ONE_EPOCH = ['--cfg-options', 'train_cfg.max_epochs=1', 'default_hooks.checkpoint.interval=1']


class Environment:
    """A virtual environment with the wheel in it, and an empty folder to work in."""

    def __init__(self, folder, wheel):
        venv.create(str(folder / 'env'), with_pip=True)
        self.bin = folder / 'env' / ('Scripts' if os.name == 'nt' else 'bin')
        self.work = folder / 'work'
        self.work.mkdir()
        self.run('python', '-m', 'pip', '-q', 'install', '--no-deps', '--no-index', str(wheel))
        self.site = Path(self.run('python', '-c', 'import sysconfig; '
                                  'print(sysconfig.get_path("purelib"))').strip())

    def run(self, program, *args, code=0):
        """What a program of the environment prints; it must end with the exit code ``code``."""
        start = used()
        clean = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
        done = subprocess.run([str(self.bin / program), *args], cwd=str(self.work), env=clean,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != code:
            sys.exit(f'{done.stdout}\n{program} {" ".join(args)}: exit code {done.returncode}, '
                     f'not {code}')
        if program == 'autokd':
            print(f'{used() - start:5.1f} s  autokd {" ".join(args)}', flush=True)
        return done.stdout


def used():
    """CPU seconds of the programs that have ended: they hold nothing of other work here."""
    times = os.times()
    return times.children_user + times.children_system


def build(folder):
    """The wheel, built from a copy: the checkout stays as it is."""
    shutil.copytree(str(ROOT), str(folder / 'autokd_mm'), ignore=NOT_BUILT)
    subprocess.run([sys.executable, '-m', 'pip', '-q', 'wheel', '.', '--no-deps', '--no-index',
                    '--no-build-isolation', '--wheel-dir', str(folder)],
                   cwd=str(folder / 'autokd_mm'), check=True)
    wheel, = folder.glob('*.whl')
    return wheel


def train_with(environment):
    """From the doctor to a student's weights, with the packages of this environment."""
    # A path, not a site folder: the editable install that stands there is not found.
    (environment.site / 'stack.pth').write_text(sysconfig.get_path('purelib') + '\n')
    where = environment.run('python', '-c', 'import autokd_mm; print(autokd_mm.__file__)').strip()
    assert Path(where).resolve().parents[1] == environment.site.resolve(), where
    print(environment.run('autokd', 'doctor'))
    environment.run('autokd', 'search', 'digits', *SHORT)
    best = 'work_dirs/digits/best_distiller.py'
    environment.run('autokd', 'train', best, *ONE_EPOCH)
    checkpoint = 'work_dirs/best_distiller/epoch_1.pth'
    print(re.findall('accuracy/top1: .*', environment.run('autokd', 'test', best, checkpoint))[-1])
    print(environment.run('autokd', 'export', checkpoint, 'student.pth').splitlines()[-1])
    left = sorted(path.name for path in environment.work.iterdir())
    assert left == ['student.pth', 'work_dirs'], left


def search_alone(environment):
    """With what ``pip install autokd_mm`` brings, a space can be searched and no more."""
    for path in files_of('numpy') | files_of('optuna'):
        target = environment.site / path.name
        if not target.exists():
            target.symlink_to(path)
    environment.run('python', '-c', 'import autokd_mm.search, autokd_mm.space')
    print(environment.run('autokd', 'doctor').splitlines()[-2])
    said = environment.run('autokd', 'search', 'digits', code=2)
    assert len(said.splitlines()) == 1 and 'pip install' in said, said
    print(said)


def files_of(name):
    """Folders and modules of a distribution and of all that it requires."""
    seen, found = [name], set()
    for name in seen:
        try:
            one = distribution(name)
        except PackageNotFoundError:  # for another platform
            continue
        site = Path(str(one.locate_file('')))
        found |= {site / path.parts[0] for path in one.files or () if path.parts[0] != '..'}
        needs = [re.match('[A-Za-z0-9._-]+', line).group(0) for line in one.requires or ()
                 if 'extra ==' not in line]
        seen += [other for other in needs if other not in seen]
    return found - {Path(sysconfig.get_path('purelib')) / '__pycache__'}


def main():
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for name in ('wheel', 'full', 'light'):
            (folder / name).mkdir()
        wheel = build(folder / 'wheel')
        print(f'{wheel.name}, {wheel.stat().st_size / 2**20:.1f} MiB')
        train_with(Environment(folder / 'full', wheel))
        search_alone(Environment(folder / 'light', wheel))
    print(f'the wheel installs, searches, trains and exports: {time.perf_counter() - start:.0f} s, '
          f'of which {used():.0f} s CPU')


if __name__ == '__main__':
    main()
