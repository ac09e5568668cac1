"""What each level of the space offers, given what was chosen before."""
from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, Optional, Set, Tuple

from autokd_mm.errors import ConfigError
from autokd_mm.space import rules
from autokd_mm.space.predictions import EVERYTHING, PREDICTION_LEVELS, asked, prediction_fault
from autokd_mm.space.shapes import Shapes, of_teacher, region_view
from autokd_mm.space.spec import LEVELS, NO_FEATURE
from autokd_mm.space.start import OWN

# The earlier levels that decide what a level offers.
_FEATURE_PATH = ('transform', 'feature_teacher', 'region', 'intra', 'patch_grid', 'inter')
_RULED_BY: Dict[str, Tuple[str, ...]] = dict(
    dict.fromkeys(LEVELS, ()), feature_teacher=_FEATURE_PATH[:1], connector=_FEATURE_PATH[1:2],
    region=_FEATURE_PATH[:2], intra=_FEATURE_PATH[:3], patch_grid=_FEATURE_PATH[:4],
    inter=_FEATURE_PATH[:5], distance=_FEATURE_PATH, logits=_FEATURE_PATH[:1],
    prediction=('transform', 'logits'), box=('transform', 'logits', 'prediction'),
    start=('transform', 'logits', 'prediction', 'box'))


