"""How a candidate's training on the proxy differs from the full training that it stands for."""
from __future__ import annotations

from typing import Any, Iterator, List, Mapping

from torch import nn

from autokd_mm.datasets.mixing import in_words, mixing
from autokd_mm.optim.config import name_of
from autokd_mm.proxy.settings import ProxySettings

# Hooks that change what is trained, and how; of others the name says enough.
_EFFECTS = {
    'EMAHook': 'the weights are not averaged',
    'SparseTrainingHook': 'all weights are trained',
    'YOLOXModeSwitchHook': 'images and losses stay as at the beginning',
    'PipelineSwitchHook': 'the pipeline stays the first one',
    'SwitchRecipeHook': 'images and losses stay as at the beginning',
    'PreciseBNHook': 'running statistics are as after the steps'}
_USUAL_HOOKS = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint',
                'visualization')
_USUAL_SAMPLERS = ('DefaultSampler', 'InfiniteSampler', 'None')


def differences(config: Any, proxy: ProxySettings, full_training: Mapping[str, Any],
                student: nn.Module) -> List[str]:
    """One line for each thing that a full training does and a search leaves out or does otherwise.

    What is the same is not here: the optimiser with its parameter groups, clipping, accumulation
    of gradients and autocast, the curve of the learning rate, frozen stages and normalisations of
    the network, ``load_from`` and ``init_cfg``.

    Args:
        config: of the search.
        full_training: the ``train_cfg`` of the full training.
        student: as built.
    """
    return [*_of_length(proxy, full_training), *_of_images(config, proxy, student),
            *_of_student(proxy), *_of_steps(config, proxy), *_of_hooks(config)]


def _of_length(proxy: ProxySettings, full_training: Mapping[str, Any]) -> Iterator[str]:
    length = (f'{proxy.iterations} steps' if proxy.iterations else
              f'{proxy.epochs} epochs over proxy.images={proxy.images}')
    epochs, steps = full_training.get('max_epochs'), full_training.get('max_iters')
    full = f'{epochs} epochs over all' if epochs else f'{steps} steps' if steps else 'more'
    yield f'length: {length}; the full training has {full}'


def _of_images(config: Any, proxy: ProxySettings, student: nn.Module) -> Iterator[str]:
    yield (f'images: {proxy.views} augmented view{"s" if proxy.views > 1 else ""} of each '
           '(proxy.views), the full training draws new ones')
    mixed = mixing(config, student)
    if mixed:
        yield f'{mixed[0]}: left out ({in_words(mixed[1])}), the full training has it'
    if proxy.input_size:
        yield f'proxy.input_size={proxy.input_size}: the full training has the size of the pipeline'
    loader = config.train_dataloader
    if proxy.batch_size != loader.get('batch_size'):
        yield (f'proxy.batch_size={proxy.batch_size}: the full training has '
               f'{loader.get("batch_size")} for each GPU')
    for key in ('sampler', 'batch_sampler'):
        kind = name_of((loader.get(key) or {}).get('type'))
        if kind not in _USUAL_SAMPLERS and kind != 'AspectRatioBatchSampler':
            yield f'train_dataloader.{key}={kind}: candidates see every image equally often'


def _of_student(proxy: ProxySettings) -> Iterator[str]:
    if proxy.frozen:
        yield f'proxy.frozen={list(proxy.frozen)}: the full training trains them'
    if proxy.sparse:
        yield f'proxy.sparse={proxy.sparse}: the full training trains all weights'
    if proxy.precision != 'float32':
        yield f'proxy.precision={proxy.precision}: the full training computes as optim_wrapper says'
    if proxy.dtype != 'float32':
        yield f'proxy.dtype={proxy.dtype}: what the teacher says is rounded'


def _of_steps(config: Any, proxy: ProxySettings) -> Iterator[str]:
    wrapper = config.optim_wrapper
    if 'Amp' in name_of(wrapper.get('type')) or 'Apex' in name_of(wrapper.get('type')):
        yield (f'optim_wrapper.type={name_of(wrapper.type)}: candidates are trained so, too; their '
               'teacher has spoken in float32')
    if (wrapper.get('accumulative_counts') or 1) > 1:
        yield (f'optim_wrapper.accumulative_counts={wrapper.accumulative_counts}: candidates '
               'accumulate so, too, and the short proxy has few updates')
    if (config.get('auto_scale_lr') or {}).get('enable'):
        yield 'auto_scale_lr: the full training scales the learning rate, candidates have it as is'
    schedulers = config.get('param_scheduler') or []
    for one in [schedulers] if isinstance(schedulers, dict) else schedulers:
        if 'Momentum' in name_of(one.get('type')):
            yield f'param_scheduler {name_of(one["type"])}: candidates have a constant momentum'


def _of_hooks(config: Any) -> Iterator[str]:
    hooks = full_hooks(config)
    if hooks:
        effects = '; '.join(dict.fromkeys(_EFFECTS[name] for name in hooks if name in _EFFECTS))
        yield (f'custom_hooks: {", ".join(hooks)} do not run' + (effects and f' ({effects})'))


def full_hooks(config: Any) -> List[str]:
    """Class names of a config's hooks that no search runs, each once: all but MMEngine's usual
    ones."""
    found = list(config.get('custom_hooks') or ())
    found += [hook for key, hook in (config.get('default_hooks') or {}).items()
              if hook and key not in _USUAL_HOOKS]
    return list(dict.fromkeys(
        name_of(hook.get('type')) if isinstance(hook, dict) else type(hook).__name__
        for hook in found))
