"""L2, cosine and Pearson: distances between vectors taken from the features.

The vectors, by ``inter``: 'none', the C H W values of a sample; 'sample', the N values of one unit
(c, h, w) across the batch; 'channel', the N H W values of one channel.
"""
from typing import Any, List, Optional, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor

from autokd_mm.models.distances.base import Distance
from autokd_mm.models.transforms.tensors import block_size, blocks, inverse_or_zero
from autokd_mm.registry import MODELS

_DIMS = {'none': (-3, -2, -1), 'sample': (-4, ), 'channel': (-4, -2, -1)}
# A vector whose spread is within the rounding error of its mean is constant.
_ROUNDING = 8.
_SMALL = 1 << 16  # elements

Direction = Tuple[Tensor, Optional[Tensor], Tensor]


class _DirectionError(torch.autograd.Function):
    """Mean over all vectors of 1/2 ||s / ||s|| - t / ||t|| ||^2 = 1 - cos(s, t).

    Computed as the difference of the two directions and not as 1 minus a product, it is never
    below 0, and accurate when they are close. A vector of no length (or, centred, of no spread)
    has direction 0 and gets no gradient.

    Works in blocks of whole vectors and keeps only the inputs and three numbers per vector.
    """

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor, dims: Tuple[int, ...],
                centred: bool) -> Tensor:
        total: Optional[Tensor] = None
        ctx.parts = []
        for where in _places(student, dims):
            (s, mean_s, inverse_s), (t, mean_t, inverse_t) = _directions(
                student[where], teacher[where], dims, centred)
            # In place only if _direction made a copy.
            difference = s.mul_(inverse_s) if centred else s * inverse_s
            error = difference.addcmul_(t, inverse_t, value=-1).square_().sum(dims, keepdim=True)
            found = error.sum()
            total = found if total is None else total + found
            if ctx.needs_input_grad[0]:
                # With d = s^ - t^: d/ds = (d - (s^ . d) s^) / ||s||, and s^ . d is 1/2 ||d||^2,
                # or 1 = ||d||^2 where t^ is 0.
                along = torch.where(inverse_t > 0, error / 2, error)
                of_s = (1 - along) * inverse_s * inverse_s
                of_t = -inverse_t * inverse_s
                constant = (None if mean_s is None or mean_t is None
                            else -(of_s * mean_s + of_t * mean_t))
                ctx.parts.append((where, of_s, of_t, constant))
        ctx.vectors = student.numel() // _length(student, dims)
        ctx.save_for_backward(student, teacher)
        assert total is not None  # no batch is empty
        return total / (2 * ctx.vectors)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tuple[Tensor, None, None, None]:
        student, teacher = ctx.saved_tensors
        result = torch.empty_like(student)
        grad = grad / ctx.vectors
        for where, of_s, of_t, constant in ctx.parts:
            part = torch.mul(student[where], of_s * grad, out=result[where])
            part.addcmul_(teacher[where], of_t * grad)
            if constant is not None:
                part.add_(constant * grad)
        return result, None, None, None


