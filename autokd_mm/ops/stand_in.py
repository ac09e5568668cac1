"""``mmcv._ext`` where the compiled one is absent or does not load; that one is used where it loads.

``mmcv.ops`` looks for some hundred functions when it is imported, so every name is answered. One
that nobody wrote down says so when it is called.
"""
import importlib
import importlib.abc
import importlib.util
import re
import sys
import warnings
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Callable, Dict, NoReturn, Optional, Tuple

from autokd_mm.errors import AutoKDWarning, OperationMissing

_NAME = 'mmcv._ext'
_FILES = {
    'bbox_overlaps': ('bbox_overlaps', ),
    'border_align': ('border_align_forward', 'border_align_backward'),
    'carafe': ('carafe_forward', 'carafe_backward', 'carafe_naive_forward',
               'carafe_naive_backward'),
    'deform_conv': ('deform_conv_forward', 'deform_conv_backward_input',
                    'deform_conv_backward_parameters', 'modulated_deform_conv_forward',
                    'modulated_deform_conv_backward'),
    'deform_roi_pool': ('deform_roi_pool_forward', 'deform_roi_pool_backward'),
    'focal_loss': ('sigmoid_focal_loss_forward', 'sigmoid_focal_loss_backward',
                   'softmax_focal_loss_forward', 'softmax_focal_loss_backward'),
    'info': ('get_compiler_version', 'get_compiling_cuda_version'),
    'masked_conv': ('masked_im2col_forward', 'masked_col2im_forward'),
    'ms_deform_attn': ('ms_deform_attn_forward', 'ms_deform_attn_backward'),
    'nms': ('nms', 'nms_match'),
    'psa_mask': ('psamask_forward', 'psamask_backward'),
    'roi_align': ('roi_align_forward', 'roi_align_backward'),
    'roi_pool': ('roi_pool_forward', 'roi_pool_backward'),
    'soft_nms': ('softnms', ),
    'sync_bn': ('sync_bn_forward_mean', 'sync_bn_forward_var', 'sync_bn_forward_output',
                'sync_bn_backward_param', 'sync_bn_backward_data'),
}
#: operation -> the file of this room that has it
OPERATIONS: Dict[str, str] = {name: file for file, names in _FILES.items() for name in names}


class StandIn(ModuleType):
    """A module in place of mmcv's extension that has every name.

    An operation's file is imported when it is asked for.

    Args:
        install: what pip installs for the compiled operations.
    """

    def __init__(self, install: str) -> None:
        super().__init__(_NAME, __doc__)
        self._install = install

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith('_'):  # what Python, pickle and the like ask of any module
            raise AttributeError(f'module {_NAME!r} has no attribute {name!r}')
        if name in OPERATIONS:
            file = importlib.import_module(f'autokd_mm.ops.{OPERATIONS[name]}')
            function = getattr(file, name)
        else:
            function = _missing(name, self._install)
        setattr(self, name, function)
        return function


def _missing(name: str, install: str) -> Callable[..., NoReturn]:
    def call(*args: Any, **kwargs: Any) -> NoReturn:
        raise OperationMissing(f'{name} is an operation of the compiled mmcv, which is not there, '
                               f'and has no stand-in; install it with: pip install {install}')
    return call


class _Extension(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Answers for ``mmcv._ext`` alone: with the compiled one, or else with the stand-in."""

    def __init__(self, install: str) -> None:
        self._install = install
        self._compiled: Optional[ModuleSpec] = None

    def find_spec(self, fullname: str, path: Any = None,
                  target: Optional[ModuleType] = None) -> Optional[ModuleSpec]:
        if fullname != _NAME:
            return None
        found = (finder.find_spec(fullname, path, target) for finder in sys.meta_path
                 if not isinstance(finder, _Extension))
        self._compiled = next((spec for spec in found if spec is not None), None)
        return ModuleSpec(fullname, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        compiled = self._compiled
        if compiled is not None:
            try:
                module = importlib.util.module_from_spec(compiled)
                assert compiled.loader is not None
                compiled.loader.exec_module(module)
                return module
            except (ImportError, OSError) as error:
                warnings.warn(_why(error), AutoKDWarning, stacklevel=2)
                self._compiled = None
        return StandIn(self._install)

    def exec_module(self, module: ModuleType) -> None:
        if self._compiled is not None:
            module.__spec__ = self._compiled  # its own, as if nobody had stood in front of it


def _why(error: Exception) -> str:
    """One line about a compiled mmcv that does not load."""
    import torch
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    package, built = _package()
    return (f'the compiled operations of {package} do not load with torch {torch.__version__}; '
            f'they were {built} ({reason}). Operations of torch and torchvision stand in for them')


def _package() -> Tuple[str, str]:
    """What mmcv is installed as, and the torch that its version says it was built for, if any."""
    from importlib.metadata import PackageNotFoundError, version
    for name in ('onedl-mmcv', 'mmcv'):
        try:
            found = version(name)
        except PackageNotFoundError:
            continue
        torch = re.search(r'\+.*?(?:pt|torch)-?(\d+(?:\.\d+)*)', found)
        return f'{name} {found}', (f'built for torch {torch.group(1)}' if torch
                                   else 'most likely built for another')
    return 'mmcv', 'most likely built for another'


def register(install: str) -> None:
    """See that an import of ``mmcv._ext`` finds something. Safe to call more than once.

    Nothing is imported before that, and a compiled extension that loads is what is found.

    Args:
        install: what pip installs for the compiled operations, for the message about one that has
            no stand-in.
    """
    if not any(isinstance(finder, _Extension) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Extension(install))


def stands_in() -> bool:
    """Whether the operations of this room are used in place of compiled ones.

    Raises:
        ImportError: mmcv is missing.
    """
    return isinstance(importlib.import_module(_NAME), StandIn)
