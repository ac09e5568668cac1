"""Which parts of the teacher a search lets the student begin with."""
from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, Sequence, Tuple

from torch import nn

from autokd_mm.datasets.annotations import LABEL
from autokd_mm.errors import ConfigError
from autokd_mm.models.algorithms.inherited import Parts, parts_of, starts_of
from autokd_mm.optim import rates_fault
from autokd_mm.space.options import DEFAULT_OPTIONS, checked_options
from autokd_mm.space.start import OWN


def fitting_parts(student: nn.Module, teacher: nn.Module, kind: str,
                  options: Mapping[str, Sequence[Any]], say: Callable[[str], None]) -> Parts:
    """The parts that ``options`` offer, or all where they say nothing, as far as they fit.

    Args:
        teacher: its weights do not matter yet.
        kind: of the annotations, see :mod:`autokd_mm.datasets.annotations`.
        options: of the space, by level.
        say: told which modules are copied, and why others are not.

    Raises:
        ConfigError: an unknown start, or none that fits where the student's own is not offered.
    """
    wanted = _listed('start', options)
    known = starts_of(student, kind == LABEL)
    asked = [start for start in known if start in wanted]
    parts = parts_of(student, teacher, asked)
    if OWN not in wanted and not parts.fitting:
        why = '; '.join(dict.fromkeys(parts.faults.values())) or \
            f'this task has {", ".join(known)}'
        raise ConfigError(f'space.start: {list(wanted)} cannot be copied from the teacher ({why}); '
                          f"did you mean '{OWN}'?")
    for line in parts.in_words():
        say(line)
    return parts


def with_usable_rates(options: Mapping[str, Sequence[Any]], optim_wrapper: Any, parts: Parts,
                      say: Callable[[str], None],
                      param_scheduler: Any = None) -> Dict[str, Sequence[Any]]:
    """``options`` without rates for what is copied that the optimiser cannot give, or that the
    schedule of the full training would overwrite; 1 and 0 need neither.

    Raises:
        ConfigError: none is left.
    """
    result = dict(options)
    fault, rates = rates_fault(optim_wrapper, param_scheduler), _listed('start_lr', options)
    if not parts.fitting or fault is None:
        return result
    left = tuple(rate for rate in rates if rate in (0, 1))
    if not left:
        raise ConfigError(f'space.start_lr: {list(rates)} cannot be used ({fault}); did you mean '
                          '1?')
    if left != rates:
        say(f'start_lr={", ".join(str(rate) for rate in rates if rate not in left)} left out: '
            f'{fault}')
        result['start_lr'] = left
    return result


def _listed(level: str, options: Mapping[str, Sequence[Any]]) -> Tuple[Any, ...]:
    if level not in options:
        return DEFAULT_OPTIONS[level]
    return checked_options({level: options[level]})[level]
