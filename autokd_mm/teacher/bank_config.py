"""Which trainings can read their teacher from a bank, and how a config asks for it."""
from __future__ import annotations

from typing import List

from mmengine.config import Config

from autokd_mm.bank.records import read_made_from
from autokd_mm.errors import ConfigError
from autokd_mm.pairs.forms import kind_of

# Scopes whose images differ in size.
_VARIABLE_SIZES = ('mmdet', 'mmdet3d', 'mmseg', 'mmpose', 'mmocr')


def refuse_unfit(config: Config) -> None:
    """Raises:
        ConfigError: no bank can be made for this config.
    """
    model = config.get('model') or {}
    if kind_of(model) != 'FrozenTeacherDistill':
        raise ConfigError(f'model.type: {model.get("type")} has no teacher that a bank could stand '
                          'for; it must be mmrazor.FrozenTeacherDistill')
    for name in ('architecture', 'teacher'):
        own = model.get(name) or {}
        scope = (str(own.get('type') or '').rpartition('.')[0]
                 or own.get('_scope_') or config.get('default_scope'))
        if scope in _VARIABLE_SIZES:
            raise ConfigError(f'model.{name}: there is no bank for networks of {scope}, whose '
                              'images differ in size; train with the teacher itself')
    if 'train_dataloader' not in config:
        raise ConfigError('train_dataloader is missing: a bank is made from training images')
    loader = config.train_dataloader
    if loader.get('batch_sampler'):
        raise ConfigError('train_dataloader.batch_sampler: it cannot be used with a bank')
    sampler = str((loader.get('sampler') or {}).get('type')).split('.')[-1]
    if sampler != 'DefaultSampler' or 'SeededViews' in str(loader.dataset.get('type')):
        raise ConfigError(f'train_dataloader.sampler: {sampler} cannot take views in turn; a bank '
                          'is set up for a plain data set with DefaultSampler')


def recorded(config: Config) -> List[str]:
    """Names of the teacher's modules that the distiller of a config records."""
    recorders = (config.model.get('distiller') or {}).get('teacher_recorders') or {}
    for name, recorder in recorders.items():
        kind = recorder.get('type')  # a class, where the config is in the new style
        word = getattr(kind, '__name__', str(kind)).split('.')[-1]
        if word not in ('ModuleOutputs', 'ModuleOutputsRecorder'):
            raise ConfigError(f'model.distiller.teacher_recorders.{name}: a bank holds what '
                              f'modules return, and {word} is something else; train without a bank')
    return [recorder['source'] for recorder in recorders.values()]


def train_from(config: Config, path: str) -> None:
    """Let a training's config read the teacher from the bank at ``path``.

    Raises:
        ConfigError: there is no bank, or the config cannot use one.
    """
    refuse_unfit(config)
    data = read_made_from(path, '--teacher-bank')['data']
    loader = config.train_dataloader
    arguments = {name: loader.sampler[name] for name in ('shuffle', 'seed', 'round_up')
                 if name in loader.sampler}
    loader.sampler = dict(type='mmrazor.ViewSampler', **arguments)
    loader.dataset = dict(type='mmrazor.SeededViews', dataset=loader.dataset,
                          views=data['views'], seed=data['seed'], bank=path)
    config.model.bank = dict(path=path)
    config.custom_hooks = [*(config.get('custom_hooks') or []),
                           dict(type='mmrazor.ViewReportHook')]
