"""What ends a candidate without being a fault of the program."""
from __future__ import annotations

import contextlib
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
        reason = (str(error).strip() or 'no message').splitlines()[0][:300]
        raise CandidateFailed(f'{type(error).__name__}: {reason}') from None
