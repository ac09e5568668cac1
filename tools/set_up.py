#!/usr/bin/env python3
"""Set up a virtual environment with one of the sets of packages that the tests run on.

    python tools/set_up.py --stack onedl --venv .venv
    python tools/set_up.py --stack onedl --venv .venv --mmcv compiled

No compiler is needed: `mmcv-lite` is all of mmcv but its compiled extension, for which
`autokd_mm.ops` stands in; a compiled mmcv that is there already and loads is kept, and `--mmcv
compiled` installs one (from a wheel that pip finds, else built from its sources). What pip says
goes to setup.log in the environment. An interrupted set-up is started again and goes on.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from glob import glob

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Set -> first and last Python, what pip calls the compiled mmcv (None: it cannot be built against
# this torch), and GB on disk.
STACKS = {
    'onedl': ((3, 10), (3, 12), 'onedl-mmcv', 6),
    'openmmlab': ((3, 8), (3, 11), 'mmcv', 6),
    'latest': ((3, 12), (3, 13), None, 7),
}
# The extension alone: the packages that mmcv imports may come later.
LOAD_OPS = ('import glob, importlib.util as u, torch; '
            'folder = u.find_spec("mmcv").submodule_search_locations[0]; '
            'u.module_from_spec(u.spec_from_file_location('
            '"_ext", glob.glob(folder + "/_ext*.so")[0]))')
# What pip's own words mean. The first that is found in the log of a step is told.
CAUSES = [
    (r'No space left on device|Errno 28|Disk quota exceeded', 'the disk is full'),
    (r'NewConnectionError|ConnectTimeout|ReadTimeout|Temporary failure in name resolution'
     r'|Max retries exceeded|Connection (?:refused|reset|broken)|SSLError|ProxyError',
     'the package index cannot be reached'),
    (r'error: command .*(?:gcc|g\+\+|c\+\+|nvcc)|No such file or directory: .(?:gcc|g\+\+|c\+\+|cc)'
     r'|Unable to find a compatible compiler|Microsoft Visual C\+\+', 'the compiler failed'),
    (r'No matching distribution found for .*', None),
    (r'ResolutionImpossible', 'the pins contradict each other'),
    (r'MemoryError|Killed|signal 9', 'the memory was not enough'),
]


class Failed(Exception):
    """A step that failed, in one line."""


class SetUp:
    """The steps to an environment, each of which may be done already.

    Args:
        stack: name of the set.
        venv: folder of the environment.
        mmcv: ``'lite'`` or ``'compiled'``.
        torch_index: address of an index for torch alone, such as one of builds without CUDA.
    """

    def __init__(self, stack, venv, mmcv='lite', torch_index=None):
        if mmcv == 'compiled' and STACKS[stack][2] is None:
            able = [name for name, known in STACKS.items() if known[2]]
            raise Failed(f'STACK={stack} has no compiled mmcv for its torch, '
                         f'{" and ".join(able)} have')
        self.stack, self.venv, self.mmcv, self.torch_index = stack, venv, mmcv, torch_index
        self.first, self.last, self.compiled, self.gigabytes = STACKS[stack]
        self.python = os.path.join(venv, 'bin', 'python')
        self.log = os.path.join(venv, 'setup.log')
        self.pins = os.path.join('requirements', 'stacks', f'{stack}.txt')

    def run(self):
        self.make_venv()
        self.sweep()
        self.say(f'{self.venv}: {self.stack} on Python {_version_of(self.python)}, about '
                 f'{self.gigabytes} GB; details in {self.log}')
        index = ['--index-url', self.torch_index] if self.torch_index else []
        self.pip('torch', *index, 'torch', 'torchvision')
        self.install_mmcv()
        self.pip('the other packages', '-r', 'requirements/runtime.txt', '-r',
                 'requirements/train.txt', '-r', 'requirements/tests.txt', '-r', self.pins)
        self.pip('autokd_mm', '--no-deps', '--no-build-isolation', '-e', '.')
        self.look()

    def look(self):
        """What the doctor finds wrong, such as packages that overwrite each other."""
        found = subprocess.run([self.python, '-m', 'autokd_mm.cli.main', 'doctor'],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for line in found.stdout.splitlines() if found.returncode else ():
            if line.strip().startswith(('wrong:', 'mend it with:')):
                self.say(line)

    def make_venv(self):
        """One with pip in it is kept."""
        made_by = self.python if _runs(self.python, '-m', 'pip', '--version') else sys.executable
        version = _version_of(made_by)
        if not self.first <= tuple(map(int, version.split('.')[:2])) <= self.last:
            first, last = ('.'.join(map(str, limit)) for limit in (self.first, self.last))
            raise Failed(f'STACK={self.stack} needs Python {first} to {last}, {made_by} is '
                         f'{version}: try make PYTHON=python{last}')
        if made_by != self.python:
            shutil.rmtree(self.venv, ignore_errors=True)
            self.step('environment', sys.executable, '-m', 'venv', self.venv)

    def sweep(self):
        """A package without INSTALLER, which pip writes after the package's own files, is half
        installed."""
        for folder in glob(os.path.join(self.venv, 'lib', 'python*', 'site-packages',
                                        '*.dist-info')):
            if not os.path.exists(os.path.join(folder, 'INSTALLER')):
                shutil.rmtree(folder)

    def install_mmcv(self):
        if _runs(self.python, '-c', LOAD_OPS):
            self.say('mmcv: the compiled one that is there loads')
            return
        lite = os.path.join('requirements', 'stacks', f'{self.stack}.mmcv-lite.txt')
        if self.mmcv == 'lite':
            self.uninstall(*{known[2] for known in STACKS.values()} - {None})
            # alone: it asks for mmengine, whose files would overwrite those of onedl-mmengine
            self.pip('mmcv-lite', '--no-deps', '-r', lite)
            return
        self.uninstall('mmcv-lite')
        build = os.path.join('requirements', 'stacks', f'{self.stack}.mmcv-compiled.txt')
        # not -r: that would build mmcv, too, in isolation from the torch it is for
        self.pip("what mmcv's build needs", '-c', build, 'setuptools', 'wheel', 'ninja')
        # As pip finds it (a wheel offered in PIP_FIND_LINKS wins over the sources of the same
        # version), then afresh, then from its sources: pip cannot see which torch a wheel was
        # built for. --no-cache-dir because its cache of built wheels knows nothing of torch.
        for how in ([], ['--force-reinstall', '--no-deps'],
                    ['--force-reinstall', '--no-deps', '--no-binary', self.compiled]):
            self.pip(f'{self.compiled} (11 to 20 minutes where it is built)', '--no-cache-dir',
                     '--no-build-isolation', '-c', build, *how, self.compiled)
            if _runs(self.python, '-c', LOAD_OPS):
                return
            self.say('  its operations do not load with this torch')
        raise Failed(f'{self.compiled} was built, but its operations do not load: see {self.log}; '
                     'without --mmcv compiled it is not needed')

    def uninstall(self, *packages):
        for package in packages:
            if glob(os.path.join(self.venv, 'lib', 'python*', 'site-packages',
                                 package.replace('-', '_') + '-*.dist-info')):
                self.step(f'{package} goes', self.python, '-m', 'pip', 'uninstall', '--yes',
                          package)

    def pip(self, what, *arguments):
        self.step(what, self.python, '-m', 'pip', '--disable-pip-version-check', 'install', '-c',
                  self.pins, *arguments)

    def step(self, what, *command):
        """One line, its seconds, and all that ``command`` says in the log; on a terminal the line
        shows what it says just now."""
        head = f'  {what} ...'
        print(head, end='', flush=True)
        start = time.monotonic()
        environment = dict(os.environ, MMCV_WITH_OPS='1')
        found = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, text=True, errors='replace')
        said = []
        for line in found.stdout:
            said.append(line)
            if sys.stdout.isatty():
                print(f'\r\033[K{head} {line.strip()[:70 - len(head)]}', end='', flush=True)
            if os.path.isdir(self.venv):
                with open(self.log, 'a') as log:
                    log.write(line)
        if sys.stdout.isatty():
            print(f'\r\033[K{head}', end='')
        seconds = time.monotonic() - start
        print(f' {seconds:.0f} s' if not found.wait() else ' failed', flush=True)
        if found.returncode:
            raise Failed(f'{what}: {cause("".join(said))}; all of it is in {self.log}, and the '
                         'same command goes on from here')

    @staticmethod
    def say(line):
        print(line, flush=True)


def cause(said):
    """Why pip failed, from what it said."""
    for pattern, meaning in CAUSES:
        found = re.search(pattern, said)
        if found:
            return meaning or found.group(0).strip()
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith('error')]
    return (errors or lines or ['no word'])[-1]


def _runs(*command):
    try:
        return subprocess.run(command, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def _version_of(python):
    found = subprocess.run([python, '-c', 'import platform; print(platform.python_version())'],
                           stdout=subprocess.PIPE, text=True)
    return found.stdout.strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--stack', choices=list(STACKS), default='onedl')
    parser.add_argument('--venv', default='.venv', help='folder of the environment')
    parser.add_argument('--mmcv', choices=['lite', 'compiled'], default='lite')
    parser.add_argument('--torch-index', metavar='URL', help='index for torch alone')
    args = parser.parse_args()
    args.venv = os.path.relpath(args.venv, ROOT)
    os.chdir(ROOT)
    try:
        SetUp(args.stack, args.venv, args.mmcv, args.torch_index).run()
    except (Failed, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\ninterrupted; the same command goes on from here', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
