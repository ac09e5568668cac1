"""Which exceptions of MMEngine, torch and the system a user has caused, and in what words.

A mistake that this package looks for is a :class:`~autokd_mm.errors.UserError` already. Others show
only where MMEngine builds what a config names, reads a file it names, trains with it, or asks the
machine for something. Each is recognised by the place that raises it or by the system's own number
for it; nothing is taken for a mistake because of its type alone.
"""
from __future__ import annotations

import errno
import os
import re
from typing import Optional

import torch
from mmcv.transforms import BaseTransform
from mmengine.dataset import BaseDataset
from mmengine.hooks import CheckpointHook, EarlyStoppingHook
from mmengine.model import PretrainedInit
from mmengine.runner import Runner
from mmengine.runner.checkpoint import _load_checkpoint_with_prefix
from torch.nn.functional import cross_entropy

from autokd_mm.datasets.unreadable import OF_A_WORKER, own_words, unreadable
from autokd_mm.engine.refused_config import refused_config
from autokd_mm.engine.refused_distiller import key_of, refused_distiller
from autokd_mm.engine.refused_network import refused_network
from autokd_mm.engine.tracebacks import first_line, frames_of, named_in, ours
from autokd_mm.errors import (AutoKDError, CheckpointError, ConfigError, DataError, UserError,
                              nearest)

_NO_ROOM = (errno.ENOSPC, errno.EROFS, errno.EDQUOT)
# torch's words for a file that cannot be written to its end, which keep no number of the system.
_CUT_WRITES = ('PytorchStreamWriter failed', 'basic_ios::clear', 'unexpected pos ')
_NO_MEMORY = ('out of memory', 'not enough memory', "can't allocate memory")
_HOOK_REFUSALS = (AssertionError, AttributeError, KeyError, NotImplementedError, TypeError,
                  ValueError)
_NO_CLASS = re.compile(r'Target (-?\d+) is out of bounds')
_COLOURS = 'only batches of spatial targets supported'
_DATA_REFUSALS = (AssertionError, AttributeError, IndexError, KeyError, RuntimeError, TypeError,
                  ValueError)
# As a traceback in words has the frame of a pipeline's step.
_CALLS_A_TRANSFORM = f'File "{BaseTransform.__call__.__code__.co_filename}", line '
_WITH_PREFIX = _load_checkpoint_with_prefix.__code__
_RESUMES = (Runner.resume.__code__, Runner.load_checkpoint.__code__)


def mistake(error: BaseException) -> Optional[UserError]:
    """What the user can mend, in one line; ``None``: a fault of the program."""
    if isinstance(error, UserError):
        key = key_of(error)
        error = innermost(error)
        words = own_words(error)
        if key and not words.startswith('model.'):  # a loss of ours knows its class alone
            return ConfigError(f'{key}: {words}')
        module = next((frame.f_locals['module'] for frame in frames_of(error)
                       if frame.f_code is PretrainedInit.__call__.__code__), None)
        if module is not None:  # the reader of files does not know who asks
            return CheckpointError(f'init_cfg of {type(module).__name__}: {words}; init_cfg=None '
                                   'does without')
        return UserError(words) if OF_A_WORKER in str(error) else error
    if isinstance(error, AutoKDError):
        return None
    return (_of_the_disk(error) or _of_the_machine(error) or _of_data(error)
            or _of_a_checkpoint(error) or refused_config(error) or refused_distiller(error)
            or _of_a_hook(error) or refused_network(error))


def innermost(error: UserError) -> UserError:
    """The mistake as it was raised first: builders may raise it again with more words."""
    while isinstance(error.__context__, type(error)) and not error.__suppress_context__:
        error = error.__context__
    return error


def _of_the_disk(error: BaseException) -> Optional[UserError]:
    if isinstance(error, PermissionError):
        return UserError(f'{error.filename}: {error.strerror}')
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        reason = error.strerror
    elif isinstance(error, RuntimeError) and any(word in str(error) for word in _CUT_WRITES):
        reason = first_line(error)
    else:
        return None
    where = getattr(error, 'filename', None) or 'the disk'
    return UserError(f'--work-dir: {where}: {reason}; what was finished is kept, go on with '
                     '--resume')


def _of_the_machine(error: BaseException) -> Optional[UserError]:
    if isinstance(error, MemoryError) or (
            isinstance(error, RuntimeError) and any(word in str(error) for word in _NO_MEMORY)):
        where = 'the GPU' if isinstance(error, torch.cuda.OutOfMemoryError) else 'this machine'
        return ConfigError(f'{where} has not enough memory ({first_line(error)}); make '
                           'train_dataloader.batch_size or, of a search, proxy.batch_size smaller')
    if isinstance(error, (RuntimeError, OSError)) and (
            os.strerror(errno.EADDRINUSE).lower() in str(error).lower()  # torch before 2.4
            or 'EADDRINUSE' in str(error)):
        return ConfigError(f'MASTER_PORT={os.environ.get("MASTER_PORT", "")}: another program '
                           'listens at this port; name a free one (PORT=29501 tools/dist_train.sh)')
    return None


