"""From the student's batch to the batch on which a teacher was trained."""
from __future__ import annotations

from typing import Any, Mapping, Optional, Sequence, Tuple, Union

import torch
from torch import nn
from torch.nn import functional as F

from autokd_mm.models.algorithms.renormalise import Renormalise
from autokd_mm.space.errors import ConfigError, nearest

Size = Tuple[int, int]


class TeacherInput(nn.Module):
    """The student's images normalised as the teacher's were, then at the teacher's resolution.

    Args:
        renormalise: ``None`` where both networks normalise alike.
        size: (height, width) in pixels, ``None`` for the student's.
    """

    def __init__(self, renormalise: Optional[Renormalise], size: Optional[Size]) -> None:
        super().__init__()
        self.renormalise, self.size = renormalise, size

    @classmethod
    def between(cls, student: Any, teacher: Any,
                config: Optional[Mapping[str, Any]] = None) -> Optional['TeacherInput']:
        """The module for two ``data_preprocessor``; ``None`` where the teacher sees what the
        student sees.

        Args:
            teacher: ``None`` takes the student's.
            config: ``dict(size=...)``, a side or (height, width) in pixels.

        Raises:
            ConfigError: another key, or no size.
        """
        renormalise, size = Renormalise.between(student, teacher), _size(config)
        return None if renormalise is None and size is None else cls(renormalise, size)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """N x C x H x W in, N x C x size out (bilinear; antialiased where it becomes smaller)."""
        if self.renormalise is not None:
            inputs = self.renormalise(inputs)
        if self.size is None or tuple(inputs.shape[-2:]) == self.size:
            return inputs
        return F.interpolate(inputs, self.size, mode='bilinear', align_corners=False,
                             antialias=True)

    def extra_repr(self) -> str:
        return '' if self.size is None else f'size={self.size}'


def _size(config: Optional[Mapping[str, Any]]) -> Optional[Size]:
    if config is None:
        return None
    if not isinstance(config, Mapping):
        raise ConfigError(f'model.teacher_input={config!r}: must be a dict such as dict(size=32)')
    for key in config:
        if key != 'size':
            raise ConfigError(f'model.teacher_input: {nearest(key, ["size"])}')
    size: Union[int, Sequence[int], None] = config.get('size')
    sides = (size, size) if isinstance(size, int) else size
    if (not isinstance(sides, (list, tuple)) or len(sides) != 2
            or any(not isinstance(side, int) or side < 1 for side in sides)):
        raise ConfigError(f'model.teacher_input.size={size!r}: must be a side in pixels or '
                          '(height, width)')
    return sides[0], sides[1]
