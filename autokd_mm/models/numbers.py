"""Numbers that a config gives a loss or one of its parts."""
from __future__ import annotations

import math
from typing import Any

from autokd_mm.errors import ConfigError


def is_number(value: Any) -> bool:
    """A finite one; ``True`` is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def checked_weight(loss: str, value: Any) -> float:
    """``loss_weight`` of a loss.

    Raises:
        ConfigError: it is no number.
    """
    if not is_number(value):
        raise ConfigError(f'{loss}.loss_weight must be a number, got {value!r}')
    return float(value)


def above_zero(key: str, value: Any) -> float:
    """A temperature.

    Raises:
        ConfigError: it is no number, or 0 or less.
    """
    if not is_number(value) or value <= 0:
        raise ConfigError(f'{key} must be above 0, got {value!r}')
    return float(value)


def checked_count(key: str, value: Any, least: int = 1) -> int:
    """Such as of classes.

    Raises:
        ConfigError: it is no whole number, or less than ``least``.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f'{key} must be a whole number of at least {least}, got {value!r}')
    return value