def _of_data(error: BaseException) -> Optional[UserError]:
    """An image or its annotations, read by a dataloader in this process or in a worker."""
    reads = OF_A_WORKER in str(error) or any(
        frame.f_code is BaseDataset.__getitem__.__code__ for frame in frames_of(error))
    reason = unreadable(error) if reads else ''
    if reason:
        return DataError(f'dataset: {reason}; is data_root right, and are the files whole?')
    return _of_labels(error) or _of_a_transform(error)


def _of_labels(error: BaseException) -> Optional[UserError]:
    """Labels or masks that the cross-entropy of a head cannot count."""
    if not any(frame.f_code is cross_entropy.__code__ for frame in frames_of(error)):
        return None
    label = _NO_CLASS.match(str(error))
    if label:
        return DataError(f'dataset: a label or a pixel of a mask is {label[1]}, and the head has '
                         'fewer classes (num_classes); what is no class must be what its loss '
                         'leaves out (ignore_index, 255 of a segmentor)')
    if _COLOURS in str(error):
        return DataError('dataset: a mask has several channels; it must hold the number of a class '
                         'in each pixel, not its colour')
    return None


def _of_a_transform(error: BaseException) -> Optional[UserError]:
    """A step of a pipeline to which the data set gives something else than it takes, such as
    annotations without masks."""
    if OF_A_WORKER in str(error):  # of which the text alone is left
        _, called, below = str(error).rpartition(_CALLS_A_TRANSFORM)
        if called and not named_in(below):
            return DataError(f'dataset.pipeline: {str(error).strip().splitlines()[-1][:300]}')
        return None
    frames = frames_of(error)
    at = max((number for number, frame in enumerate(frames)
              if frame.f_code is BaseTransform.__call__.__code__), default=-1)
    if at < 0 or not isinstance(error, _DATA_REFUSALS) or any(map(ours, frames[at + 1:])):
        return None
    name = type(frames[at].f_locals['self']).__name__
    return DataError(f'dataset.pipeline ({name}): {first_line(error)}')


def _of_a_checkpoint(error: BaseException) -> Optional[UserError]:
    """One that MMEngine has read and cannot use: of another network or of no training at all."""
    frames = frames_of(error)
    if isinstance(error, AssertionError) and frames[-1].f_code is _WITH_PREFIX:
        known = frames[-1].f_locals
        held = known['checkpoint'].get('state_dict', known['checkpoint'])
        module = frames[-2].f_locals.get('module')
        return CheckpointError(f'init_cfg.prefix={known["prefix"]!r} of {type(module).__name__}: '
                               f'no name in {known["filename"]} begins so, the first is '
                               f'{next(iter(held), "nothing")}; prefix=None takes all')
    frame = next((each for each in frames if each.f_code in _RESUMES), None)
    if frame is None or not isinstance(error, (KeyError, RuntimeError, ValueError)):
        return None
    key = '--resume' if frame.f_code is Runner.resume.__code__ else 'load_from'
    return CheckpointError(f'{key}: {frame.f_locals["filename"]} does not fit this training '
                           f'({first_line(error)})')


def _of_a_hook(error: BaseException) -> Optional[UserError]:
    """A hook of another package that finds no model, data set or loop of its kind, and a metric
    that the evaluator does not compute."""
    frames = frames_of(error)
    at = max((number for number, frame in enumerate(frames)
              if frame.f_code is Runner.call_hook.__code__), default=-1)
    if at < 0 or any(map(ours, frames[at + 1:])):
        return None
    known = frames[at].f_locals
    hook, metrics = known['hook'], known['kwargs'].get('metrics')
    if isinstance(hook, EarlyStoppingHook) and metrics and hook.monitor not in metrics:
        return ConfigError(f'custom_hooks.EarlyStoppingHook.monitor: '
                           f'{nearest(hook.monitor, metrics)}')
    if not isinstance(error, _HOOK_REFUSALS):
        return None
    if isinstance(hook, CheckpointHook):
        if isinstance(error, KeyError) and metrics and error.args[0] not in metrics:
            return ConfigError(f'default_hooks.checkpoint.save_best: '
                               f'{nearest(error.args[0], metrics)}')
        return None
    if type(hook).__module__.startswith('mmengine.') and not isinstance(error, AssertionError):
        return None
    return ConfigError(f'custom_hooks.{type(hook).__name__}: it cannot be used here '
                       f'({known["fn_name"]}: {first_line(error)})')