class Offers:
    """The options of every level that can be used for given tensors.

    Args:
        options: the option list of every level.
        shapes: the tensors that will be compared.
        log: called once for each option that is not offered, with one line that says why.
        refused: options of ``transform`` that are never offered, because something has to be
            compared.
    """

    def __init__(self, options: Mapping[str, Tuple[Any, ...]], shapes: Shapes,
                 log: Callable[[str], None], refused: Tuple[str, ...] = ()) -> None:
        self._options = options
        self._shapes = shapes
        self._log = log
        self._refused = refused
        self._logged: Set[Tuple[str, Any, str]] = set()
        self._questions: Dict[Tuple[Any, ...], Tuple[str, Tuple[Any, ...]]] = {}

    def question(self, level: str, chosen: Mapping[str, Any]) -> Tuple[str, Tuple[Any, ...]]:
        """Name of the parameter and what it offers behind ``chosen``, the options by level.

        Raises:
            ConfigError: nothing; says why.
        """
        context = (level, ) + tuple(chosen.get(name) for name in _RULED_BY[level])
        if context not in self._questions:
            self._questions[context] = self._look(level, chosen)
        return self._questions[context]

    def _look(self, level: str, chosen: Mapping[str, Any]) -> Tuple[str, Tuple[Any, ...]]:
        offered = []
        for option in self._options[level]:
            reason = self._fault(level, option, chosen, self._shapes)
            if reason is None:
                offered.append(option)
            elif self._fault(level, option, chosen, self._usual(level)) is None:
                self._say_once(level, option, reason, chosen)  # these tensors are the reason
        if not offered:
            raise ConfigError(f'space.{level}: none of {list(self._options[level])} can be used '
                              f'for these tensors ({self.faults(level, chosen)})')
        if len(offered) == len(self._options[level]):
            return level, tuple(offered)
        return f'{level}({"|".join(str(option) for option in offered)})', tuple(offered)

    def _usual(self, level: str) -> Shapes:
        """Tensors that allow all of a level."""
        if level in PREDICTION_LEVELS:
            return Shapes(boxes=True, predictions=EVERYTHING)
        return Shapes(boxes=self._shapes.boxes)

    def fault(self, level: str, option: Any, chosen: Mapping[str, Any]) -> Optional[str]:
        """Why ``option`` cannot follow what was chosen; ``None`` if it can."""
        return self._fault(level, option, chosen, self._shapes)

    def any_left(self, level: str, chosen: Mapping[str, Any]) -> bool:
        """Whether some option of a level can follow what was chosen."""
        return self._none_left(level, chosen, self._shapes) is None

    def faults(self, level: str, chosen: Mapping[str, Any]) -> str:
        """Why none of a level's options can follow what was chosen."""
        faults = [self._fault(level, option, chosen, self._shapes)
                  for option in self._options[level]]
        return '; '.join(dict.fromkeys(str(fault) for fault in faults))

    def share_log(self, other: 'Offers') -> None:
        """What one of both has said the other does not say again."""
        self._logged = other._logged

    def _fault(self, level: str, option: Any, chosen: Mapping[str, Any],
               shapes: Shapes) -> Optional[str]:
        """Why ``option`` cannot follow what was chosen; looks ahead past options with no leaf."""
        transform = option if level == 'transform' else chosen.get('transform', 'none')
        if level == 'transform':
            if option in self._refused:
                return rules.CANNOT + 'nothing would be distilled'
            if option not in NO_FEATURE:
                return self._transform_fault(option, shapes)
            if self._copies:  # which is enough, also without logits
                return None
            return (rules.transform_fault(option, shapes)
                    or self._none_left('logits', dict(transform=option), shapes))
        shapes = of_teacher(option if level == 'feature_teacher' else
                            chosen.get('feature_teacher'), shapes)
        if level == 'feature_teacher':
            return self._teacher_fault(dict(chosen, feature_teacher=option), shapes)
        if level == 'connector':
            return rules.connector_fault(option, shapes)
        if level == 'region':
            return (rules.region_fault(option, transform, shapes)
                    or self._none_left('intra', dict(chosen, region=option), shapes))
        region = chosen.get('region')
        shapes = region_view(region, shapes)
        if level == 'intra':
            below = 'patch_grid' if option == 'local' else 'inter'
            return (rules.intra_fault(option, transform, shapes)
                    or self._none_left(below, dict(chosen, intra=option), shapes))
        if level == 'patch_grid':
            return (rules.patch_grid_fault(option, transform, shapes)
                    or self._none_left('inter', dict(chosen, patch_grid=option), shapes))
        if level == 'inter':
            return self._none_left('distance', dict(chosen, inter=option), shapes)
        if level == 'distance':
            return rules.distance_fault(option, transform, chosen['intra'],
                                        chosen.get('patch_grid'), chosen['inter'], shapes, region)
        if level == 'logits':
            if option == 'none' and self._copies:
                return None
            fault, first = rules.logits_fault(option, transform, shapes), asked(shapes)[:1]
            if fault is None and first and option == 'none' and transform == 'logits_only':
                return self._none_left(first[0], dict(chosen, logits=option), shapes)
            return fault
        if level in PREDICTION_LEVELS:
            if option == 'none' and self._copies:
                return None
            fault = prediction_fault(level, option, chosen, shapes)
            if fault is None and level == 'prediction' and 'box' in asked(shapes):
                fault = self._none_left('box', dict(chosen, prediction=option), shapes)
            return fault
        if level == 'start':
            said = [chosen.get(name, 'none') for name in ('logits', 'prediction', 'box')]
            nothing = transform == 'logits_only' and set(said) == {'none'}
            return rules.CANNOT + 'nothing would be distilled' if nothing and option == OWN \
                else None
        return None

    def _transform_fault(self, transform: str, shapes: Shapes) -> Optional[str]:
        """Why the features of no teacher that is offered, nor of all, have such a transform."""
        faults = []
        for teacher in self._options['feature_teacher']:
            chosen = dict(transform=transform, feature_teacher=teacher)
            faults.append(rules.transform_fault(transform, of_teacher(teacher, shapes))
                          or self._connector_fault(chosen, shapes)
                          or self._none_left('region', chosen, shapes))
        return None if None in faults else faults[0]

    def _teacher_fault(self, chosen: Mapping[str, Any], shapes: Shapes) -> Optional[str]:
        """Why nothing can be compared with the features of one of several teachers, or of all."""
        if not shapes.feature_teachers:
            return None
        return (rules.transform_fault(chosen['transform'], shapes)
                or self._connector_fault(chosen, shapes)
                or self._none_left('region', chosen, shapes))

    def _connector_fault(self, chosen: Mapping[str, Any], shapes: Shapes) -> Optional[str]:
        fault = self._none_left('connector', chosen, shapes)
        return f"{fault}, and space.connector is {list(self._options['connector'])}" if fault \
            else None

    @property
    def _copies(self) -> bool:
        """Some start takes a part of the teacher."""
        return any(start != OWN for start in self._options['start'])

    def _none_left(self, level: str, chosen: Mapping[str, Any],
                   shapes: Shapes) -> Optional[str]:
        faults = [self._fault(level, option, chosen, shapes) for option in self._options[level]]
        return None if None in faults else faults[0]

    def _say_once(self, level: str, option: Any, reason: str, chosen: Mapping[str, Any]) -> None:
        if (level, option, reason) in self._logged:
            return
        self._logged.add((level, option, reason))
        before = ', '.join(f'{name}={chosen[name]}' for name in _RULED_BY[level]
                           if level != 'logits'
                           and chosen.get(name, 'none') not in ('none', 'all'))
        self._log(f'{level}={option}{" after " if before else ""}{before} is left out: {reason}')
