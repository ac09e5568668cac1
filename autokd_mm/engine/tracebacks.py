"""Reading a traceback: the frames an exception has come through, outermost first."""
from __future__ import annotations

import os
from types import FrameType
from typing import List

import torch

# Told by the device, often for something else than what is running.
_OF_A_DEVICE = ('CUDA', 'CUBLAS', 'cuDNN', 'NCCL')
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def frames_of(error: BaseException) -> List[FrameType]:
    frames, step = [], error.__traceback__
    while step is not None:
        frames.append(step.tb_frame)
        step = step.tb_next
    return frames


def ours(frame: FrameType) -> bool:
    """Whether the frame runs a file of this package."""
    return os.path.abspath(frame.f_code.co_filename).startswith(_PACKAGE)


def named_in(text: str) -> bool:
    """Whether a traceback in words has a file of this package."""
    return f'File "{_PACKAGE}' in text


def of_a_device(error: BaseException) -> bool:
    """Whether the device has told of it, or has no memory left: no place in the config is at fault.
    """
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(
        word in str(error) for word in _OF_A_DEVICE)


def first_line(error: BaseException) -> str:
    """Name and text of an exception in one short line; a KeyError's text is only the key."""
    text = str(error).strip()
    if not text:
        return type(error).__name__
    line = text.splitlines()[0][:300]
    return f'{type(error).__name__}: {line}' if isinstance(error, KeyError) else line
