"""A network that cannot take the images it is given, as one line.

Whether the parts of a network fit each other, and its images, shows in its first pass: a head for
another number of channels, a backbone of which nobody has said which stages it gives, a
preprocessor for three colours in front of a network of one. Where the images of a loop go through
networks of other packages, and nothing of ours computes, it is the config that is at fault.
"""
from __future__ import annotations

import os
from types import FrameType
from typing import List, Optional, Tuple

from mmengine.model import BaseModel
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, TestLoop, ValLoop

from autokd_mm.engine.tracebacks import first_line, frames_of, of_a_device, ours
from autokd_mm.errors import ConfigError

_REFUSALS = (AssertionError, IndexError, KeyError, RuntimeError, TypeError, ValueError)
_STEPS = {step.__code__: loader for step, loader in (
    (EpochBasedTrainLoop.run_iter, 'train_dataloader'), (ValLoop.run_iter, 'val_dataloader'),
    (IterBasedTrainLoop.run_iter, 'train_dataloader'), (TestLoop.run_iter, 'test_dataloader'))}
# Of ours what hands images on to the networks, and the networks themselves.
_HANDS_ON = tuple(os.path.join('autokd_mm', *parts) + os.sep for parts in (
    ('models', 'algorithms'), ('models', 'backbones'), ('engine', 'runner')))
_NETWORKS = os.path.join('models', 'backbones') + os.sep
_LISTENS = os.path.join('models', 'distillers', 'listening.py')


def refused_network(error: BaseException) -> Optional[ConfigError]:
    """The mistake in a network on which a step of a loop has ended; ``None``: another."""
    if not isinstance(error, _REFUSALS) or of_a_device(error):
        return None
    frames = frames_of(error)
    loader, below = _step(frames)
    if not below or any(ours(frame) and not _hands_on(frame) for frame in below) or (
            ours(below[-1]) and _NETWORKS not in os.path.abspath(below[-1].f_code.co_filename)):
        return None
    networks = [frame.f_locals['self'] for frame in below
                if isinstance(frame.f_locals.get('self'), BaseModel)]
    if not networks:
        return None
    algorithm = networks[0] if 'architecture' in networks[0]._modules else None
    inner = next((one for one in networks if one is not algorithm), networks[0])
    key = 'model'
    if algorithm is not None:
        key += '.teacher' if inner is getattr(algorithm, 'teacher', None) else '.architecture'
    return ConfigError(f'{key} ({type(inner).__name__}): it cannot take the images of {loader}: '
                       f'{first_line(error)}')


def _step(frames: List[FrameType]) -> Tuple[str, List[FrameType]]:
    """Whose batch it was, and the frames below the loop's step."""
    for at, frame in enumerate(frames):
        if frame.f_code in _STEPS:
            return _STEPS[frame.f_code], frames[at + 1:]
    return '', []


def _hands_on(frame: FrameType) -> bool:
    file = os.path.abspath(frame.f_code.co_filename)
    return any(part in file for part in _HANDS_ON) or file.endswith(_LISTENS) \
        or file.endswith(os.path.join('distillers', 'early_stop.py'))
