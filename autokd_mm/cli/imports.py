"""Imports what a training imports, and says of what cannot be imported how to mend it."""
import contextlib
import importlib
import io
import textwrap
import warnings
from importlib.metadata import Distribution
from typing import Any, Dict, List, NamedTuple

from autokd_mm import compat, ops
from autokd_mm.errors import AutoKDWarning, InstallationWarning
from autokd_mm.installed import PROVIDERS

FIRST = ('torch', 'torchvision', 'mmengine', 'mmcv')
THEN = ('mmpretrain', 'mmdet', 'mmseg')  # the last two where they are installed
BESIDE = ('scipy', 'scikit-learn', 'joblib', 'rich')  # the extra `train`
_HINT = '; install it with: '


class Problem(NamedTuple):
    """What is wrong, and the line that mends it."""

    what: str
    mend: str


def try_all(found: Dict[str, Distribution], problems: List[Problem]) -> List[str]:
    """Import the packages of a training, in its order and behind the same preparations.

    Args:
        found: of ``installed.distributions_by_name``.
        problems: gets one for each package that cannot be imported.

    Returns:
        The lines about mmcv's operations.
    """
    before, lines = len(problems), ['mmcv operations: not looked at, see below']
    with warnings.catch_warnings(record=True) as caught, \
            contextlib.redirect_stdout(io.StringIO()):  # OneDL's packages print what they lack
        warnings.simplefilter('always')
        for name in FIRST:
            _attempt(compat.require, name, problems)
        if len(problems) == before:
            _attempt(compat.prepare, None, problems)
        if len(problems) == before:
            for name in THEN:
                if name == THEN[0] or any(one in found for one in PROVIDERS[name]):
                    _attempt(compat.require, name, problems)
            lines = _operations(found, problems)
        missing = [name for name in BESIDE if name not in found]
        if missing:
            problems.append(Problem(f'a training needs {", ".join(missing)}',
                                    "pip install 'autokd_mm[train]'"))
        if len(problems) == before:
            _attempt(importlib.import_module, 'autokd_mm.engine', problems)
    for one in caught:
        if issubclass(one.category, AutoKDWarning) and one.category is not InstallationWarning:
            what, _, mend = str(one.message).partition(_HINT)
            problems.append(Problem(what, mend or _lite(found)))
    return lines


def _attempt(call: Any, name: Any, problems: List[Problem]) -> None:
    try:
        call(*[name] if name else [])
    except Exception as error:  # a broken package raises nearly anything
        what, _, mend = f'{error}'.partition(_HINT)
        problems.append(Problem(what.splitlines()[0] if what else type(error).__name__,
                                mend or 'pip install --force-reinstall of the package it names'))


def _operations(found: Dict[str, Distribution], problems: List[Problem]) -> List[str]:
    """Which operations mmcv has, and from whom."""
    try:
        extension = importlib.import_module('mmcv._ext')
    except Exception as error:  # of another torch, of another Python, absent
        reason = f'{type(error).__name__}: {error}'.splitlines()[0]
        problems.append(Problem(f'mmcv has no operations ({reason})', _lite(found)))
        return ['mmcv operations: none']
    if not ops.stands_in():
        count = len([name for name in dir(extension) if not name.startswith('_')])
        return [f'mmcv operations: {count} compiled, none stood in']
    return _wrapped('mmcv operations: none compiled, stood in (autokd_mm.ops): ',
                    sorted(set(ops.OPERATIONS.values()) - {'info'}))


def _lite(found: Dict[str, Distribution]) -> str:
    """The command that puts mmcv-lite in the place of an mmcv that cannot be used."""
    there = [name for name in PROVIDERS['mmcv'] if name in found]
    wanted = "'mmcv-lite<2.2'" if 'mmdet' in found else 'mmcv-lite'  # the original mmdet's limit
    return f'pip uninstall -y {" ".join(there)}; pip install --no-deps {wanted}'


def _wrapped(head: str, words: List[str]) -> List[str]:
    return textwrap.wrap(head + ' '.join(words), 98, subsequent_indent='  ')
