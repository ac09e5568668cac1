"""Global transforms that weight, or hide, positions before the features are compared."""
from typing import Tuple

import torch
from torch import Tensor, nn

from autokd_mm.errors import ConfigError
from autokd_mm.models.numbers import above_zero, is_number
from autokd_mm.models.transforms.tensors import (autocasts, block_size, blocks, checked_pair,
                                                 full_precision)
from autokd_mm.registry import MODELS


def mean_magnitudes(feature: Tensor) -> Tuple[Tensor, Tensor]:
    """G_s = mean over C of abs(F), N x 1 x H x W, and G_c = mean over H, W of it, N x C x 1 x 1."""
    spatial, channel = [], []
    for part in blocks(len(feature), feature[0].numel(), block_size(feature)):
        magnitude = feature[part].abs()
        spatial.append(magnitude.mean(1, keepdim=True))
        channel.append(magnitude.mean((2, 3), keepdim=True))
    return torch.cat(spatial), torch.cat(channel)


@MODELS.register_module()
class AttentionMaskTransform(nn.Module):
    """Attention-guided mask: both features are weighted by the sum of both attentions.

    M_s = H W softmax over H W of ((G_s(T) + G_s(S)) / temperature), G_s(F) = mean over C of abs(F)
    M_c = C softmax over C of ((G_c(T) + G_c(S)) / temperature),     G_c(F) = mean over HW of abs(F)
    S' = S sqrt(M_s M_c),  T' = T sqrt(M_s M_c);  so that ``l2`` of the two is FKD's
    mean of M_s M_c (T - S)^2.

    Shapes: student and teacher N x C x H x W -> the same shape (float32 or wider).

    Args:
        temperature: of both softmaxes, in units of the feature. FKD's 0.5 by default.

    Source: Zhang & Ma (FKD), ICLR 2021, "Attention-guided Distillation". Differences: the masked
    distance is the mean of squares and not the root of their sum (the root has no gradient at zero
    and its scale grows with the map), and no gradient flows through the mask, as in the authors'
    code. That code averages two softmaxes, one of each network; ours is the paper's one softmax of
    the sum, the "sum of teacher and student attention" of Auto-KD's supplement, section 0.1.1.
    """

    def __init__(self, temperature: float = 0.5) -> None:
        super().__init__()
        self.temperature = above_zero('AttentionMaskTransform.temperature', temperature)

    @torch.no_grad()
    def mask(self, student: Tensor, teacher: Tensor) -> Tuple[Tensor, Tensor]:
        """M_s (N x 1 x H x W) and M_c (N x C x 1 x 1)."""
        spatial, channel = (of_student + of_teacher for of_student, of_teacher in zip(
            mean_magnitudes(student), mean_magnitudes(teacher)))
        return self._softmax(spatial), self._softmax(channel)

    def _softmax(self, attention: Tensor) -> Tensor:
        """Of each sample, times the number of its values."""
        logits = attention.flatten(1) / self.temperature
        return (logits.softmax(1) * logits.shape[1]).view_as(attention)

    def forward(self, student: Tensor, teacher: Tensor) -> Tuple[Tensor, Tensor]:
        student, teacher = checked_pair(student, teacher, 'AttentionMaskTransform')
        spatial, channel = (mask.sqrt() for mask in self.mask(student, teacher))
        # The second product is in place on the result of the first, never on an input.
        return (student * spatial).mul_(channel), (teacher * spatial).mul_(channel)


@MODELS.register_module()
class TeacherAttentionMaskTransform(AttentionMaskTransform):
    """Attention mask of the teacher alone: both features are weighted by its attention.

    M_s = H W softmax over H W of (G_s(T) / temperature),
    M_c = C softmax over C of (G_c(T) / temperature), with G_s and G_c of
    ``AttentionMaskTransform``;  S' = S sqrt(M_s M_c),  T' = T sqrt(M_s M_c).

    Shapes: student and teacher N x C x H x W -> the same shape (float32 or wider).

    Args:
        temperature: of both softmaxes, in units of the feature. FGD's 0.5 by default.

    Source: Yang et al. (FGD), CVPR 2022, section 3.1, the attention masks of its feature loss.
    """

    @torch.no_grad()
    def mask(self, student: Tensor, teacher: Tensor) -> Tuple[Tensor, Tensor]:
        """M_s (N x 1 x H x W) and M_c (N x C x 1 x 1)."""
        spatial, channel = mean_magnitudes(teacher)
        return self._softmax(spatial), self._softmax(channel)


@MODELS.register_module()
class RandomMaskTransform(nn.Module):
    """Masked generation: the teacher's feature is generated from a masked student's.

    M[n, h, w] = 0 with probability mask_ratio, else 1;  S' = G(M S),
    G = conv3x3 -> ReLU -> conv3x3, C -> C, trained with the student. The teacher is unchanged.

    Shapes: student and teacher N x C x H x W -> the same shape.

    The mask is drawn at every call from torch's global generator of the feature's device, in
    training and in evaluation mode alike (a loss is computed in training only).

    Args:
        channels: C, the teacher's number of channels.
        mask_ratio: lambda, the probability of a position to be masked, in (0, 1).

    Source: Yang et al. (MGD), ECCV 2022, section 3. The mask is of Bernoulli draws, one for all
    channels of a position, as in the authors' code. With ``l2`` this is MMRazor's
    ``MGDConnector`` and ``MGDLoss`` over alpha_mgd * C * H * W.
    In float16 autocast G runs in float32: sums of 9 C products of large activations overflow.
    """

    def __init__(self, channels: int, mask_ratio: float = 0.65) -> None:
        super().__init__()
        if not isinstance(channels, int) or channels < 1:
            raise ConfigError(f'RandomMaskTransform.channels must be the number of channels of the '
                              f'teacher, got {channels!r}')
        if not is_number(mask_ratio) or not 0 < mask_ratio < 1:
            raise ConfigError(f'RandomMaskTransform.mask_ratio must be between 0 and 1, got '
                              f'{mask_ratio!r}')
        self.channels = channels
        self.mask_ratio = mask_ratio
        self.generation = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, student: Tensor, teacher: Tensor) -> Tuple[Tensor, Tensor]:
        half = student.dtype == torch.float16
        student, teacher = checked_pair(student, teacher, 'RandomMaskTransform')
        if student.shape[1] != self.channels:
            raise ConfigError(f'RandomMaskTransform.channels is {self.channels}, but the features '
                              f'have {student.shape[1]} channels')
        n, _, h, w = student.shape
        keep = torch.rand((n, 1, h, w), device=student.device) <= 1 - self.mask_ratio
        masked = student * keep
        if half or _autocasts_to_float16(student):
            with full_precision(student):
                generated = self._generate(masked)
        else:
            generated = self._generate(masked)
        return checked_pair(generated, teacher, 'RandomMaskTransform')

    def _generate(self, masked: Tensor) -> Tensor:
        return self.generation(masked.to(next(self.generation.parameters()).dtype))


def _autocasts_to_float16(tensor: Tensor) -> bool:
    device = tensor.device.type
    if not autocasts(device):
        return False
    if hasattr(torch, 'get_autocast_dtype'):
        return torch.get_autocast_dtype(device) == torch.float16
    return device == 'cuda' and torch.get_autocast_gpu_dtype() == torch.float16
