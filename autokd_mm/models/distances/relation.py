"""Relations between samples, or between the patches of a sample, as distances.

All are functions of one matrix, the squared distances between L2-normalised vectors.
"""
import math
from typing import Any, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from autokd_mm.errors import ConfigError
from autokd_mm.models.distances.base import Distance
from autokd_mm.models.transforms.tensors import block_size, blocks, full_precision, inverse_or_zero
from autokd_mm.registry import MODELS

# Two vectors nearer than this many rounding errors of their squared distance are the same.
_ROUNDING = 16.


class _UnitSquaredDistances(torch.autograd.Function):
    """d2_ij = || x_i / ||x_i|| - x_j / ||x_j|| ||^2, B x R x D -> B x R x R, and 0 on the diagonal.

    From the Gram matrix of the normalised vectors less their mean: differences are the same, and
    the rounding errors of vectors that are all alike, as features after a ReLU are, are far
    smaller. In blocks of columns, so that no normalised copy of the features is made.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        batch, rows, length = features.shape
        inverse = inverse_or_zero(_lengths(features))
        gram = features.new_zeros((batch, rows, rows))
        for part in blocks(length, batch * rows, block_size(features)):
            unit = features[:, :, part] * inverse
            unit -= unit.mean(1, keepdim=True)
            gram.baddbmm_(unit, unit.transpose(1, 2))
        square = torch.diagonal(gram, dim1=1, dim2=2)
        scale = square[:, :, None] + square[:, None, :]
        squared = torch.sub(scale, gram + gram.transpose(1, 2))
        eps = _ROUNDING * torch.finfo(features.dtype).eps
        squared.masked_fill_(squared <= eps * scale, 0)
        torch.diagonal(squared, dim1=1, dim2=2).zero_()
        ctx.save_for_backward(features, inverse)
        return squared

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        features, inverse = ctx.saved_tensors
        both = grad + grad.transpose(1, 2)
        laplacian = torch.diag_embed(both.sum(2)) - both
        with full_precision(features):
            result = torch.bmm((2 * laplacian) * inverse.transpose(1, 2), features)
        # Less the part along x_i, on which the normalised vector does not depend.
        along = _dots(features, result) * inverse * inverse
        return result.addcmul_(features, along, value=-1).mul_(inverse)


def _dots(left: Tensor, right: Tensor) -> Tensor:
    """B x R x D, B x R x D -> B x R x 1, in blocks of columns."""
    total = left.new_zeros(left.shape[:2] + (1, ))
    for part in blocks(left.shape[2], left.shape[0] * left.shape[1], block_size(left)):
        total += (left[:, :, part] * right[:, :, part]).sum(2, keepdim=True)
    return total


def _lengths(features: Tensor) -> Tensor:
    return torch.linalg.vector_norm(features, dim=2, keepdim=True)


def unit_squared_distances(features: Tensor) -> Tensor:
    """Squared distances between the L2-normalised rows, B x R x D -> B x R x R.

    Rows that are equal to within rounding have distance 0 and no gradient between them.
    """
    return _UnitSquaredDistances.apply(features)


def one_minus_cosines(features: Tensor) -> Tensor:
    """1 - cos between all rows, B x R x D -> B x R x R; 1 (a cosine of 0) with a row of zeros.

    Not the cosines: of rows that are all alike, only these keep their digits.
    """
    present = (_lengths(features.detach()) > 1e-15).to(features)
    missing = 1 - (present + present.transpose(1, 2)) / 2
    return unit_squared_distances(features) / 2 + missing


class _SampleRelation(Distance):
    """Base of the relations between the samples of a batch."""

    inters = ('sample', )

    def compared(self, n: int, c: int, h: int, w: int, patches: int = 1) -> Tuple[int, str]:
        return n, 'samples of the batch (N)'

    def measure(self, student: Tensor, teacher: Tensor) -> Tensor:
        n, c, h, w = student.shape[-4:]
        shape = (-1, n, c * h * w)
        return self.relate(student.reshape(shape), teacher.reshape(shape))

    def relate(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The distance for P x N x D vectors."""
        raise NotImplementedError


@MODELS.register_module()
class RKDDistance(_SampleRelation):
    """Distance-wise relational distillation.

    d_ij = ||x_i - x_j||_2 of L2-normalised features, psi_ij = d_ij / mean over i != j of d;
    mean over all N^2 pairs of huber(psi_ij(S) - psi_ij(T)), huber(x) = x^2 / 2 for abs(x) < 1, else
    abs(x) - 1/2.

    Features are flattened, N x CHW. With fewer than 3 samples psi does not depend on them.

    Source: Park et al. (RKD), CVPR 2019, section 3.2.1. Difference: features
    are L2-normalised first, as in MMRazor's ``DistanceWiseRKD(loss_weight=1, with_l2_norm=True)``,
    which this equals.
    """

    minimum = 3

    def relate(self, student: Tensor, teacher: Tensor) -> Tensor:
        return F.smooth_l1_loss(self.potential(student), self.potential(teacher))

    @staticmethod
    def potential(features: Tensor) -> Tensor:
        """psi, P x N x N."""
        n = features.shape[1]
        # The clamp is MMRazor's: the root has no gradient at 0.
        distances = unit_squared_distances(features).clamp(min=1e-12).sqrt()
        distances = distances * (1 - torch.eye(n, dtype=distances.dtype, device=distances.device))
        return distances * (n * (n - 1) / distances.sum((1, 2), keepdim=True))


