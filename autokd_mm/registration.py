"""Everything is registered before anything can be built, and nothing is imported before that.

Torch and the MM packages take seconds and a gigabyte, which whoever only searches does without.
They are imported at once where MMEngine is there already (a config with ``custom_imports``, a
tool), and otherwise in front of the first import of MMRazor or of one of our own rooms that need
it. MMEngine imports ``mmrazor.registry`` itself when it meets a name like ``mmrazor.SearchLoop``.
"""
import importlib
import importlib.abc
import sys
import warnings
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Callable, Optional, Set

from autokd_mm import compat

# What stands on NumPy and Optuna or on nothing, and what these import of ours.
_LIGHT = ('cli', 'compat', 'differing', 'errors', 'installed', 'ops', 'page', 'registration',
          'search', 'space', 'study', 'version', 'whole_file')


def register_all_modules(init_default_scope: bool = False) -> None:
    """Register everything of this package in MMRazor's registries. Safe to call more than once.

    Args:
        init_default_scope: make ``mmrazor`` the default scope too, as MMRazor's function of this
            name does. Not so by default: the scope of a config is that of its task's package.

    Raises:
        ImportError: one line that says what to install.
    """
    _wait(False)
    try:
        compat.prepare()
        from autokd_mm import datasets, engine, models, optim  # noqa: F401
    except BaseException:
        _wait(True)  # what is missing is told again, not "no SearchLoop in the registry"
        raise
    if init_default_scope:
        from mmrazor.utils import register_all_modules as theirs
        theirs(init_default_scope=True)


def register_in_time() -> None:
    """Register everything now if MMEngine is there, otherwise as soon as it is needed.

    In between, programs may import ``mmcv.ops``, for which a stand-in is named already now.

    Raises:
        ImportError: one line that says what to install.
    """
    compat.stand_in_for_mmcv()
    if 'mmengine' in sys.modules:
        register_all_modules()
    else:
        _wait(True)


class _FirstUse(importlib.abc.MetaPathFinder):
    """Answers for the modules before which something of ours comes; others load them."""

    def __init__(self) -> None:
        self.begun: Set[str] = set()

    def find_spec(self, fullname: str, path: Any = None,
                  target: Optional[ModuleType] = None) -> Optional[ModuleSpec]:
        first = None if fullname in self.begun else _before(fullname)
        if first is None:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(fullname, path, target)
            if spec is not None:
                spec.loader = _Loader(self, first)
                return spec
        return None


class _Loader(importlib.abc.Loader):
    """Does something of ours, and finds the module imported behind that."""

    def __init__(self, finder: _FirstUse, first: Callable[[], None]) -> None:
        self._finder, self._first = finder, first

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        self._finder.begun.add(spec.name)
        try:
            self._first()
            module = importlib.import_module(spec.name)
        except ImportError as error:
            if spec.name == 'mmrazor':
                warnings.warn(str(error), stacklevel=2)  # MMEngine passes over errors of it
            raise
        finally:
            self._finder.begun.discard(spec.name)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # its own again, with the loader that has loaded it


_FIRST_USE = _FirstUse()


def _before(name: str) -> Optional[Callable[[], None]]:
    """What has to come before a module."""
    if name == 'mmengine.config.utils':  # a config's bases are looked up before anything is built
        return compat.let_mmseg_bases_be_found
    package, _, room = name.partition('.')
    heavy = package == 'autokd_mm' and '.' not in room and room not in _LIGHT
    return register_all_modules if heavy or name == 'mmrazor' else None


def _wait(wanted: bool) -> None:
    waiting = _FIRST_USE in sys.meta_path
    if wanted and not waiting:
        sys.meta_path.insert(0, _FIRST_USE)
    elif waiting and not wanted:
        sys.meta_path.remove(_FIRST_USE)
