"""The default options of every level (docs/search_space.md gives the source of each)."""
from __future__ import annotations

import math
from typing import Any, Dict, Mapping, Sequence, Tuple

from autokd_mm.errors import ConfigError, nearest
from autokd_mm.space import predictions
from autokd_mm.space.schedules import CONSTANT, SCHEDULE_LEVELS, SCHEDULES
from autokd_mm.space.start import STARTS
from autokd_mm.space.teachers import ALL, TEACHER_LEVELS, as_named

# Raised when an option comes to mean something else: what earlier searches say then counts no more.
SPACE_VERSION = 1

DEFAULT_OPTIONS: Dict[str, Tuple[Any, ...]] = dict(
    transform=('logits_only', 'none', 'spatial_attention', 'channel_attention', 'attention_mask',
               'random_mask', 'teacher_attention_mask'),
    mask_ratio=(0.5, 0.65, 0.75),
    feature_teacher=(ALL, ),  # and each alone, where there are several
    connector=('identity', 'conv1x1', 'conv1x1_bn', 'conv3x3'),
    region=('all', 'foreground_background', 'instances'),
    background_weight=(0.5, ),
    intra=('none', 'multi_scale', 'local'),
    patch_grid=(2, 4),
    inter=('none', 'sample', 'channel'),
    distance=('l2', 'cosine', 'pearson', 'kl', 'gram_l2', 'rkd_distance', 'rkd_angle',
              'correlation', 'local_correlation'),
    temperature=(1, 4, 8, 16),
    feature_weight=(1, 5, 25, 50),
    feature_schedule=(CONSTANT, ),
    logits=('none', 'kl', 'pearson_inter', 'pearson_intra', 'pearson_both'),
    logits_teacher=(ALL, ),
    logits_temperature=(1, 4, 8, 16),
    logits_weight=(0.1, 0.5, 1, 5),
    logits_schedule=(CONSTANT, ),
    **predictions.OPTIONS,
    start=STARTS,
    start_lr=(1, 0.1, 0),
)

# Of levels that offer more where a config asks for it.
_KNOWN: Dict[str, Tuple[Any, ...]] = {predictions.HEAD_LEVEL: predictions.HEADS,
                                      **dict.fromkeys(SCHEDULE_LEVELS, SCHEDULES)}

# The relation options that docs/search_space.md calls extras: without them and with one connector
# the space is the one of the supplement.
RELATION_DISTANCES = ('rkd_distance', 'rkd_angle', 'correlation', 'local_correlation')

# What a task with boxes has and others have not: levels that they are not asked, and options.
BOX_LEVELS = ('region', 'background_weight')
BOX_TRANSFORMS = ('teacher_attention_mask', )

# Levels whose options are numbers a user may choose freely; the others name an operation.
NUMERIC_LEVELS = ('mask_ratio', 'background_weight', 'patch_grid', 'temperature',
                  'feature_weight', 'logits_temperature', 'logits_weight', *predictions.NUMBERS,
                  'start_lr')


def checked_options(options: Mapping[str, Sequence[Any]]) -> Dict[str, Tuple[Any, ...]]:
    """The option lists a user gave, level by level.

    Raises:
        ConfigError: an unknown level or option, an empty or repeating list, a number that its
            operation cannot use.
    """
    if not isinstance(options, Mapping):
        raise ConfigError(f'space must be a dict like dict(temperature=[1, 4]), got {options!r}')
    return {level: _checked_level(level, choices) for level, choices in options.items()}


def _checked_level(level: str, choices: Sequence[Any]) -> Tuple[Any, ...]:
    if level not in DEFAULT_OPTIONS:
        raise ConfigError(f'space: level {nearest(level, DEFAULT_OPTIONS)}')
    if isinstance(choices, (str, bytes)) or not isinstance(choices, Sequence):
        choices = (choices, )
    values = tuple(as_named(value) if level in TEACHER_LEVELS else value for value in choices)
    if not values:
        raise ConfigError(f'space.{level} is empty; remove it or name at least one option')
    known = _KNOWN.get(level, DEFAULT_OPTIONS[level])
    for value in values:
        if level in NUMERIC_LEVELS:
            _check_number(level, value)
        elif level in TEACHER_LEVELS:
            if not isinstance(value, str):
                raise ConfigError(f'space.{level}: {value!r} is no teacher; name one by its '
                                  f"number, or '{ALL}'")
            # Which there are the space knows.
        elif not isinstance(value, str) or value not in known:
            raise ConfigError(f'space.{level}: {nearest(value, known)}')
    if len(set(values)) < len(values):
        raise ConfigError(f'space.{level} repeats an option: {list(values)}')
    return values


def _check_number(level: str, value: Any) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool) \
        and math.isfinite(value)
    if level == 'mask_ratio':
        wanted, fits = 'a share between 0 and 1', number and 0 < value < 1
    elif level == 'patch_grid':
        wanted, fits = 'a whole number of at least 2', number and isinstance(value, int) \
            and value >= 2
    elif level in ('background_weight', 'start_lr'):
        wanted, fits = 'a number of at least 0', number and value >= 0
    else:
        wanted, fits = 'a number above 0', number and value > 0
    if not fits:
        near = min(DEFAULT_OPTIONS[level], key=lambda option: abs(option - value)) \
            if number else DEFAULT_OPTIONS[level][0]
        raise ConfigError(f'space.{level}: {value!r} is not {wanted}; did you mean {near}?')
