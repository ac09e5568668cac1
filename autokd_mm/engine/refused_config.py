"""What MMEngine and the classes it builds refuse of a config, as one line that names the key.

MMEngine builds everything in :func:`build_from_cfg`: an unknown type is refused there, and so are
arguments that a class does not have. Behind it a class of another package looks at its arguments
itself, and a dataset at its files. Whatever one of our own files raises there without being a
:class:`UserError` is a fault of ours.
"""
from __future__ import annotations

import inspect
import re
from difflib import get_close_matches
from json import JSONDecodeError
from types import FrameType
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from mmengine.config import Config
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import OPTIMIZERS, Registry
from mmengine.registry.build_functions import build_from_cfg, build_scheduler_from_cfg
from mmengine.runner import Runner

from autokd_mm.datasets.unreadable import unreadable
from autokd_mm.engine.tracebacks import first_line, frames_of, ours
from autokd_mm.errors import ConfigError, DataError, UserError, nearest

_REFUSALS = (ArithmeticError, AssertionError, AttributeError, ImportError, LookupError,
             NotImplementedError, OSError, RuntimeError, TypeError, ValueError)
_SHOWN = 4  # packages with the same name
_RECORDER = 'Recorder'
_DATALOADER = Runner.build_dataloader.__code__
_UNEXPECTED = re.compile(r"unexpected keyword argument '(\w+)'")
_MISSING = re.compile(r"missing \d+ required (?:positional|keyword-only) arguments?: '(\w+)'")


def refused_config(error: BaseException) -> Optional[UserError]:
    """The mistake in a config on which building something has ended; ``None``: it is another."""
    if not isinstance(error, _REFUSALS):
        return None
    frames = frames_of(error)
    builds = [at for at, frame in enumerate(frames) if frame.f_code is build_from_cfg.__code__]
    words = _unknown_optimizer(frames) or (not builds and _refused_scheduler(frames, error))
    if words:
        return ConfigError(words)
    if not builds or _DATALOADER in [frame.f_code for frame in frames[builds[-1]:]]:
        return _of_the_runner(frames, error)
    known, below = frames[builds[-1]].f_locals, frames[builds[-1] + 1:]
    place = _place(_config(frames), known['cfg'])
    if not below:
        return ConfigError(_refused_by_mmengine(error, known, place))
    if known['registry'].name == 'dataset':
        return _of_a_dataset(error, known, place, below)
    if any(map(ours, below)):
        return None
    return ConfigError(f'{place} ({_named(known)}): {first_line(error)}')


def _unknown_optimizer(frames: List[FrameType]) -> str:
    """MMEngine asks the registry for the optimizer's signature before it builds it."""
    for frame in frames:
        if frame.f_code is DefaultOptimWrapperConstructor.__call__.__code__:
            known = frame.f_locals
            if known.get('optimizer_cls', known) is None:
                name = str(known['self'].optimizer_cfg['type'])
                return f'optim_wrapper.optimizer.type: {_unknown_type(name, OPTIMIZERS)}'
    return ''


def _refused_scheduler(frames: List[FrameType], error: BaseException) -> str:
    """MMEngine builds one that changes with each step, of arguments in epochs, by a method."""
    for frame in frames:
        if frame.f_code is build_scheduler_from_cfg.__code__:
            known = frame.f_locals
            place = _place(_config(frames), known['cfg'])
            if known.get('scheduler_cls') is None:
                name = str(known['cfg'].get('type'))
                return f'{place}.type: {_unknown_type(name, known["registry"])}'
            return f'{place} ({known["scheduler_cls"].__name__}): {first_line(error)}'
    return ''


def _of_the_runner(frames: List[FrameType], error: BaseException) -> Optional[UserError]:
    """What the Runner itself misses in the config, such as one of two keys that go together, and
    what torch's DataLoader, which it calls, refuses."""
    codes = [frame.f_code for frame in frames]
    if _DATALOADER in codes:
        below = frames[codes.index(_DATALOADER):]
        return None if any(map(ours, below)) else ConfigError(f'dataloader: {first_line(error)}')
    if not codes or codes[-1].co_filename != Runner.__init__.__code__.co_filename:
        return None
    return ConfigError(f'CONFIG: {first_line(error)}')


