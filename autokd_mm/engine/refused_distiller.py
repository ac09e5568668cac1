"""What a hand-written distiller cannot compute in a training step, as one line that names the key.

MMRazor builds recorders, connectors and losses without knowing what the networks will say, so that
a tensor of the wrong shape, or an entry that a record does not have, shows in the first step. What
was given is read from the frames of the traceback: a step that succeeds pays nothing for it. The
losses of a search's candidates are none of the user's words, and none of the student's own losses
is computed there.
"""
from __future__ import annotations

import re
from types import FrameType
from typing import Any, Dict, List, Mapping, Optional, Tuple

import torch
from mmrazor.models.distillers import ConfigurableDistiller
from mmrazor.models.task_modules.recorder.base_recorder import BaseRecorder

from autokd_mm.engine.tracebacks import first_line, frames_of, of_a_device, ours
from autokd_mm.errors import ConfigError, nearest
from autokd_mm.proxy.candidate import Candidate

_REFUSALS = (AssertionError, AttributeError, IndexError, KeyError, RuntimeError, TypeError,
             ValueError)
_COMPUTE = ConfigurableDistiller.compute_distill_losses.__code__
_GET = ConfigurableDistiller.get_record.__code__
_READ = BaseRecorder.get_record_data.__code__
_RECORD_KEYS = _GET.co_varnames[1:_GET.co_argcount]
_CALLS = re.compile(r'length of data_buffer is (\d+)')
_SHOWN = 4


def refused_distiller(error: BaseException) -> Optional[ConfigError]:
    """The mistake in ``model.distiller`` on which a training step has ended; ``None``: another."""
    if not isinstance(error, _REFUSALS) or of_a_device(error):
        return None
    step, below = _step(error)
    if not step:
        return None
    words = (_of_a_mapping if _in_a_mapping(step) else _of_a_loss)(step, below, error)
    return ConfigError(words) if words else None


def key_of(error: BaseException) -> str:
    """Where in ``model.distiller`` an error came up that knows only its class; '' elsewhere."""
    step, below = _step(error)
    if not step:
        return ''
    if not _in_a_mapping(step):
        return f'model.distiller.distill_losses.{step["loss_name"]}'
    by = step['record'].get('connector')
    return f'model.distiller.connectors.{by}' if by else _mapping_key(step)


def _step(error: BaseException) -> Tuple[Mapping[str, Any], List[FrameType]]:
    """What MMRazor's loop over the losses knew, and the frames below it."""
    frames = frames_of(error)
    codes = [frame.f_code for frame in frames]
    if _COMPUTE not in codes or Candidate.losses.__code__ in codes:
        return {}, []
    at = codes.index(_COMPUTE)
    return frames[at].f_locals, frames[at + 1:]


def _in_a_mapping(step: Mapping[str, Any]) -> bool:
    """An argument of the loss is not there yet."""
    return 'forward_key' in step and bool(step['forward_mappings']) and (
        step['forward_key'] not in step['forward_kwargs'])


def _mapping_key(step: Mapping[str, Any]) -> str:
    return f'model.distiller.loss_forward_mappings.{step["loss_name"]}.{step["forward_key"]}'


def _of_a_mapping(step: Mapping[str, Any], below: List[FrameType], error: BaseException) -> str:
    """One argument of a loss: what a recorder holds, and what a connector makes of it."""
    distiller, record = step['self'], step['record']
    key = _mapping_key(step)
    unknown = [name for name in record if name not in _RECORD_KEYS]
    if unknown:
        return f'{key}: {nearest(unknown[0], _RECORD_KEYS)}'
    read = next((frame.f_locals for frame in below if frame.f_code is _READ), None)
    if read is not None:
        return _of_a_record(key, read, _source(distiller, record), str(error))
    name = record.get('connector')
    connector = distiller.connectors[name] if name in distiller.connectors else None
    if connector is None or not any(frame.f_locals.get('self') is connector for frame in below):
        index = record.get('connector_idx')
        key += '' if index is None else f'.connector_idx={index!r}'
        return f'{key}: {first_line(error)}'
    if any(map(ours, below)) and not isinstance(error, ValueError):
        return ''
    given = below[0].f_locals.get('record_data')
    return (f'model.distiller.connectors.{name} ({type(connector).__name__}): it was given '
            f'{_shape(given)} ({_source(distiller, record)}) for {key}: {first_line(error)}')


