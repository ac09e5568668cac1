"""``autokd doctor``: what is installed, what the machine offers, and what is wrong with either.

Metadata is read first, so it works where nothing but the package is installed; what is there is
then imported as a training would import it.
"""
import os
import re
import sys
from importlib.metadata import Distribution
from typing import Any, Dict, List, Tuple

from autokd_mm.cli import machine
from autokd_mm.cli.imports import BESIDE, FIRST, THEN, Problem, try_all
from autokd_mm.cli.overlaps import harmless, overlaps
from autokd_mm.installed import (INSTALL, PROVIDERS, clashes, distributions_by_name,
                                 for_training)
from autokd_mm.version import __version__

_LINES = (('numpy', 'optuna'), BESIDE, ('timm', ))
_DRIVERS = ('psycopg2', 'psycopg2-binary', 'psycopg')
_LEAST_DISK = 1.0  # GiB


def examine() -> int:
    """Print one screen about this installation.

    Returns:
        The exit code: 1 where something is wrong.
    """
    found = distributions_by_name()
    problems, notes = _of_files(found)
    lines = [f'autokd_mm {__version__}, {machine.python()}', *_packages(found)]
    if for_training(found):
        lines += try_all(found, problems)
    else:
        notes.append(f'the search alone is set up; what a training needs comes with {INSTALL}')
    torch: Any = sys.modules.get('torch')
    lines += [*machine.gpus(torch), machine.threads(torch)]
    free = machine.free_disk()
    lines.append(f'{free:,.1f} GiB are free in this folder')
    if free < _LEAST_DISK:
        problems.append(Problem('this folder is nearly full',
                                'autokd COMMAND --work-dir ELSEWHERE'))
    lines += notes
    for problem in problems:
        lines += [f'wrong: {problem.what}', f'  mend it with: {problem.mend}']
    lines += [] if problems else ['nothing is wrong']
    print('\n'.join(map(_without_folders, lines)))
    return 1 if problems else 0


def _packages(found: Dict[str, Distribution]) -> List[str]:
    """Version and distribution of each import name; the small ones share a line."""
    lines = []
    for name in (*FIRST, 'mmrazor', *THEN):
        there = [one for one in PROVIDERS.get(name, (name, )) if one in found]
        what = ', '.join(found[one].version + (f' ({one})' if there != [name] else '')
                         for one in there)
        lines.append(f'  {name:<12} {what or "missing"}')
    for names in _LINES:
        lines.append('  ' + ', '.join(
            f'{name} {found[name].version if name in found else "missing"}' for name in names))
    driver = next((f'{name} {found[name].version}' for name in _DRIVERS if name in found),
                  "missing (pip install 'autokd_mm[postgres]', for a study on a server)")
    return [*lines, f'  PostgreSQL driver {driver}']


def _of_files(found: Dict[str, Distribution]) -> Tuple[List[Problem], List[str]]:
    """Distributions that have overwritten each other: what harms, and what does not."""
    doubled = clashes(found)
    problems = [Problem(f'{" and ".join((one.kept, *one.removed))} are installed into one folder',
                        one.mend()) for one in doubled]
    told = {name for one in doubled for name in (one.kept, *one.removed)}
    notes = []
    for one in overlaps(found):
        first, other = (f'{name} {found[name].version}' for name in (one.first, one.other))
        what = f'{first} and {other} have {one.files} of the same files in {one.folder}'
        if harmless(one, found):
            notes.append(f'note: {what}; harmless, being of one version')
        elif not {one.first, one.other} <= told:
            problems.append(Problem(what, f'pip uninstall -y {one.other}; pip install --no-deps '
                                    f'--force-reinstall {first.replace(" ", "==")}'))
    return problems, notes


def _without_folders(line: str) -> str:
    """A bug report is public: no folder of the user's is in it."""
    for folder in (sys.prefix, os.path.expanduser('~')):
        line = line.replace(folder, '...') if len(folder) > 1 else line
    return re.sub(r'(?<![\w.])/(?:[\w.@+-]+/)+(?=[\w.@+-])', '.../', line)
