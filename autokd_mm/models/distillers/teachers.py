"""Which pairs of layers are of which teacher, where there are several."""
from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Collection, Dict, Iterable, Optional, Tuple

from autokd_mm.models.distillers.layers import LayerPair, Layers


def number_of(source: str) -> Optional[str]:
    """``'1.head.fc'`` -> ``'1'``; ``None`` for what is of all teachers, as their mean logits."""
    first, dot, _ = source.partition('.')
    return first if dot and first.isdigit() else None


def features_of(layers: Layers, teacher: Optional[str]) -> Tuple[LayerPair, ...]:
    """The pairs of features with a teacher, their factors scaled to add up to 1; ``None``: all."""
    return layers.pairs if teacher is None else _of(layers.pairs, teacher)


def logits_of(layers: Layers, teacher: Optional[str]) -> Tuple[LayerPair, ...]:
    """Likewise the pairs of logits; those of a teacher may be beside the mean."""
    return layers.logits if teacher is None else _of(layers.logits + layers.own_logits, teacher)


def _of(pairs: Iterable[LayerPair], teacher: str) -> Tuple[LayerPair, ...]:
    found = [pair for pair in pairs if number_of(pair.teacher) == teacher]
    total = math.fsum(pair.factor for pair in found)
    return tuple(replace(pair, factor=pair.factor / total) for pair in found if total > 0)


def with_own_logits(layers: Layers, modules: Iterable[str]) -> Layers:
    """``layers`` with the logits of each teacher beside their mean, where the mean is compared.

    Args:
        modules: those of the teachers, whose mean it is.
    """
    mean = next((pair for pair in layers.logits if number_of(pair.teacher) is None), None)
    if mean is None:
        return layers
    there, count = {pair.teacher for pair in layers.logits}, len(layers.logits)
    first = 0 if count == 1 else count  # the only one is 'logits', several have numbers
    return replace(layers, own_logits=tuple(
        replace(mean, name=f'logits_{first + number}', teacher=f'{number}.{module}')
        for number, module in enumerate(modules) if f'{number}.{module}' not in there))


def heard_teachers(distiller: Dict[str, Any], count: int) -> Collection[int]:
    """Numbers of the teachers, of ``count``, that the recorders of a distiller's config hear."""
    sources = [recorder['source'] for recorder in
               (distiller.get('teacher_recorders') or {}).values()]
    found = {number_of(source) for source in sources}
    return range(count) if None in found else sorted(int(str(number)) for number in found)
