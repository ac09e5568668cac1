"""Where the student starts, in the config of a found distiller: written, and read back."""
from __future__ import annotations

from typing import Any, Dict, Optional

from torch import nn

from autokd_mm.models.algorithms.inherited import KEY, Parts, read_start
from autokd_mm.optim import start_rate_in, with_start_rate
from autokd_mm.space import Spec


def set_start(config: Any, spec: Spec, parts: Optional[Parts]) -> None:
    """Let a training's config begin as the candidates with ``spec`` did, in place: ``model.start``,
    and a learning rate of its own in ``optim_wrapper``.

    Args:
        parts: of the teacher; may be ``None`` where nothing of it is copied.
    """
    config.model.pop('start', None)
    if spec.start is None:
        return
    config.model.start = dict(part=spec.start)
    rate = 1 if spec.start_lr is None else spec.start_lr
    if rate == 0:
        config.model.start.frozen = True
    elif rate != 1:
        assert parts is not None
        config.optim_wrapper = with_start_rate(
            config.optim_wrapper, nn.ModuleDict(dict(architecture=parts.student)),
            parts.fitting[spec.start].modules, rate)


def start_levels(config: Any, key: str = KEY) -> Dict[str, Any]:
    """The options of a found config that :func:`set_start` has written, by level; empty where the
    student starts as initialised.

    Args:
        key: of ``model.start``, for the message.

    Raises:
        ConfigError: it is none that :func:`set_start` writes.
    """
    start = config.model.get('start')
    if start is None:
        return {}
    part, frozen = read_start(start, key)
    return dict(start=part,
                start_lr=0 if frozen else start_rate_in(config.get('optim_wrapper')))
