"""The factor of a distill loss."""
from __future__ import annotations

import math

from autokd_mm.errors import ConfigError


def checked_weight(loss: str, value: float) -> float:
    """``loss_weight`` of a loss.

    Raises:
        ConfigError: it is no number.
    """
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ConfigError(f'{loss}.loss_weight must be a number, got {value!r}')
    return float(value)
