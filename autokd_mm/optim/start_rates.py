"""Parts of the student that learn at another rate, as plain ``paramwise_cfg.custom_keys``."""
from __future__ import annotations

import copy
from typing import Any, Dict, List, Optional, Sequence

from mmengine.optim import build_optim_wrapper
from torch import nn

from autokd_mm.optim.config import name_of, usable
from autokd_mm.optim.of_student import PREFIX

# In a key's options: which are of a start, and with which factor. Optimisers keep it and do nothing
# with it.
MARK = 'start_lr'
# A least rate of less than this share of the rate hardly shows in a part that learns at a tenth.
_LITTLE = 0.01
_PLAIN = (None, 'DefaultOptimWrapperConstructor')


def rates_fault(optim_wrapper: Any, param_scheduler: Any = None) -> Optional[str]:
    """Why an optimiser cannot give a part of the network another rate; ``None`` if it can.

    Args:
        param_scheduler: of the config: one that sets the same rates for all parts, or draws them
            all to the same least one, takes them away.
    """
    constructor = optim_wrapper.get('constructor')
    if (None if constructor is None else name_of(constructor)) not in _PLAIN:
        return f'optim_wrapper.constructor={name_of(constructor)} sets the learning rates itself'
    if (optim_wrapper.get('optimizer') or {}).get('lr') is None:
        return 'optim_wrapper.optimizer.lr is not set'
    given = [param_scheduler] if isinstance(param_scheduler, dict) else param_scheduler or ()
    for scheduler in given:
        if name_of(scheduler.get('type')).startswith('OneCycle'):
            return f'param_scheduler: {name_of(scheduler["type"])} gives all parts one rate'
        least, rate = scheduler.get('eta_min'), optim_wrapper['optimizer']['lr']
        if isinstance(least, (int, float)) and least > _LITTLE * rate:
            return (f'param_scheduler: eta_min={least:g} of {name_of(scheduler["type"])} is the '
                    'least rate of all parts alike')
    return None


def with_start_rate(optim_wrapper: Any, model: nn.Module, modules: Sequence[str],
                    rate: float) -> Any:
    """A copy of a config's ``optim_wrapper`` under which modules of the student learn at ``rate``
    times the rate that they would have.

    What the config itself gives their parameters, by name or by kind, is multiplied in: MMEngine
    takes the longest key alone, and no other rule beside it.

    Args:
        model: what is trained, with the student as ``architecture``.
        modules: names in the student.
    """
    result = copy.deepcopy(optim_wrapper)
    paramwise = dict(result.get('paramwise_cfg') or {})
    given: Dict[str, Any] = dict(paramwise.get('custom_keys') or {})
    prefixes = tuple(f'{PREFIX}{name}.' for name in modules)
    keys = {prefix: {'lr_mult': rate, MARK: rate} for prefix in prefixes}
    if paramwise:
        keys.update(_of_parameters(optim_wrapper, model, given, prefixes, rate))
    if _shares(model):  # a parameter would be in two groups
        paramwise['bypass_duplicate'] = True
    paramwise['custom_keys'] = {**given, **keys}
    result['paramwise_cfg'] = paramwise
    return result


def without_start_rate(optim_wrapper: Any) -> None:
    """Let all parts of a config of :func:`with_start_rate` learn at their own rate again, in place.
    """
    paramwise = optim_wrapper.get('paramwise_cfg') or {}
    keys = dict(paramwise.get('custom_keys') or {})
    for key in [key for key, options in keys.items() if MARK in options]:
        options = dict(keys.pop(key))
        if not key.endswith('.'):  # a parameter's, with what was its own
            options['lr_mult'] /= options.pop(MARK)
            keys[key] = options
    if 'custom_keys' in paramwise:
        paramwise['custom_keys'] = keys


def start_rate_in(optim_wrapper: Any) -> float:
    """The rate of :func:`with_start_rate` in a config; 1 where there is none."""
    keys = ((optim_wrapper or {}).get('paramwise_cfg') or {}).get('custom_keys') or {}
    return next((value[MARK] for value in keys.values() if MARK in value), 1)


def _of_parameters(optim_wrapper: Any, model: nn.Module, given: Dict[str, Any],
                   prefixes: Sequence[str], rate: float) -> Dict[str, Any]:
    """Keys for parameters that have multipliers of their own: under their whole name, which is the
    longest key that can be about them."""
    optim = build_optim_wrapper(model, usable(optim_wrapper, distills=True))
    groups = {id(parameter): group for group in optim.param_groups
              for parameter in group['params']}
    base = optim_wrapper['optimizer']
    order = sorted(sorted(given), key=len, reverse=True)  # MMEngine's
    keys = {}
    for name, parameter in model.named_parameters():
        if not name.startswith(tuple(prefixes)) or id(parameter) not in groups:
            continue
        group = groups[id(parameter)]
        own = next((given[key] for key in order if key in name), None)
        options = dict(own or {}, lr_mult=group['lr'] / base['lr'] * rate)
        decay, base_decay = group.get('weight_decay'), base.get('weight_decay')
        if base_decay and decay != base_decay:
            options['decay_mult'] = decay / base_decay
        if own is not None or options != dict(lr_mult=rate):
            keys[name] = dict(options, **{MARK: rate})
    return keys


def _shares(model: nn.Module) -> bool:
    parameters: List[int] = [id(tensor) for tensor in model.state_dict(keep_vars=True).values()
                             if isinstance(tensor, nn.Parameter)]
    return len(set(parameters)) < len(parameters)
