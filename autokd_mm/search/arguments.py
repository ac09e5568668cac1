"""What may be given to the sampler."""
from __future__ import annotations

import math
import numbers
from typing import Any

from optuna.samplers import BaseSampler

from autokd_mm.errors import nearest
from autokd_mm.search.prior import Prior

CHOICES = dict(policy=('thompson', 'uct'), when_used_up=('repeat', 'stop'))

_LEAST_SHRINKAGE = 1e-8  # with less, effects of options that always go together are anything


def check(**args: Any) -> None:
    """Look at the arguments of :class:`~autokd_mm.search.MCTSSampler`.

    Raises:
        ValueError: one is out of range.
    """
    if args['seed'] is not None and not _is_integer(args['seed']):
        raise ValueError(f'seed must be an integer or None, got {args["seed"]!r}')
    for name, choices in CHOICES.items():
        if args[name] not in choices:
            raise ValueError(f'{name}: {nearest(args[name], choices)}')
    if not _is_integer(args['n_warmup_trials']) or args['n_warmup_trials'] < 0:
        raise ValueError('n_warmup_trials must be an integer >= 0, '
                         f'got {args["n_warmup_trials"]!r}')
    shrinkage = args['shrinkage']
    if shrinkage is not None and not (_is_number(shrinkage)
                                      and _LEAST_SHRINKAGE <= shrinkage < math.inf):
        raise ValueError(f'shrinkage must be a finite number of at least {_LEAST_SHRINKAGE:g}, or '
                         f'None, got {shrinkage!r}')
    for name in ('draw', 'exploration', 'virtual_loss'):
        if not _is_number(args[name]) or not 0 <= args[name] < math.inf:
            raise ValueError(f'{name} must be a finite number >= 0, got {args[name]!r}')
    if not _is_number(args['gp_share']) or not 0 <= args['gp_share'] <= 1:
        raise ValueError(f'gp_share must be a number from 0 to 1, got {args["gp_share"]!r}')
    stale_after = args['stale_after']
    if stale_after is not None and not (_is_number(stale_after) and stale_after > 0):
        raise ValueError(f'stale_after must be seconds > 0 or None, got {stale_after!r}')
    if args['shared_name'] is not None and not callable(args['shared_name']):
        raise ValueError('shared_name must be a function from the name of a parameter to a name, '
                         f'got {args["shared_name"]!r}')
    for name in ('pairs', 'look_ahead'):
        if not isinstance(args[name], bool):
            raise ValueError(f'{name} must be True or False, got {args[name]!r}')
    _check_objects(args['independent_sampler'], args['prior'])


def _check_objects(independent_sampler: Any, prior: Any) -> None:
    if independent_sampler is not None and not isinstance(independent_sampler, BaseSampler):
        raise ValueError('independent_sampler must be an Optuna sampler, '
                         f'got {independent_sampler!r}')
    if prior is not None and not isinstance(prior, Prior):
        raise ValueError(f'prior must be a Prior or None, got {prior!r}')


def _is_integer(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
