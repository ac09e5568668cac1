"""What every operation does with its two tensors before it computes anything.

The student's and the teacher's features are maps, N x C x H x W. Vectors (N x D) are read as
N x D x 1 x 1, and patches come stacked, P x N x C x h x w. The teacher is a constant.
"""
from contextlib import nullcontext
from typing import ContextManager, Iterator, Tuple, Union

import torch
from torch import Tensor

from autokd_mm.errors import ConfigError

# Elements of a temporary. On a CPU a block of 8 MB stays in the last-level cache and is not paged
# in anew for each operation (smaller ones are no faster, and the threads meet more often); a
# GPU wants few and large kernels.
_BLOCK_CPU = 1 << 21
_BLOCK_GPU = 1 << 24
_NOTHING = nullcontext()
_KNOWS_DEVICES = hasattr(torch, 'get_autocast_dtype')  # since torch 2.4


def checked_pair(student: Tensor, teacher: Tensor, where: str) -> Tuple[Tensor, Tensor]:
    """Both tensors as maps (or stacked patches) of at least float32, the teacher detached.

    Nothing is copied when they are float32 or float64 already. The teacher takes the student's
    precision.

    Args:
        student: N x C x H x W, N x D, or P x N x C x h x w.
        teacher: the same shape.
        where: name for the error message.

    Raises:
        ConfigError: the shapes differ: a connector is missing.
        ValueError: a dimension is empty, or the number of dimensions is none of 2, 4 and 5.
    """
    student, teacher = checked(student, teacher, where)
    if student.dim() == 2:  # one step for autograd, where an index is two
        student, teacher = (vectors.view(*vectors.shape, 1, 1) for vectors in (student, teacher))
    return student, teacher


def checked(student: Tensor, teacher: Tensor, where: str) -> Tuple[Tensor, Tensor]:
    """As :func:`checked_pair`, but that vectors stay N x D."""
    if student.shape != teacher.shape:
        raise ConfigError(
            f'{where}: the student has shape {tuple(student.shape)} and the teacher '
            f'{tuple(teacher.shape)}; a connector is missing (see ConvConnector)')
    if student.dim() not in (2, 4, 5):
        raise ValueError(f'{where}: expects N x C x H x W or N x D, got shape '
                         f'{tuple(student.shape)}')
    if student.numel() == 0:
        raise ValueError(f'{where}: got an empty batch or map, shape {tuple(student.shape)}')
    if student.dtype in (torch.float16, torch.bfloat16):
        student = student.float()
    teacher = teacher.detach()
    return student, teacher if teacher.dtype == student.dtype else teacher.to(student.dtype)


def two_classes(logits: Tensor) -> Tensor:
    """N x K x ... logits of K classes. One channel, as of a sigmoid that tells a class from the
    rest, is (0, z): softmax(0, z) is (1 - sigmoid(z), sigmoid(z))."""
    if logits.shape[1] > 1:
        return logits
    return torch.cat([torch.zeros_like(logits), logits], 1)


def full_precision(tensor: Tensor) -> ContextManager:
    """Switches autocast off: a Gram matrix of activations of 1e4 overflows in float16."""
    device = tensor.device.type
    if device in ('cpu', 'cuda') and autocasts(device):
        return torch.autocast(device, enabled=False)
    return _NOTHING  # to enter autocast takes as long as a small loss


def autocasts(device: str) -> bool:
    """Whether autocast is on."""
    if _KNOWS_DEVICES:
        return torch.is_autocast_enabled(device)
    return torch.is_autocast_cpu_enabled() if device == 'cpu' else torch.is_autocast_enabled()


def weighted(loss: Tensor, weight: float) -> Tensor:
    """The loss times its weight; 1 is no step of its own for autograd."""
    return loss if weight == 1 else loss * weight


def block_size(tensor: Tensor) -> int:
    """Elements that a temporary of a blockwise computation may have."""
    return _BLOCK_CPU if tensor.device.type == 'cpu' else _BLOCK_GPU


def blocks(length: int, elements_each: int, limit: int) -> Iterator[slice]:
    """Slices of ``range(length)`` whose items hold no more than ``limit`` elements together.

    A single item may hold more than that.
    """
    step = max(1, limit // max(1, elements_each))
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))


def inverse_or_zero(norm: Tensor, smallest: Union[float, Tensor] = 1e-15) -> Tensor:
    """1 / norm, and 0 where the norm is not above ``smallest``.

    What has no length has no direction either: it is normalised to zero and, unlike with an
    epsilon in the denominator, gets a zero gradient and not one of 1 / epsilon.
    """
    return (norm > smallest) / norm.clamp(min=smallest)
