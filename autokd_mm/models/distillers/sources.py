"""Mistakes in what a distiller's recorders and deliveries are to listen to."""
from __future__ import annotations

import importlib
from typing import Any, Mapping, Optional

from mmrazor.models.task_modules import ModuleOutputsRecorder, ParameterRecorder
from torch import nn

from autokd_mm.errors import ConfigError, nearest
from autokd_mm.registry import TASK_UTILS

_RECORDERS = ('ModuleOutputs', 'ModuleInputs', 'MethodOutputs', 'MethodInputs', 'FunctionOutputs',
              'FunctionInputs', 'Parameter')
_PLACES = ('student_recorders', 'teacher_recorders', 'distill_deliveries', 'connectors',
           'distill_losses', 'loss_forward_mappings')
_DELIVERIES = ('MethodOutputs', 'FunctionOutputs')


def refuse_unknown_sources(distiller: Mapping[str, Any]) -> None:
    """Look at the config of a distiller before it is built.

    Raises:
        ConfigError: something is no dict; or there is no such kind of recorder or delivery, or no
            such function or method; or a loss counts records by what is no number.
    """
    for place in _PLACES:
        for name, item in _dict(distiller.get(place) or {}, f'model.distiller.{place}').items():
            _dict(item, f'model.distiller.{place}.{name}')
    for loss, mapping in (distiller.get('loss_forward_mappings') or {}).items():
        for argument, record in mapping.items():
            key = f'model.distiller.loss_forward_mappings.{loss}.{argument}'
            _refuse_no_number(_dict(record, key), key)
    for place, kinds, suffix, word in (
            ('student_recorders', _RECORDERS, 'Recorder', 'source'),
            ('teacher_recorders', _RECORDERS, 'Recorder', 'source'),
            ('distill_deliveries', _DELIVERIES, 'Delivery', None)):
        for name, item in (distiller.get(place) or {}).items():
            key = f'model.distiller.{place}.{name}'
            kind = str(item.get('type')).split('.')[-1]
            if kind not in kinds:
                if suffix == 'Recorder' and TASK_UTILS.get(f'{item.get("type")}Recorder'):
                    continue  # one of the user's own
                raise ConfigError(f'{key}.type: {nearest(kind, kinds)}')
            if kind in ('ModuleOutputs', 'ModuleInputs', 'Parameter') and not item.get('source'):
                raise ConfigError(f'{key}.source is missing: name what a {kind} listens to')
            for start, parts in (('Method', 2), ('Function', 1)):
                if kind.startswith(start):
                    where = word or ('method_path' if parts == 2 else 'func_path')
                    _refuse_unknown_path(item.get(where), parts, f'{key}.{where}')


def _dict(value: Any, key: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f'{key}={value!r}: must be a dict')
    return value


def _refuse_no_number(record: Mapping[str, Any], key: str) -> None:
    for name, valid in (('record_idx', (int, )), ('data_idx', (int, type(None)))):
        value = record.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, valid):
            raise ConfigError(f'{key}.{name}={value!r}: must be a whole number')


def _refuse_unknown_path(path: Any, parts: int, key: str) -> None:
    """``path``: MODULE.FUNCTION (``parts`` 1) or MODULE.CLASS.METHOD (2)."""
    names = str(path).split('.')
    if len(names) <= parts or not all(names):
        raise ConfigError(f'{key}={path!r}: must be MODULE.'
                          f'{"FUNCTION" if parts == 1 else "CLASS.METHOD"}')
    module = '.'.join(names[:-parts])
    try:
        found: Any = importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(f'{key}: {module} cannot be imported ({error})') from None
    for name in names[-parts:]:
        if not hasattr(found, name):
            valid = [one for one in dir(found) if not one.startswith('_')]
            raise ConfigError(f'{key}: {nearest(name, valid)}')
        found = getattr(found, name)
    if not callable(found):
        raise ConfigError(f'{key}: {path} is a {type(found).__name__}, not a function')


def unknown_module(distiller: Any, student: nn.Module, teacher: nn.Module) -> Optional[ConfigError]:
    """The mistake of a recorder that listens to a module or parameter that its network has not."""
    for who, network in (('student', student), ('teacher', teacher)):
        modules = dict(network.named_modules())
        parameters = dict(network.named_parameters())
        for name, recorder in getattr(distiller, f'{who}_recorders').recorders.items():
            if isinstance(recorder, ModuleOutputsRecorder):
                valid = [one for one in modules if one]
                known = recorder.source in modules
            elif isinstance(recorder, ParameterRecorder):
                valid, known = list(parameters), recorder.source in parameters
            else:
                continue
            if not known:
                return ConfigError(f'model.distiller.{who}_recorders.{name}.source: '
                                   f'{nearest(recorder.source, valid)}')
    return None
