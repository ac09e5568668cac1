"""One candidate: the settings of the proxy, its images and batches, the training, rejection.

The public names are imported when they are first asked for: every command needs
:mod:`~autokd_mm.proxy.ranks` before it reads its arguments, and nothing else of the room.
"""
from importlib import import_module
from typing import Any

_FILES = {
    'batches': ('ProxyBatches', 'training_rows'), 'building': ('CandidateBuilder', ),
    'candidate': ('Candidate', ), 'choice': ('choose', 'choose_images'),
    'data': ('held_out_dataset_config', 'read_arrays', 'read_one', 'read_views'),
    'failures': ('CandidateFailed', ), 'held_out': ('HeldOut', ), 'images': ('ProxyImages', ),
    'ranks': ('CandidateOver', 'RankLost', 'Ranks'), 'rejection': ('Rejection', ),
    'schedule': ('lr_curve', ), 'settings': ('ProxySettings', ), 'sparse': ('SparseMasks', ),
    'stepping': ('Stepper', ), 'trainer': ('Clock', 'ProxyTrainer')}

__all__ = ['Candidate', 'CandidateBuilder', 'CandidateFailed', 'CandidateOver', 'Clock', 'HeldOut',
           'ProxyBatches', 'ProxyImages', 'ProxySettings', 'ProxyTrainer', 'RankLost', 'Ranks',
           'Rejection', 'SparseMasks', 'Stepper', 'choose', 'choose_images',
           'held_out_dataset_config', 'lr_curve', 'read_arrays', 'read_one', 'read_views',
           'training_rows']


def __getattr__(name: str) -> Any:
    for file, names in _FILES.items():
        if name in names:
            return getattr(import_module(f'{__name__}.{file}'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
