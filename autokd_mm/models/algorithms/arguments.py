"""What an algorithm is given: names that one of its classes has, and the networks it cannot do
without."""
from __future__ import annotations

import inspect
from typing import Any, Mapping

from autokd_mm.errors import ConfigError, nearest

_NEEDED = ('architecture', 'teacher', 'distiller')


def check_arguments(algorithm: type, arguments: Mapping[str, Any]) -> None:
    """
    Raises:
        ConfigError: a name that no ``__init__`` of the algorithm's classes has, with the nearest;
            a network or a distiller that is ``None``.
    """
    known = [name for base in algorithm.__mro__ if '__init__' in vars(base)
             for name, one in inspect.signature(vars(base)['__init__']).parameters.items()
             if name != 'self' and one.kind == one.POSITIONAL_OR_KEYWORD]
    for name, given in arguments.items():
        if name not in known:
            raise ConfigError(f'model: {nearest(name, dict.fromkeys(known))}')
        if given is None and name in _NEEDED:
            raise ConfigError(f'model.{name} is missing: a distillation needs it')
