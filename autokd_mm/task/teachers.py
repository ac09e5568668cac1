"""Several teachers of a search: what is heard of each."""
from __future__ import annotations

from dataclasses import replace
from typing import Any, Mapping, Sequence

from torch import nn

from autokd_mm.models.algorithms.teachers import Teachers
from autokd_mm.models.distillers import Layers
from autokd_mm.models.distillers.teachers import with_own_logits
from autokd_mm.space.options import checked_options
from autokd_mm.space.teachers import ALL, LOGITS_TEACHER


def heard_apart(layers: Layers, teacher: nn.Module,
                options: Mapping[str, Sequence[Any]]) -> Layers:
    """``layers``, with what a distiller may hear of one of several teachers alone.

    Args:
        teacher: one, or several.
        options: of the space, by level.
    """
    if not isinstance(teacher, Teachers) or len(teacher) < 2:
        return layers
    layers = replace(layers, several=True)
    given = checked_options({level: choices for level, choices in options.items()
                             if level == LOGITS_TEACHER})
    if given.get(LOGITS_TEACHER) == (ALL, ):  # a bank from before there was a choice is enough
        return layers
    return with_own_logits(layers, teacher.averaged)
