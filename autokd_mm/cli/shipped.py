"""Tools and configs that come with the package, and the names by which configs are called.

A wheel has them in ``autokd_mm/.mim``, an editable install has links there, and a checkout that is
not installed has them beside the package.
"""
import os
from difflib import get_close_matches
from pathlib import Path
from typing import Dict

from autokd_mm.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parents[1]
_FOLDERS = ('search', 'distill', 'vanilla')  # the others hold parts of configs
_SUFFIXES = ('.py', '.yml', '.yaml', '.json')  # MMEngine's


def root() -> Path:
    """The folder with ``tools`` and ``configs``.

    Raises:
        ConfigError: a copy of the package without them.
    """
    for folder in (_PACKAGE / '.mim', _PACKAGE.parent):
        if (folder / 'tools' / '_cli.py').is_file():
            return folder
    raise ConfigError('autokd: the tools are not installed with the package; install it from a '
                      'wheel (pip install .)')


def configs() -> Dict[str, Path]:
    """Every config of the package by its name, ``search/digits`` for one."""
    folder = root() / 'configs'
    return {f'{part}/{path.stem}': path for part in _FOLDERS
            for path in sorted((folder / part).glob('*.py'))}


def config_file(word: str) -> str:
    """The config that a command line means: a file, or a config of ours by its name.

    Args:
        word: a path; or ``search/digits``; or ``digits``, where no other folder has one.

    Raises:
        ConfigError: neither a file nor a name, or a name that two folders have.
    """
    if os.path.isfile(word):
        return word
    named = configs()
    stem, suffix = os.path.splitext(os.path.basename(word))
    if suffix in _SUFFIXES:
        ours = [name for name in named if name.split('/')[1] == stem]
        hint = f"; the package's own is called {' or '.join(ours)}" if ours else ''
        raise ConfigError(f'CONFIG: there is no file {word}{hint}')
    found = [name for name in named if word in (name, name.split('/')[1])]
    if len(found) > 1:
        raise ConfigError(f'CONFIG: {word!r} is in two folders, say which: {" or ".join(found)}')
    if not found:
        raise ConfigError(f'CONFIG: {word!r} is no file and no config of the package'
                          f'{_nearest(word, named)}; all names: autokd configs')
    return str(named[found[0]])


def _nearest(word: str, named: Dict[str, Path]) -> str:
    """With or without the folder, whichever is nearer."""
    words = {part: name for name in named for part in (name, name.split('/')[1])}
    close = dict.fromkeys(words[one] for one in get_close_matches(word, words, n=3, cutoff=0.5))
    return f', nearest: {", ".join(close)}' if close else ''
