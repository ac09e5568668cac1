#!/usr/bin/env python3
"""Compare the operations of `autokd_mm.ops` with those of a compiled mmcv, where pip finds a wheel.

    python tools/parity.py --stack onedl

The wheel goes into an environment of its own (.venv-parity-STACK) that sees the packages of the one
that runs this, and the tests of `tests/test_ops` run there.
"""
import argparse
import os
import subprocess
import sys
import sysconfig
import venv

from set_up import LOAD_OPS, ROOT, STACKS


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--stack', choices=list(STACKS), default='onedl')
    args, rest = parser.parse_known_args()
    os.chdir(ROOT)
    package, folder = STACKS[args.stack][2], f'.venv-parity-{args.stack}'
    if package is None:
        print(f'STACK={args.stack}: no compiled mmcv can be built for its torch, nothing to '
              'compare')
        return 0
    python = os.path.join(folder, 'bin', 'python')
    if not os.path.exists(python):
        venv.create(folder, with_pip=False)
    version = 'python%d.%d' % sys.version_info[:2]
    packages = os.path.join(folder, 'lib', version, 'site-packages')
    with open(os.path.join(packages, 'behind.pth'), 'w') as file:
        file.write(f'import site; site.addsitedir({sysconfig.get_path("purelib")!r})\n')
    pip = [sys.executable, '-m', 'pip', '--disable-pip-version-check', 'install', '--quiet']
    found = subprocess.run([*pip, '--target', packages, '--upgrade', '--no-deps', '--only-binary',
                            ':all:', '-c', f'requirements/stacks/{args.stack}.mmcv-compiled.txt',
                            package], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if found.returncode:
        print(f'pip finds no wheel of {package} for this Python, nothing to compare; offer one in '
              f'PIP_FIND_LINKS ({found.stdout.strip().splitlines()[-1]})')
        return 0
    if subprocess.run([python, '-c', LOAD_OPS], stderr=subprocess.DEVNULL).returncode:
        print(f'the wheel of {package} that pip finds was built for another torch, nothing to '
              'compare')
        return 0
    return subprocess.run([python, '-m', 'pytest', 'tests/test_ops', '-q', *rest]).returncode


if __name__ == '__main__':
    sys.exit(main())
