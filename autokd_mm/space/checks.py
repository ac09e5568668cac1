"""Mistakes in a search config that no part of the engine would notice on its own."""
from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any, Callable, Dict, Mapping, Optional

from autokd_mm.errors import ConfigError, nearest


def refuse_unknown(arguments: Mapping[str, Any], function: Callable[..., Any],
                   key: str = 'train_cfg') -> None:
    """Refuse keys that a loop does not have.

    Args:
        key: under which they stand.

    Raises:
        ConfigError: names the nearest that it has.
    """
    valid = [name for name, parameter in inspect.signature(function).parameters.items()
             if parameter.kind == parameter.POSITIONAL_OR_KEYWORD
             and name not in ('self', 'runner', 'dataloader')]
    for name in arguments:
        if name not in valid:
            raise ConfigError(f'{key}: {nearest(name, valid, shown=len(valid))}')


def read_settings(key: str, config: Any, settings: Any) -> Optional[Dict[str, Any]]:
    """What a config gives for a part of the search that can be switched off.

    Args:
        key: of ``train_cfg``.
        config: ``True`` (all defaults), a dict, or ``None`` or ``False`` (off).
        settings: the dataclass whose fields are valid.

    Returns:
        The values given, ``None`` where it is off.

    Raises:
        ConfigError: something else, or an unknown key.
    """
    if config is None or config is False:
        return None
    if config is True:
        return {}
    names = [field.name for field in fields(settings)]
    if not isinstance(config, Mapping):
        raise ConfigError(f'{key}={config!r}: must be a dict with {", ".join(names)}, or None to '
                          'switch it off')
    for name in config:
        if name not in names:
            raise ConfigError(f'{key}: {nearest(name, names)}')
    return dict(config)


def whole_number(key: str, value: Any, least: int) -> None:
    """
    Raises:
        ConfigError: ``value`` is not a whole number from ``least`` on.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f'{key}={value!r}: must be a whole number, at least {least}')
