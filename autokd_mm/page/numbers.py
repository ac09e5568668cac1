"""Numbers as a page writes them."""
from __future__ import annotations

import math
from typing import Any, Optional


def signed(value: Any, digits: int = 3) -> str:
    """``+0.264``, with a minus as wide as the plus, and 0 without either."""
    zero = value is not None and round(value, digits) == 0
    return number(0.0, f'.{digits}f') if zero else number(value, f'+.{digits}f')


def number(value: Any, form: str = '.4g') -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return '–'
    return f'{value:{form}}'.replace('-', '−')


def percent(value: Any, form: str = '.2f') -> str:
    """A share as percent."""
    return number(None if value is None else 100 * value, form)


def duration(seconds: Optional[float]) -> str:
    if seconds is None:
        return '–'
    if seconds < 60:
        return f'{seconds:.0f} s'
    if seconds < 600:
        return f'{int(seconds) // 60} min {int(seconds) % 60} s'
    minutes = round(seconds / 60)
    return f'{minutes // 60} h {minutes % 60} min' if minutes >= 60 else f'{minutes} min'


def as_told(seconds: Optional[float]) -> float:
    """The seconds that :func:`duration` tells, so that what is told adds up."""
    if seconds is None:
        return 0.0
    return round(seconds) if seconds < 60 else int(seconds) if seconds < 600 \
        else 60 * round(seconds / 60)
