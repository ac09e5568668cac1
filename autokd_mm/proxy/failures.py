"""What ends a candidate without being a fault of the program."""
from __future__ import annotations

import contextlib
import os
import traceback
from typing import Iterator

from autokd_mm.errors import CandidateFailed

# What networks and losses raise when numbers, shapes or memory do not suffice; anything else is a
# fault of the program. Out of memory is a RuntimeError on a GPU, a MemoryError from NumPy.
_FAILURES = (RuntimeError, ValueError, ArithmeticError, AssertionError, IndexError, MemoryError)


@contextlib.contextmanager
def one_line_reason() -> Iterator[None]:
    """What a candidate raises as :class:`CandidateFailed`."""
    try:
        yield
    except CandidateFailed:
        raise
    except _FAILURES as error:
        reason = (str(error).strip() or _place(error)).splitlines()[0][:300]
        raise CandidateFailed(f'{type(error).__name__}: {reason}') from None


def _place(error: Exception) -> str:
    """Of an assertion that says nothing."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f'no message ({os.path.basename(frame.filename)}:{frame.lineno})'
