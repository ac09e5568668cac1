"""Features of the student that go through the teacher's head, in a distiller."""
from __future__ import annotations

from typing import Any, Dict, Mapping, Optional

from torch import nn

from autokd_mm.models.connectors import CrossHeadConnector
from autokd_mm.models.distillers.layers import CrossHead
from autokd_mm.space.predictions import CROSS

_TYPE = 'CrossHeadConnector'


def add_cross_head(config: Dict[str, Any], what: str, level: int,
                   found: CrossHead) -> Dict[str, Any]:
    """Put into a distiller's config what makes a level's cross-head predictions.

    Args:
        what: ``'classes'``, ``'boxes'`` or ``'quality'``.

    Returns:
        Where MMRazor's mappings find them.
    """
    recorder = connector = f'cross_{what}'
    modules = found.modules[0]
    if len(found.modules) > 1:
        connector, modules = f'{recorder}_{level}', found.modules[level]
    config['student_recorders'][recorder] = dict(type='mmrazor.ModuleInputs', source=found.source)
    config['connectors'][connector] = dict(type=f'mmrazor.{_TYPE}', modules=list(modules))
    return dict(recorder=recorder, from_student=True, record_idx=level, data_idx=0,
                connector=connector)


def prediction_head(config: Mapping[str, Any]) -> Optional[str]:
    """The option of a distiller's config that :func:`add_cross_head` has written."""
    connectors = config.get('connectors') or {}
    kinds = (str(one.get('type')).split('.')[-1] for one in connectors.values()
             if isinstance(one, Mapping))
    return CROSS if _TYPE in kinds else None


def lend_teacher(distiller: Any, teacher: Optional[nn.Module]) -> None:
    """Show a distiller's connectors the teacher whose modules they run through.

    Args:
        distiller: a built ``ConfigurableDistiller``.
        teacher: may get its weights later, until the first loss.

    Raises:
        ConfigError: it has no such module.
    """
    for name, connector in distiller.connectors.items():
        for one in connector.modules():
            if isinstance(one, CrossHeadConnector):
                one.borrow(teacher, f'model.distiller.connectors.{name}.modules')
