"""Grey images for a teacher of colours, and the reverse."""
from __future__ import annotations

from typing import Any, Optional

import torch
from torch import nn

from autokd_mm.models.algorithms.renormalise import flips_channels, statistics

# Pixels that become channels of one, by the class: of MMDetection (YOLOX) and timm (TResNet).
_FOLDED = dict(Focus=4, SpaceToDepth=16)
# Of red, green and blue in the luma of ITU-R BT.601, as OpenCV turns colours to grey.
_LUMA = (0.299, 0.587, 0.114)


class OtherColours(nn.Module):
    """From images normalised for a student to those for a teacher with another number of channels.

    A grey pixel is the same in all three colours; a coloured one is its luma.

    Args:
        weight: K x C, of each of the student's channels in each of the teacher's.
        bias: K.
    """
    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer('weight', weight[:, :, None, None], persistent=False)
        self.register_buffer('bias', bias[:, None, None], persistent=False)

    @classmethod
    def between(cls, student: Any, teacher: Any, given: Optional[int],
                wanted: Optional[int], rgb: bool = False) -> Optional['OtherColours']:
        """The module for two ``data_preprocessor``, or ``None`` where the number of channels is
        the same, or not known.

        Args:
            teacher: ``None``: as the student's.
            given, wanted: channels of the student's and of the teacher's images.
            rgb: images come as RGB, and not as BGR, as files are read.
        """
        if {given, wanted} != {1, 3}:
            return None
        if given == 1:
            mix = torch.ones(3, 1)
        else:
            luma = _LUMA if flips_channels(student) != rgb else _LUMA[::-1]
            mix = torch.tensor([luma])
        if teacher is None:  # the student's images as they are
            return cls(mix, torch.zeros(len(mix)))
        (mean_s, std_s, _), (mean_t, std_t, _) = statistics(student), statistics(teacher)
        mean_s, std_s = mean_s.expand(mix.shape[1]), std_s.expand(mix.shape[1])
        return cls(mix * std_s / std_t.view(-1, 1), (mix @ mean_s - mean_t) / std_t)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """N x C x H x W in, N x K x H x W out."""
        return torch.stack([(inputs * row).sum(1) for row in self.weight], 1) + self.bias


def channels_of(network: nn.Module) -> Optional[int]:
    """Of the images that a network takes: its backbone's first convolution says it. ``None`` where
    there is none."""
    folded = 1  # pixels of which a stem such as YOLOX's makes channels of one
    for module in getattr(network, 'backbone', network).modules():
        folded = _FOLDED.get(type(module).__name__, folded)
        if isinstance(module, nn.Conv2d):
            return module.in_channels // folded
    return None