def _refused_by_mmengine(error: BaseException, known: Mapping[str, Any], place: str) -> str:
    cfg, made = known['cfg'], known.get('obj_cls')
    if not isinstance(cfg, Mapping):
        return f'{cfg!r}: a {known["registry"].name} is a dict with a type'
    if 'obj_type' not in known:
        return f'{place}.type is missing' if place else f'{dict(cfg)}: the type is missing'
    if made is None:
        name = str(known['obj_type'])
        if known['registry'].name == 'task util' and name.endswith(_RECORDER):
            # MMRazor adds the word to the type of a recorder before it builds it.
            words = _unknown_type(name, known['registry']).replace(_RECORDER, '')
            return f'model.distiller: the recorder type {words}'
        return f'{place}.type: {_unknown_type(name, known["registry"])}'
    text = str(error)
    unexpected, missing = _UNEXPECTED.search(text), _MISSING.search(text)
    if unexpected:
        names = list(inspect.signature(made).parameters)
        return f'{place}.{unexpected[1]}: {nearest(unexpected[1], names)} (of {_named(known)})'
    if missing:
        return f'{place}.{missing[1]} is missing: {_named(known)} needs it'
    return f'{place} ({_named(known)}): {first_line(error)}'


def _unknown_type(name: str, registry: Registry) -> str:
    known = sorted(set(_registered(registry)))
    # The very name in the scope of another package is nearer than one that reads alike.
    close = [one for one in known if '.' in one and one.split('.')[-1] == name.split('.')[-1]] or (
        get_close_matches(name, known, n=1, cutoff=0.4))
    hint = f', did you mean {" or ".join(map(repr, close[:_SHOWN]))}?' if close else ''
    return (f'{name!r} is unknown among the {registry.name}s of {registry.scope} and of the '
            f'packages that are loaded{hint}')


def _registered(registry: Registry) -> Iterator[str]:
    """Names as a config may write them, of all packages that are loaded."""
    root = registry
    while root.parent is not None:
        root = root.parent
    todo = [root]
    while todo:
        one = todo.pop()
        todo += one.children.values()
        for name in one.module_dict:
            yield f'{one.scope}.{name}'
            if one in (registry, root):
                yield name


def _of_a_dataset(error: BaseException, known: Mapping[str, Any], place: str,
                  below: List[FrameType]) -> Optional[UserError]:
    unexpected = _UNEXPECTED.search(str(error)) if isinstance(error, TypeError) else None
    if unexpected and unexpected[1] in known['cfg']:  # handed on to the base class
        names = [name for kind in known['obj_cls'].__mro__[:-1]
                 for name, one in inspect.signature(kind).parameters.items()
                 if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
        return ConfigError(f'{place}.{unexpected[1]}: '
                           f'{nearest(unexpected[1], dict.fromkeys(names))} (of {_named(known)})')
    files = unreadable(error)
    # Of json's JSONDecodeError the file is not known; our datasets look at their files themselves.
    if not files and any(map(ours, below)) and not isinstance(error, ValueError):
        return None
    reason = files or first_line(error)
    if isinstance(error, JSONDecodeError):
        reason = f'its annotations are no JSON ({reason})'
    if 'need at least one array to concatenate' in reason:  # BaseDataset, of an empty list
        reason = 'it has no images'
    given = ', '.join(f'{key}={known["cfg"][key]!r}' for key in ('data_root', 'ann_file')
                      if known['cfg'].get(key))
    return DataError(f'{place} ({_named(known)}): {reason}' + (f' ({given})' if given else ''))


def _named(known: Mapping[str, Any]) -> str:
    made = known.get('obj_cls') or known.get('obj_type')
    return str(getattr(made, '__name__', made))


def _config(frames: List[FrameType]) -> Optional[Config]:
    """The config of the tool, as its outermost frame has it."""
    return next((value for frame in frames for value in frame.f_locals.values()
                 if isinstance(value, Config)), None)


def _place(config: Optional[Config], made: Any) -> str:
    """The key under which ``made`` stands in ``config``, else its type."""
    if not isinstance(made, Mapping):
        return ''
    alike = [] if config is None else [
        (path, node) for path, node in _dicts(config.to_dict(), '')
        if node.get('type') == made.get('type')]
    same = [path for path, node in alike
            if all(made[key] == value for key, value in node.items() if key in made)]
    if same:
        return same[0]
    return alike[0][0] if len(alike) == 1 else str(made.get('type', ''))


def _dicts(node: Any, path: str) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Every dict in a config with its key, such as ``train_dataloader.dataset.pipeline[0]``."""
    if isinstance(node, dict):
        yield path, node
        for key, item in node.items():
            yield from _dicts(item, f'{path}.{key}' if path else str(key))
    elif isinstance(node, (list, tuple)):
        for number, item in enumerate(node):
            yield from _dicts(item, f'{path}[{number}]')
