"""Building an optimiser so that a mistake in its config is one line."""
from __future__ import annotations

import contextlib
from typing import Any, Iterator, List

from torch import nn

from autokd_mm.errors import ConfigError, UserError
from autokd_mm.optim.config import name_of

# What constructors and optimisers raise where arguments or the network do not suit them.
_REFUSALS = (AssertionError, AttributeError, ImportError, KeyError, NotImplementedError, TypeError,
             ValueError)


@contextlib.contextmanager
def refusing(optim_wrapper: Any, network: str) -> Iterator[None]:
    """In which an optimiser is built.

    Args:
        optim_wrapper: its config.
        network: for which, in words.

    Raises:
        ConfigError: it cannot be built; in one line, with the key.
        KeyError, TypeError: MMEngine knows no such type or argument.
    """
    try:
        yield
    except UserError:
        raise
    except _REFUSALS as error:
        constructor = optim_wrapper.get('constructor')
        if constructor is None and isinstance(error, (KeyError, TypeError)):
            raise  # a type or an argument that is unknown: the tools name its own key
        key = 'optim_wrapper' if constructor is None else 'optim_wrapper.constructor'
        what = '' if constructor is None else f'{name_of(constructor)} '
        reason = ' '.join((str(error) or 'no reason given').split())[:300]
        raise ConfigError(f'{key}: {what}cannot be used for {network} '
                          f'({type(error).__name__}: {reason})') from error


def unmatched(model: nn.Module, optim_wrapper: Any) -> List[str]:
    """Keys of ``paramwise_cfg.custom_keys`` that are in no parameter's name, and so do nothing.

    Args:
        model: what is trained, with the names of the full training.
    """
    keys = (optim_wrapper.get('paramwise_cfg') or {}).get('custom_keys') or {}
    names = [name for name, _ in model.named_parameters()]
    return [key for key in keys if not any(key in name for name in names)]
