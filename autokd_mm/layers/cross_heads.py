"""Whether the student's features go through the teacher's head."""
from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, Mapping, Optional, Tuple

from torch import nn

from autokd_mm.layers.heads import Head, Tails
from autokd_mm.models.distillers import CrossHead, Predictions

_KEYS = ('student_predictions', 'teacher_predictions')
_KNOWN = 'those of RetinaHead, FCOSHead, GFLHead and ATSSHead are'


def with_cross_heads(found: Predictions, heads: Tuple[Head, Head], names: Mapping[str, Any],
                     student: nn.Module, teacher: nn.Module) -> Predictions:
    """``found`` with the ways through the teacher's head, or with the reason why there are none.

    Args:
        found: what both heads have in common.
        heads: of the student and the teacher.
        names: ``layers`` of the config, which name them.
    """
    networks = dict(zip(_KEYS, (student, teacher)))
    fault = _fault(found, heads, {key: networks[key].get_submodule(names[key]) for key in _KEYS})
    if fault is not None:
        return replace(found, cross_fault=fault)
    own, other = (names[key] for key in _KEYS)
    return replace(found, cross={
        what: CrossHead(f'{own}.{tails[0][0]}', tuple(
            tuple(f'{other}.{name}' for name in tail) for tail in tails))
        for what, tails in _compared(found, heads[1]).items()})


def _compared(found: Predictions, head: Head) -> Dict[str, Tails]:
    """The tails of what is compared."""
    return {what: tails for what, tails in (head.tails or {}).items() if found.of(what)}


def _fault(found: Predictions, heads: Tuple[Head, Head],
           modules: Mapping[str, nn.Module]) -> Optional[str]:
    """Why the student's features do not go through the teacher's head."""
    for head in heads:
        if head.tails is None:
            return f'the towers of a {head.kind} are not understood, {_KNOWN}'
    student, teacher = (_compared(found, head) for head in heads)
    for what, tails in teacher.items():
        if student[what] != tails:
            ways = [' > '.join(tail[0]) for tail in (student[what], tails)]
            kinds = [head.kind for head in heads]
            return (f"the way to {what} is {ways[1]} in the teacher's {kinds[1]} and {ways[0]} in "
                    f"the student's {kinds[0]}")
    own, other = (modules[key] for key in _KEYS)
    at: Dict[int, str] = {}
    for first in dict.fromkeys(tails[0][0] for tails in teacher.values()):
        widths = [getattr(head.get_submodule(first), 'in_channels', None) for head in (own, other)]
        if widths[0] != widths[1]:
            return (f"{first} takes {widths[1]} channels in the teacher's head and {widths[0]} in "
                    "the student's")
        # Its calls for one output cannot be told from those for the other.
        twin = at.setdefault(id(own.get_submodule(first)), first)
        if twin != first:
            return f"{twin} and {first} are one module in the student's head"
    return None
