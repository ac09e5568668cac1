"""One point of the search space."""
from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Dict, Optional, Tuple

from autokd_mm.space import predictions, schedules
from autokd_mm.space import start as starts
from autokd_mm.space import teachers
from autokd_mm.space.predictions import FIRST_LEVELS, HEAD_LEVEL, OWN_HEAD, PREDICTION_LEVELS
from autokd_mm.space.schedules import CONSTANT, SCHEDULE_LEVELS
from autokd_mm.space.start import OWN
from autokd_mm.space.teachers import (ALL, FEATURE_TEACHER, LOGITS_TEACHER, TEACHER_LEVELS,
                                       as_named)

LEFT_OUT = 'left_out'
NO_FEATURE = ('logits_only', LEFT_OUT)  # in the place of a global transform

# The option of a level that says the same as None: a distiller has one name, that of all spaces in
# which the level is not asked.
UNNAMED: Dict[str, str] = dict(
    dict.fromkeys(SCHEDULE_LEVELS, CONSTANT), region='all', start=OWN, prediction_head=OWN_HEAD,
    **dict.fromkeys(FIRST_LEVELS, 'none'), **dict.fromkeys(TEACHER_LEVELS, ALL))


@dataclass(frozen=True)
class DistillerSpec:
    """A distiller as plain values: one feature branch, one for what the heads say, and where the
    student starts.

    A field is ``None`` where the option has no meaning (a temperature without KL, a patch grid
    without patches); :meth:`DistillerSpace.validate` enforces that. The names of the fields are
    the names of the levels of the space and the columns of ``leaderboard.csv``.

    Attributes:
        transform: global transform; ``'logits_only'`` for a distiller with no feature branch,
            ``'left_out'`` for a layer with none (see :class:`LayerwiseSpec`).
        mask_ratio: share of the student's positions that are masked, after ``random_mask``.
        connector: student-side module that makes the shapes equal.
        region: ``foreground_background`` or ``instances`` of the ground-truth boxes; ``None`` for
            the whole map, which ``'all'`` says as well.
        background_weight: weight of all background together where a box has 1, after
            ``foreground_background``.
        intra: intra-spatial transform.
        patch_grid: patches per side, after ``local``.
        inter: inter-spatial transform, the dimension along which the distance looks.
        distance: distance between the transformed features.
        temperature: softmax temperature of a ``kl`` feature distance, in units of the feature.
        feature_weight: weight of the feature loss.
        feature_schedule: how that weight changes in the course of the training, one of
            :data:`~autokd_mm.space.schedules.SCHEDULES`; ``None`` where it does not, which
            ``'constant'`` says as well.
        logits: distance between the logits, ``'none'`` for a distiller of features only.
        logits_temperature: softmax temperature of the logits, in units of the logits.
        logits_weight: weight of the logits loss.
        logits_schedule: as ``feature_schedule``.
        prediction: distance between the class maps of dense heads; ``None`` for none, which
            ``'none'`` says as well.
        prediction_weight: weight of that loss.
        box: distance between their boxes, as ``prediction``.
        box_by: what each box counts.
        box_weight: weight of the boxes' loss.
        quality: distance between their centerness or objectness, as ``prediction``.
        quality_weight: weight of that loss.
        start: which part of the student begins as the teacher's, one of
            :data:`~autokd_mm.space.start.STARTS`; ``None`` for none, which ``'own'`` says as well.
        start_lr: factor of that part's learning rate; at 0 it is frozen.
        feature_teacher: number of the teacher whose features are compared; ``None`` for all that
            there are, which ``'all'`` says as well.
        logits_teacher: as ``feature_teacher``, of the logits.
        prediction_head: ``'cross'`` where the student's side of these losses is what the teacher's
            head makes of the features in the student's; ``None`` where its own says it, which
            ``'own'`` says as well.
    """
    transform: str
    mask_ratio: Optional[float] = None
    connector: Optional[str] = None
    region: Optional[str] = None
    background_weight: Optional[float] = None
    intra: Optional[str] = None
    patch_grid: Optional[int] = None
    inter: Optional[str] = None
    distance: Optional[str] = None
    temperature: Optional[float] = None
    feature_weight: Optional[float] = None
    feature_schedule: Optional[str] = None
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
    feature_teacher: Optional[str] = None
    logits_teacher: Optional[str] = None
    prediction_head: Optional[str] = None

    def __post_init__(self) -> None:
        for level in TEACHER_LEVELS:
            object.__setattr__(self, level, as_named(getattr(self, level)))
        for level, option in UNNAMED.items():
            if getattr(self, level) == option:
                object.__setattr__(self, level, None)
        if self.start is not None and self.start_lr is None:
            object.__setattr__(self, 'start_lr', 1)

    @property
    def has_feature(self) -> bool:
        return self.transform not in NO_FEATURE

    @property
    def has_logits(self) -> bool:
        return self.logits != 'none'

    @property
    def distils(self) -> bool:
        """There is a loss; without one, all that it takes from the teacher is its start."""
        return self.has_feature or self.has_logits or any(
            getattr(self, level) is not None for level in FIRST_LEVELS)

    @property
    def feature_branch(self) -> 'DistillerSpec':
        """The distiller without its logits and start; ``left_out`` where there is nothing else."""
        if not self.has_feature:
            return DistillerSpec(LEFT_OUT)
        nothing: Dict[str, Any] = dict(dict.fromkeys(LOGITS_LEVELS), logits='none')
        return replace(self, **nothing)

    def to_dict(self) -> Dict[str, Any]:
        """The options that are set, in the order of the levels."""
        values = asdict(self)
        return {name: values[name] for name in LEVELS if values[name] is not None}

    @classmethod
    def from_dict(cls, values: Dict[str, Any]) -> 'DistillerSpec':
        """Inverse of :meth:`to_dict`.

        Raises:
            ValueError: a name is not a level of the space, ``transform`` is missing, or there is no
                such schedule or start.
        """
        from autokd_mm.errors import ConfigError, nearest
        for name in values:
            if name not in LEVELS:
                raise ConfigError(f'distiller option {nearest(name, LEVELS)}')
            if name in SCHEDULE_LEVELS:  # other options are checked where their losses are built
                schedules.check_schedule(values[name], f'distiller option {name}')
        starts.check_start(values.get('start'), 'distiller option start')
        if 'transform' not in values:
            raise ConfigError("distiller option transform is missing; 'logits_only' distils no "
                              'feature')
        return cls(**values)

    def in_words(self) -> str:
        """One line: ``spatial attention > sample-wise > kl (T=4) x25 + logits kl (T=4) x1``."""
        parts = []
        if self.has_feature:
            steps = [self.transform.replace('_', ' ')]
            if self.mask_ratio is not None:
                steps[0] += f' {self.mask_ratio:g}'
            if self.region is not None:
                share = '' if self.background_weight is None else f' {self.background_weight:g}'
                steps.append(self.region.replace('_', '/') + share)
            if self.intra != 'none':
                grid = f' {self.patch_grid}x{self.patch_grid}' if self.patch_grid else ''
                steps.append(f'{self.intra}{grid}'.replace('_', '-'))
            if self.inter != 'none':
                steps.append(f'{self.inter}-wise')
            heat = f' (T={self.temperature:g})' if self.temperature is not None else ''
            steps.append(f'{self.distance}{heat}')
            if steps[0] == 'none':
                steps = ['feature'] + steps[1:]
            via = '' if self.connector == 'identity' else f' via {self.connector}'
            parts.append(f'{" > ".join(steps)}{via} x{self.feature_weight:g}'
                         f'{schedules.in_words(self.feature_schedule)}'
                         f'{teachers.in_words(self.feature_teacher)}')
        if self.has_logits:
            parts.append(f'logits {self.logits} (T={self.logits_temperature:g}) '
                         f'x{self.logits_weight:g}{schedules.in_words(self.logits_schedule)}'
                         f'{teachers.in_words(self.logits_teacher)}')
        parts += predictions.in_words(self)
        if self.start is not None:
            alone = ' alone' if not parts and self.transform == 'logits_only' else ''
            parts.append(starts.in_words(self.start, self.start_lr) + alone)
        return ' + '.join(parts)


def _in_order() -> Tuple[str, ...]:
    """The levels as they are asked. Fields of later ones come last, so that those who give options
    by their place go on."""
    below = {FEATURE_TEACHER: 'connector', LOGITS_TEACHER: 'logits_temperature',
             HEAD_LEVEL: 'start'}
    names = [field.name for field in fields(DistillerSpec) if field.name not in below]
    for level, next_level in below.items():
        names.insert(names.index(next_level), level)
    return tuple(names)


LEVELS = _in_order()
# What is said once for all layers, of the heads and of the student.
LOGITS_LEVELS = ('logits', 'logits_teacher', 'logits_temperature', 'logits_weight',
                 'logits_schedule', *PREDICTION_LEVELS, *starts.START_LEVELS)
