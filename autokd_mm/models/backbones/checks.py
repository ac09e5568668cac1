"""What the backbones' arguments have in common."""
from typing import Any, Sequence, Tuple

from autokd_mm.errors import ConfigError


def check_channels(network: str, **numbers: Any) -> None:
    """Each of ``numbers`` is a positive integer, or a ConfigError names it."""
    for key, value in numbers.items():
        if not isinstance(value, int) or value < 1:
            raise ConfigError(f'{network} {key}: must be a positive integer, got {value!r}')


def check_out_indices(network: str, out_indices: Sequence[int], stages: int) -> Tuple[int, ...]:
    """``out_indices`` as a tuple; a ConfigError unless they are some of 0 ... stages - 1."""
    if not out_indices or any(index not in range(stages) for index in out_indices):
        raise ConfigError(f'{network} out_indices: must be some of '
                          f'{", ".join(map(str, range(stages)))}, got {tuple(out_indices)}')
    return tuple(out_indices)
