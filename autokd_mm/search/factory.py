"""Samplers from a config: ``sampler=dict(type='MCTSSampler', exploration=0.5)``.

Ours, or any of Optuna's by its class name, so that a peer is a one-word change in the config.
"""
import inspect
from importlib.util import find_spec
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Type

import optuna
from optuna.samplers import BaseSampler

from autokd_mm.errors import nearest
from autokd_mm.search.prior import Prior
from autokd_mm.search.sampler import MCTSSampler

# Optuna imports these only when the sampler is first used, in the middle of a search.
_NEEDED = {'CmaEsSampler': 'cmaes', 'GPSampler': 'torch', 'QMCSampler': 'scipy'}


def sampler_types() -> Dict[str, Type[BaseSampler]]:
    """Every sampler that a config may name."""
    found: Dict[str, Type[BaseSampler]] = {'MCTSSampler': MCTSSampler}
    for name in optuna.samplers.__all__:
        value = getattr(optuna.samplers, name)
        if (inspect.isclass(value) and issubclass(value, BaseSampler)
                and not inspect.isabstract(value)):
            found[name] = value
    return found


def build_sampler(cfg: Mapping[str, Any], seed: Optional[int] = None, key: str = 'sampler',
                  shared_name: Optional[Callable[[str], str]] = None,
                  prior: Optional[Prior] = None, keys: Sequence[str] = ()) -> BaseSampler:
    """Build a sampler from a config.

    Args:
        cfg: ``type`` and the arguments of that class. A sampler that takes another one
            (``independent_sampler``, ``base_sampler``) takes it as such a dict too.
        seed: given to samplers that accept one, unless ``cfg`` has its own.
        key: where ``cfg`` stands in the config, for error messages.
        shared_name: of the space that is searched, for ours; as ``seed``.
        prior: likewise.
        keys: that the caller has taken out of ``cfg`` for MCTSSampler, for error messages.

    Raises:
        ValueError: one line that names the key and the nearest valid value.
    """
    if not isinstance(cfg, Mapping):
        raise ValueError(f"{key} must be a dict like dict(type='MCTSSampler'), got {cfg!r}")
    args = dict(cfg)
    if 'type' not in args:
        raise ValueError(f"{key}.type is missing, e.g. {key}=dict(type='MCTSSampler')")
    name = args.pop('type')
    name = getattr(name, '__name__', str(name))  # a class is as good as its name
    types = sampler_types()
    if name not in types:
        raise ValueError(f'{key}.type: {nearest(name, types, shown=len(types))}')
    if name in _NEEDED and find_spec(_NEEDED[name]) is None:
        raise ValueError(f'{key}.type: {name} needs a package that is not installed: '
                         f'pip install {_NEEDED[name]}')
    parameters = inspect.signature(types[name]).parameters
    for arg, value in args.items():
        if arg not in parameters:
            valid = _valid(types[name], list(parameters), keys)
            raise ValueError(f'{key}.{arg}: {nearest(arg, valid, shown=len(valid))}')
        if arg.endswith('sampler') and isinstance(value, Mapping):
            args[arg] = build_sampler(value, seed, f'{key}.{arg}', shared_name,
                                      prior, keys)
    for arg, parameter in parameters.items():
        if parameter.default is parameter.empty and arg not in args:
            raise ValueError(f'{key}.{arg} is missing: {name} needs it')
    for arg, value in dict(seed=seed, shared_name=shared_name, prior=prior).items():
        if arg in parameters:
            args.setdefault(arg, value)
    try:
        return types[name](**args)
    except (TypeError, ValueError) as error:
        # Optuna writes `population_size` must be ..., we write exploration must be ...
        reason = ' '.join(str(error).replace('`', '').split()) or type(error).__name__
        named = reason.split(' ', 1)[0] in parameters
        raise ValueError(f'{key}.{reason}' if named else f'{key} ({name}): {reason}') from None


def _valid(kind: Type[BaseSampler], parameters: List[str], keys: Sequence[str]) -> List[str]:
    """What may stand in the config of a sampler; with ``keys`` in that of a search, which has no
    way to write a prior or a function."""
    if kind is not MCTSSampler or not keys:
        return parameters
    return [one for one in parameters if one not in ('prior', 'shared_name')] + list(keys)