def _of_a_record(key: str, read: Mapping[str, Any], source: str, told: str) -> str:
    """An entry that a recorder does not hold; the records themselves may be forgotten by now."""
    if 'record' not in read:
        found = _CALLS.search(told)
        calls = int(found[1]) if found else len(read['self'].data_buffer)
        if not calls:
            return f'{key}.recorder: nothing was recorded, as {source} does not run in this step'
        return f'{key}.record_idx={read["record_idx"]!r}: {source} has {calls} records of this ' \
               f'step; valid: {_up_to(calls)}'
    record, entry = read['record'], f'{key}.data_idx={read["data_idx"]!r}'
    if not isinstance(record, (list, tuple)):
        return f'{entry}: what is recorded of {source} is {_shape(record)} and no list; leave it ' \
               'out'
    return f'{entry}: what is recorded of {source} has {len(record)} entries; valid: ' \
           f'{_up_to(len(record))}'


def _of_a_loss(step: Mapping[str, Any], below: List[FrameType], error: BaseException) -> str:
    """A loss that cannot compare what it was given."""
    distiller, given, name = step['self'], step['forward_kwargs'], step['loss_name']
    loss = distiller.distill_losses[name]
    key = f'model.distiller.distill_losses.{name}'
    weight = getattr(loss, 'loss_weight', 1.0)
    if not isinstance(weight, (int, float, torch.Tensor)):
        return f'{key}.loss_weight={weight!r}: must be a number'
    tensors = {who: one for who, one in given.items() if isinstance(one, torch.Tensor)}
    alike = len(tensors) == len(given) and len({one.shape for one in tensors.values()}) < 2
    if alike and any(map(ours, below)) and not isinstance(error, ValueError):
        return ''  # our own losses take these
    mapping = step['forward_mappings']
    said = ', '.join(f'{who} is {_shape(one)} ({_from(distiller, mapping[who])})'
                     for who, one in given.items())
    return (f'{key} ({type(loss).__name__}): {first_line(error)}; {said}'
            f'{_hint(mapping, tensors)}')


def _hint(mapping: Mapping[str, Any], tensors: Dict[str, torch.Tensor]) -> str:
    """Where two maps differ in channels alone, and a connector has made one of them."""
    pair = [(who, one) for who, one in tensors.items() if one.dim() > 1][:2]
    if len(pair) < 2:
        return ''
    shapes = [list(one.shape) for _, one in pair]
    channels = [shape.pop(1) for shape in shapes]
    if shapes[0] != shapes[1] or channels[0] == channels[1]:
        return ''
    made = next(((mapping[who]['connector'], other) for (who, _), other
                 in zip(pair, reversed(channels)) if mapping[who].get('connector')), None)
    if made is None:
        return f'; they differ in channels ({channels[0]} and {channels[1]}): one of them needs ' \
               'a connector'
    return f'; model.distiller.connectors.{made[0]} must give {made[1]} channels'


def _from(distiller: Any, record: Mapping[str, Any]) -> str:
    by = record.get('connector')
    return _source(distiller, record) + (f' through connector {by}' if by else '')


def _source(distiller: Any, record: Mapping[str, Any]) -> str:
    who = 'student' if record.get('from_student') else 'teacher'
    recorder = getattr(distiller, f'{who}_recorders').recorders.get(record.get('recorder'))
    return f"the {who}'s {getattr(recorder, 'source', record.get('recorder'))}"


def _shape(given: Any) -> str:
    if isinstance(given, torch.Tensor):
        return 'x'.join(map(str, given.shape)) or 'a number'
    if isinstance(given, (list, tuple)):
        more = ', ...' if len(given) > _SHOWN else ''
        return f'{type(given).__name__} of ' + ', '.join(map(_shape, given[:_SHOWN])) + more
    return type(given).__name__


def _up_to(count: int) -> str:
    valid: Tuple[int, ...] = tuple(range(count))
    return ', '.join(map(str, valid)) if count <= _SHOWN else f'0 to {count - 1}'
