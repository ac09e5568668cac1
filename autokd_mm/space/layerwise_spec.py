"""One point of the search space with a feature branch of its own for every layer."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Mapping, Optional, Set, Tuple, Union

from autokd_mm.errors import ConfigError, nearest
from autokd_mm.space.predictions import PREDICTION_LEVELS
from autokd_mm.space.schedules import SCHEDULE_LEVELS, check_schedule
from autokd_mm.space.spec import LEFT_OUT, LEVELS, LOGITS_LEVELS, DistillerSpec
from autokd_mm.space.start import START_LEVELS, check_start
from autokd_mm.space.teachers import TEACHER_LEVELS

_RARE = (*SCHEDULE_LEVELS, *TEACHER_LEVELS, *PREDICTION_LEVELS, *START_LEVELS)
FEATURE_LEVELS = tuple(level for level in LEVELS if level not in LOGITS_LEVELS)


@dataclass(frozen=True)
class LayerwiseSpec:
    """A distiller as plain values: feature branches by layer, and one logits branch.

    Attributes:
        layers: name of each pair of layers, with its feature branch; ``transform='left_out'``
            where the pair is not compared.
        logits, logits_temperature, logits_weight, logits_schedule, prediction, prediction_weight,
            box, box_by, box_weight, quality, quality_weight, prediction_head, start, start_lr,
            logits_teacher: as in :class:`DistillerSpec`.
    """
    layers: Tuple[Tuple[str, DistillerSpec], ...]
    logits: str = 'none'
    logits_temperature: Optional[float] = None
    logits_weight: Optional[float] = None
    logits_schedule: Optional[str] = None
    prediction: Optional[str] = None
    prediction_weight: Optional[float] = None
    box: Optional[str] = None
    box_by: Optional[str] = None
    box_weight: Optional[float] = None
    quality: Optional[str] = None
    quality_weight: Optional[float] = None
    start: Optional[str] = None
    start_lr: Optional[float] = None
    logits_teacher: Optional[str] = None
    prediction_head: Optional[str] = None

    def __post_init__(self) -> None:
        rest = self.logits_branch
        for level in LOGITS_LEVELS:  # the one name that a DistillerSpec has for it
            object.__setattr__(self, level, getattr(rest, level))

    @property
    def has_feature(self) -> bool:
        return any(branch.has_feature for _, branch in self.layers)

    @property
    def has_logits(self) -> bool:
        return self.logits != 'none'

    @property
    def distils(self) -> bool:
        """There is a loss."""
        return self.has_feature or self.logits_branch.distils

    @property
    def names(self) -> Tuple[str, ...]:
        """Of the pairs of layers, in order."""
        return tuple(name for name, _ in self.layers)

    @property
    def logits_branch(self) -> DistillerSpec:
        """The logits and the start as a distiller: one of logits alone where no layer is compared.
        """
        return DistillerSpec(LEFT_OUT if self.has_feature else 'logits_only',
                             **{level: getattr(self, level) for level in LOGITS_LEVELS})

    def to_dict(self) -> Dict[str, Any]:
        """The options that are set, by level behind the name of the layer:
        ``{'feature_0/transform': 'none', ..., 'logits': 'kl', ...}``."""
        values = {f'{name}/{level}': value for name, branch in self.layers
                  for level, value in branch.to_dict().items() if level not in LOGITS_LEVELS}
        values.update((level, getattr(self, level)) for level in LOGITS_LEVELS
                      if getattr(self, level) is not None)
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> 'LayerwiseSpec':
        """Inverse of :meth:`to_dict`.

        Raises:
            ConfigError: a name is not a level of the space, a layer has no ``transform``, or there
                is no such schedule or start.
        """
        layers: Dict[str, Dict[str, Any]] = {}
        logits = {}
        for key, value in values.items():
            name, slash, level = key.rpartition('/')
            known = FEATURE_LEVELS if slash else LOGITS_LEVELS
            if level not in known:
                raise ConfigError(f'distiller option {name}{slash}{nearest(level, known)}')
            if level in SCHEDULE_LEVELS:
                check_schedule(value, f'distiller option {key}')
            if slash:
                layers.setdefault(name, {})[level] = value
            else:
                logits[level] = value
        check_start(logits.get('start'), 'distiller option start')
        for name, options in layers.items():
            if 'transform' not in options:
                raise ConfigError(f'distiller option {name}/transform is missing; {LEFT_OUT!r} '
                                  'compares nothing there')
        return cls(tuple((name, DistillerSpec(**options)) for name, options in layers.items()),
                   **logits)

    def in_words(self) -> str:
        """One line: ``feature_0: feature > l2 x1 + feature_2: channel-wise > gram_l2 x5``."""
        alike: Dict[DistillerSpec, List[str]] = {}
        for name, branch in self.layers:
            if branch.has_feature:
                alike.setdefault(branch, []).append(name)
        parts = [f'{", ".join(names)}: {branch.in_words()}' for branch, names in alike.items()]
        heads = self.logits_branch.in_words()
        if heads:
            parts.append(heads)
        return ' + '.join(parts)


Spec = Union[DistillerSpec, LayerwiseSpec]


def spec_from_dict(values: Mapping[str, Any]) -> Spec:
    """The inverse of ``to_dict`` of either kind of distiller: layers are named before a slash.

    Args:
        values: options by level, as in ``leaderboard.csv`` and ``warm_start``.

    Raises:
        ConfigError: a name is not a level of the space, or ``transform`` is missing.
    """
    if any('/' in key for key in values):
        return LayerwiseSpec.from_dict(values)
    return DistillerSpec.from_dict(dict(values))


def columns(specs: Iterable[Mapping[str, Any]]) -> Tuple[str, ...]:
    """The levels of distillers of one search, given by their ``to_dict``, as columns of a table.

    A schedule, a teacher, a prediction or a start has one only where some distiller has it: most
    searches offer none, and their tables are those from before there were any.
    """
    names: List[str] = []
    chosen: Set[str] = set()
    for values in specs:
        names += [key.split('/')[0] for key in values if '/' in key]
        chosen.update(key for key in values if key.rpartition('/')[2] in _RARE)
    levels = LEVELS
    if names:
        levels = tuple(f'{name}/{level}' for name in dict.fromkeys(names)
                       for level in FEATURE_LEVELS) + LOGITS_LEVELS
    return tuple(level for level in levels if level in chosen
                 or level.rpartition('/')[2] not in _RARE)
