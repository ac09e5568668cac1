"""The one file that knows versions.

It makes the released mmrazor 1.0.0 importable on torch >= 2 and with mmcv newer than 2.1, lets
mmcv's operations do without their compiled extension, and turns a missing or unusable package into
one line that says what to install.

MMRazor's quantisation sub-packages import private torch helpers that no longer exist, and nothing
of distillation needs them. A meta-path finder therefore serves empty modules in their place. The
finder answers for the six names of ``_QUANTISATION`` only, every other import is left alone.
"""
import contextlib
import functools
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import io
import sys
import warnings
from types import ModuleType
from typing import Any, Optional

from autokd_mm import installed, ops
from autokd_mm.errors import InstallationWarning

_QUANTISATION = {
    'mmrazor.structures.quantization': ('BackendConfigs', ),
    'mmrazor.models.quantizers': (),
    'mmrazor.models.observers': (),
    'mmrazor.models.fake_quants': (),
    'mmrazor.models.algorithms.quantization': ('MMArchitectureQuant',
                                               'MMArchitectureQuantDDP'),
    'mmrazor.engine.runner.quantization_loops': ('LSQEpochBasedLoop',
                                                 'PTQLoop',
                                                 'QATEpochBasedLoop',
                                                 'QATValLoop'),
}
_MMCV_SHOWN_TO_MMRAZOR = '2.1.0'

# import name -> what to install, for the two sets of packages we are tested on.
_NEEDED = {
    'torch': 'torch==2.11.0 (or 2.1.2 with the original OpenMMLab packages)',
    'mmengine': 'onedl-mmengine==0.10.12 (or mmengine==0.10.7)',
    'mmcv': '--no-deps mmcv-lite==2.2.0 (or mmcv-lite==2.1.0 with the original mmengine)',
    'mmrazor': 'mmrazor==1.0.0',
    'optuna': '"optuna>=4"',
    'mmpretrain': 'onedl-mmpretrain==1.3.6 (or mmpretrain==1.2.0)',
    'mmdet': 'onedl-mmdetection==3.5.1 (or mmdet==3.3.0)',
    'mmseg': 'onedl-mmsegmentation==1.4.2 (or mmsegmentation==1.2.2)',
}
_COMPILED = 'onedl-mmcv==2.3.6 built with MMCV_WITH_OPS=1 (or mmcv==2.1.0)'


class _EmptyModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Serves the quantisation sub-packages as modules of inert classes."""

    def find_spec(self, fullname: str, path: Any = None,
                  target: Optional[ModuleType] = None) -> Optional[importlib.machinery.ModuleSpec]:
        if fullname in _QUANTISATION:
            return importlib.machinery.ModuleSpec(
                fullname, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        names = _QUANTISATION[module.__name__]
        for name in names:
            setattr(module, name, type(name, (), {}))
        module.__all__ = list(names)  # type: ignore[attr-defined]


def require(package: str) -> ModuleType:
    """Import ``package`` or fail with one line that says what to install.

    Raises:
        ImportError: the package is missing or cannot be imported.
    """
    try:
        return importlib.import_module(package)
    except Exception as error:  # a broken wheel raises nearly anything
        wanted = _NEEDED.get(package.split('.')[0], package)
        reason = f'{type(error).__name__}: {error}'.splitlines()[0]
        raise ImportError(f'autokd_mm cannot use {package} ({reason}); '
                          f'install it with: pip install {wanted}') from None


def stand_in_for_mmcv() -> None:
    """See that ``mmcv.ops`` can be imported without a compiled extension. Imports nothing itself,
    and is safe to call more than once."""
    ops.register(_COMPILED)


def prepare() -> None:
    """Make ``import mmrazor`` work. Safe to call more than once."""
    stand_in_for_mmcv()
    for package in ('torch', 'mmengine', 'mmcv', 'optuna'):
        require(package)
    let_hues_turn_back()
    if not any(isinstance(finder, _EmptyModules) for finder in sys.meta_path):
        sys.meta_path.insert(0, _EmptyModules())
    if 'mmrazor' not in sys.modules:
        _warn_of_clashes()
        mmcv: Any = sys.modules['mmcv']
        real = mmcv.__version__
        mmcv.__version__ = _MMCV_SHOWN_TO_MMRAZOR
        try:
            # OneDL's packages print a line about an optional one when they are imported.
            with contextlib.redirect_stdout(io.StringIO()):
                require('mmrazor')
                require('mmrazor.models')
                if importlib.util.find_spec('mmpretrain'):
                    require('mmpretrain.datasets')
        finally:
            mmcv.__version__ = real
    let_mmseg_bases_be_found()


def _warn_of_clashes() -> None:
    found = installed.clashes(installed.distributions_by_name(*installed.OPENMMLAB))
    if found:
        pairs = ', '.join(' and '.join((clash.kept, *clash.removed)) for clash in found)
        warnings.warn(f'installed into the same folders: {pairs}; mend it with: '
                      f'{"; ".join(clash.mend() for clash in found)}', InstallationWarning,
                      stacklevel=3)


class _Turn(float):
    """A part of a turn whose 255-fold is a whole number from 0 to 255, as it is meant."""

    def __mul__(self, other: Any) -> int:
        return int(float(self) * other) % 256


def let_hues_turn_back() -> None:
    """mmcv before OneDL's 2.3 relies on negative numbers that wrap around in uint8 when it turns a
    hue back, which NumPy refuses since 2.0."""
    import numpy as np
    photometric = importlib.import_module('mmcv.image.photometric')
    theirs = photometric.adjust_hue
    try:
        theirs(np.zeros((1, 1, 3), np.uint8), -0.1, backend='cv2')
    except OverflowError:
        @functools.wraps(theirs)
        def adjust_hue(img: Any, hue_factor: float, backend: Optional[str] = None) -> Any:
            return theirs(img, _Turn(hue_factor), backend)

        for module in (photometric, sys.modules['mmcv.image'], sys.modules['mmcv']):
            module.adjust_hue = adjust_hue  # type: ignore[attr-defined]


def let_mmseg_bases_be_found() -> None:
    """OneDL's distribution is not called ``mmsegmentation``, which mmengine's table expects, and
    ``_base_ = 'mmseg::...'`` then asks for a package that is not there. ``'mmcls::...'``, as
    MMRazor's configs have it, is MMPretrain since its 1.0."""
    from importlib.metadata import PackageNotFoundError, distribution

    from mmengine.config import utils
    try:
        distribution('mmsegmentation')
    except PackageNotFoundError:
        utils.MODULE2PACKAGE['mmseg'] = 'mmseg'
    if importlib.util.find_spec('mmcls') is None:
        utils.MODULE2PACKAGE['mmcls'] = utils.MODULE2PACKAGE.get('mmpretrain', 'mmpretrain')