class _AngleError(torch.autograd.Function):
    """Sum over i, j, k of huber(c_ijk(S) - c_ijk(T)) from squared distances, B x R x R.

    c_ijk = (d2_ij + d2_ik - d2_jk) / (2 d_ij d_ik), the law of cosines; 0 where d_ij or d_ik is.
    In blocks of anchors i; value and gradient in one go, so that nothing of size R^3 is kept.
    """

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor) -> Tensor:
        batch, rows, _ = student.shape
        gradient = torch.zeros_like(student) if ctx.needs_input_grad[0] else None
        total = student.new_zeros(())
        for part in blocks(rows, batch * rows * rows, block_size(student)):
            cosine, scale, inverse = _angles(student, part)
            difference = _angles(teacher, part)[0].sub_(cosine).neg_()
            slope = difference.clamp(-1, 1)
            total += difference.sub_(slope, alpha=0.5).mul_(slope).sum()
            if gradient is not None:
                # With e the slope: d/d d2_jk = -e / (2 d_ij d_ik), and all else is of d2_ij.
                along = cosine.mul_(slope).sum(3) * inverse.square()
                of_product = slope.mul_(scale)
                gradient[:, part] += of_product.sum(3).mul_(2).sub_(along)
                gradient -= of_product.sum(1)
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tuple[Tensor, None]:
        gradient, = ctx.saved_tensors
        return gradient * grad, None


def _angles(squared: Tensor, anchors: slice) -> Tuple[Tensor, Tensor, Tensor]:
    """c_ijk for the anchors i, 1 / (2 d_ij d_ik), and 1 / d_ij (0 for 1 / 0)."""
    to_others = squared[:, anchors]
    inverse = inverse_or_zero(to_others.sqrt())
    scale = (inverse / 2)[:, :, :, None] * inverse[:, :, None, :]
    cosine = to_others[:, :, :, None] + to_others[:, :, None, :]
    return cosine.sub_(squared[:, None]).mul_(scale), scale, inverse


@MODELS.register_module()
class RKDAngle(_SampleRelation):
    """Angle-wise relational distillation.

    c_ijk = <e_ij, e_ik>, e_ij = (x_j - x_i) / ||x_j - x_i||_2 of L2-normalised features; mean over
    all N^3 triples of huber(c_ijk(S) - c_ijk(T)) (``RKDDistance`` has huber).

    Features are flattened, N x CHW. Computed from the N x N squared distances by the law of
    cosines: N^3 numbers in blocks, where e has N^2 CHW.

    Source: Park et al. (RKD), CVPR 2019, section 3.2.2. Difference: features are
    L2-normalised first, as in MMRazor's ``AngleWiseRKD(loss_weight=1, with_l2_norm=True)``, which
    this equals.
    """

    minimum = 3

    def relate(self, student: Tensor, teacher: Tensor) -> Tensor:
        error = _AngleError.apply(unit_squared_distances(student), unit_squared_distances(teacher))
        return error / (student.shape[0] * student.shape[1]**3)


@MODELS.register_module()
class CorrelationDistance(_SampleRelation):
    """Correlation congruence: mean over all N^2 pairs of (K_ij(S) - K_ij(T))^2.

    K_ij = sum over p = 0..order of exp(-2 gamma) (2 gamma)^p / p! cos(x_i, x_j)^p: the Taylor
    series of the Gaussian kernel exp(-gamma ||x_i - x_j||^2) of L2-normalised features, N x CHW.

    Args:
        gamma: of the kernel, above 0.
        order: of the series, at least 1.

    Source: Peng et al. (CC), ICCV 2019, the generalised kernel; gamma = 0.4 and order 2 as
    there.
    """

    minimum = 2

    def __init__(self, gamma: float = 0.4, order: int = 2) -> None:
        super().__init__()
        if not gamma > 0 or not isinstance(order, int) or order < 1:
            raise ConfigError(f'CorrelationDistance.gamma must be above 0 and order at least 1, '
                              f'got {gamma} and {order}')
        self.gamma = gamma
        self.order = order
        taylor = [math.exp(-2 * gamma) * (2 * gamma)**p / math.factorial(p)
                  for p in range(order + 1)]
        #: of (1 - cos)^q, q = 1..order: cos^p = (1 - (1 - cos))^p multiplied out
        self.factors = [sum(taylor[p] * math.comb(p, q) * (-1)**q for p in range(q, order + 1))
                        for q in range(1, order + 1)]

    def relate(self, student: Tensor, teacher: Tensor) -> Tensor:
        return F.mse_loss(self.kernel(student), self.kernel(teacher))

    def kernel(self, features: Tensor) -> Tensor:
        """K less its value at cos = 1, which drops out of the difference; P x N x N."""
        apart = one_minus_cosines(features)
        result = torch.zeros_like(apart)
        for factor in reversed(self.factors):  # Horner
            result = (result + factor) * apart
        return result


@MODELS.register_module()
class LocalCorrelationDistance(Distance):
    """Local correlation: mean over N and P x P of (cos(x_a, x_b)(S) - cos(x_a, x_b)(T))^2.

    x_a are the flattened patches of one sample: the input is stacked patches, P x N x C x h x w.

    Source: Li et al. (LKD), ECCV 2020, "Local Correlation Exploration Framework": relations
    between the local parts of one sample. The paper's class-aware attention and its relations
    between samples are no part of it [the space has ``attention_mask`` and ``sample``].
    """

    inters = ('none', )
    minimum = 2

    def compared(self, n: int, c: int, h: int, w: int, patches: int = 1) -> Tuple[int, str]:
        return patches, 'patches of a sample (P, from LocalTransform)'

    def measure(self, student: Tensor, teacher: Tensor) -> Tensor:
        patches, n = student.shape[:2]
        student, teacher = (feature.reshape(patches, n, -1).transpose(0, 1)
                            for feature in (student, teacher))
        return F.mse_loss(one_minus_cosines(student), one_minus_cosines(teacher))
