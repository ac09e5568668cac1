"""From images normalised for the student to images normalised for the teacher."""
from __future__ import annotations

from typing import Any, Optional, Tuple

import torch
from torch import nn


class Renormalise(nn.Module):
    """x_teacher = (x_student * std_s + mean_s - mean_t) / std_t, channels swapped where RGB and
    BGR differ.

    It works on the student's batch, behind crops, flips and batch mixing, so the teacher sees the
    very same pixels; means and standard deviations are in units of the raw pixel.
    """
    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, scale: torch.Tensor, shift: torch.Tensor, swap: bool) -> None:
        super().__init__()
        self.register_buffer('scale', scale, persistent=False)
        self.register_buffer('shift', shift, persistent=False)
        self.swap = swap

    @classmethod
    def between(cls, student: Any, teacher: Any, rgb: bool = False) -> Optional['Renormalise']:
        """The module for two ``data_preprocessor``, or ``None`` where they normalise alike.

        Args:
            rgb: images come as RGB, as CIFAR's do, and not as BGR, as files are read: a student
                that does not flip them sees what a teacher sees that flips those of files.
        """
        if student is None or teacher is None:
            return None
        mean_s, std_s, flip_s = statistics(student)
        mean_t, std_t, flip_t = statistics(teacher)
        swap = flip_s if rgb else flip_s != flip_t
        if swap:
            mean_s, std_s = mean_s.flip(0), std_s.flip(0)
        scale, shift = std_s / std_t, (mean_s - mean_t) / std_t
        if not swap and bool((scale == 1).all()) and bool((shift == 0).all()):
            return None
        return cls(scale.view(1, -1, 1, 1), shift.view(1, -1, 1, 1), swap)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """N x C x H x W in, N x C x H x W out."""
        if self.swap:
            inputs = inputs.flip(1)
        return inputs * self.scale + self.shift


def statistics(preprocessor: Any) -> Tuple[torch.Tensor, torch.Tensor, bool]:
    """Mean, standard deviation (in the order of the network's channels) and channel flip."""
    mean, std = getattr(preprocessor, 'mean', None), getattr(preprocessor, 'std', None)
    mean = torch.zeros(1) if mean is None else mean.detach().float().flatten().cpu()
    std = torch.ones(1) if std is None else std.detach().float().flatten().cpu()
    return mean, std, flips_channels(preprocessor)


def flips_channels(preprocessor: Any) -> bool:
    """Whether a ``data_preprocessor`` of OpenMMLab swaps RGB and BGR."""
    return any(bool(getattr(preprocessor, name, False))
               for name in ('to_rgb', 'channel_conversion', '_channel_conversion'))


def padded_with(preprocessor: Any) -> float:
    """The value of the padding behind a ``data_preprocessor``: ``pad_value`` of MMDetection's,
    ``pad_val`` of MMSegmentation's."""
    return float(getattr(preprocessor, 'pad_value', getattr(preprocessor, 'pad_val', 0)))