def _places(feature: Tensor, dims: Tuple[int, ...]) -> List[Tuple[Any, ...]]:
    """Indices of the blocks of whole vectors."""
    axis = _axis_of_blocks(feature, dims)
    length = feature.shape[axis]
    parts = list(blocks(length, feature.numel() // length, block_size(feature)))
    return [(Ellipsis, part) + (slice(None), ) * (-axis - 1) if len(parts) > 1 else (Ellipsis, )
            for part in parts]


def _axis_of_blocks(feature: Tensor, dims: Tuple[int, ...]) -> int:
    """The longest of the axes along which whole vectors can be told apart (negative)."""
    free = [axis for axis in (-4, -3) if axis not in dims]
    return max(free, key=lambda axis: feature.shape[axis])


def _length(feature: Tensor, dims: Tuple[int, ...]) -> int:
    length = 1
    for dim in dims:
        length *= feature.shape[dim]
    return length


def _directions(student: Tensor, teacher: Tensor, dims: Tuple[int, ...],
                centred: bool) -> List[Direction]:
    """:func:`_direction` of both. Small ones go through it together, in half as many operations:
    they take the time, not the numbers. (Bits are the same as of contiguous ones alone.)"""
    if student.numel() > _SMALL or not student.is_contiguous() or not teacher.is_contiguous():
        return [_direction(vectors, dims, centred) for vectors in (student, teacher)]
    vectors, mean, inverse = _direction(torch.stack([student, teacher]), dims, centred)
    return list(zip(vectors, (None, None) if mean is None else mean, inverse))


def _direction(vectors: Tensor, dims: Tuple[int, ...],
               centred: bool) -> Direction:
    """Vectors (less their mean), that mean, and 1 / their length (0 if they have none)."""
    mean: Optional[Tensor] = None
    smallest: Union[float, Tensor] = 1e-15
    if centred:
        mean = vectors.mean(dims, keepdim=True)
        vectors = vectors - mean
        eps = _ROUNDING * torch.finfo(vectors.dtype).eps * _length(vectors, dims)**0.5
        smallest = (mean.abs() * eps).clamp_(min=1e-15)
    norm = vectors.square().sum(dims, keepdim=True).sqrt_()
    return vectors, mean, inverse_or_zero(norm, smallest)


def direction_error(student: Tensor, teacher: Tensor, inter: str, centred: bool) -> Tensor:
    """Mean over vectors of 1 - cosine (1 - Pearson's r when ``centred``), a scalar.

    Where one of two vectors has no direction the summand is 1/2, where neither has, 0.
    """
    return _DirectionError.apply(student, teacher, _DIMS[inter], centred)


@MODELS.register_module()
class L2Distance(Distance):
    """Mean squared difference, of the features or of their normalised vectors.

    inter='none'
        mean over N, C, H, W of (s - t)^2.
    inter='sample'
        s^ = s / rms(s) along N for each unit (c, h, w), the same for t; the mean over all elements
        of (s^ - t^)^2.
    inter='channel'
        the same with s^ normalised along N, H, W for each channel.

    Normalised vectors have root mean square 1, so that the loss is 2 (1 - cos) for any length
    (supplement of Auto-KD, eq. 5-8, as an identity): twice ``CosineDistance`` of the same inter.

    Source: supplement, section 0.1.2, and the sentences after eq. 2 and eq. 4 ("normalized in the
    sample dimension", "in the channel dimension"). Difference: squared and a mean, as FitNet, AT,
    SP and MGD train with; the printed root has no gradient at 0 and grows with the map.
    MMRazor's ``L2Loss(normalize=False, div_element=True)`` is inter='none'.
    """

    @property
    def minimum(self) -> int:  # a normalised single value is a sign
        return 1 if self.inter == 'none' else 2

    def measure(self, student: Tensor, teacher: Tensor) -> Tensor:
        if self.inter == 'none':
            return F.mse_loss(student, teacher)
        return 2 * direction_error(student, teacher, self.inter, centred=False)


@MODELS.register_module()
class CosineDistance(Distance):
    """1 - cos(s, t), the mean over vectors: N of them ('none'), C H W ('sample') or C ('channel').

    cos(s, t) = sum_i s_i t_i / (||s|| ||t||).

    Source: supplement of Auto-KD, section 0.1.2, "Cosine distance". MMRazor's
    ``L2Loss(normalize=True)`` is twice inter='none'. A zero vector: see ``direction_error``.
    """

    minimum = 2

    def measure(self, student: Tensor, teacher: Tensor) -> Tensor:
        return direction_error(student, teacher, self.inter, centred=False)


@MODELS.register_module()
class PearsonDistance(Distance):
    """1 - r(s, t), the mean over vectors: N of them ('none'), C H W ('sample') or C ('channel').

    r is the cosine of the centred vectors. With inter='channel' this is PKD.

    Source: supplement of Auto-KD, section 0.1.2, "Pearson distance"; Cao et al. (PKD), NeurIPS
    2022. MMRazor's ``PKDLoss`` is (M - 1) / M times ours, M = N H W (it standardises with
    the unbiased deviation and takes the biased mean). A constant vector (spread within the
    rounding error of its mean): see ``direction_error``.
    """

    minimum = 3

    def measure(self, student: Tensor, teacher: Tensor) -> Tensor:
        return direction_error(student, teacher, self.inter, centred=True)
