"""Gram-L2: the similarities within a batch (SP) or between channels (ICKD)."""
from typing import Any, Tuple

import torch
from torch import Tensor

from autokd_mm.models.distances.base import Distance
from autokd_mm.models.transforms.tensors import block_size, blocks, inverse_or_zero
from autokd_mm.registry import MODELS

# Elements of a Gram matrix that are made at once even if the features are fewer.
_SMALL = 1 << 18


class _GramRowError(torch.autograd.Function):
    """Mean over batch and rows of ||unit(row i of S S') - unit(row i of T T')||^2.

    B x R x D features. The B x R x R Gram matrices are made a few samples at a time, and one that
    is larger than all features a few rows at a time; the gradient is summed up on the way.
    """

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor) -> Tensor:
        batch, rows, _ = student.shape
        limit = min(block_size(student), max(_SMALL, student.numel()))
        gradient = torch.empty_like(student) if ctx.needs_input_grad[0] else None
        total = student.new_zeros(())
        for of_batch in blocks(batch, rows * rows, limit):
            s, t = student[of_batch], teacher[of_batch]
            of_rows = list(blocks(rows, len(s) * rows, max(limit, student.numel())))
            for part in of_rows:
                unit_s, inverse = _unit_rows(s[:, part] @ s.transpose(1, 2))
                unit_t, _ = _unit_rows(t[:, part] @ t.transpose(1, 2))
                difference = torch.sub(unit_s, unit_t, out=unit_t)
                total += difference.square().sum()
                if gradient is None:
                    continue
                along = (unit_s * difference).sum(2, keepdim=True)
                of_gram = difference.addcmul_(unit_s, along, value=-1).mul_(2 * inverse)
                if len(of_rows) == 1:
                    torch.bmm(of_gram + of_gram.transpose(1, 2), s, out=gradient[of_batch])
                    continue
                if part.start == 0:
                    gradient[of_batch] = 0
                gradient[of_batch] += of_gram.transpose(1, 2) @ s[:, part]
                gradient[of_batch, part] += of_gram @ s
        if gradient is not None:
            ctx.save_for_backward(gradient)
        ctx.count = batch * rows
        return total / ctx.count

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tuple[Tensor, None]:
        gradient, = ctx.saved_tensors
        return gradient * (grad / ctx.count), None


def _unit_rows(gram: Tensor) -> Tuple[Tensor, Tensor]:
    """Rows of length 1 (in place, a row of zeros stays one), and 1 / their length before."""
    inverse = inverse_or_zero(torch.linalg.vector_norm(gram, dim=2, keepdim=True), 1e-30)
    return gram.mul_(inverse), inverse


@MODELS.register_module()
class GramL2Distance(Distance):
    """Squared difference of row-normalised Gram matrices, the mean over rows.

    inter='sample':  A in R^{N x CHW};  mean over i of
                     || row_i(A_T A_T') / ||.||_2 - row_i(A_S A_S') / ||.||_2 ||_2^2
                     (supplement of Auto-KD, eq. 1; Tung & Mori (SP), ICCV 2019).
    inter='channel': G in R^{C x HW} of each sample, the same, mean over N and C (supplement, eq. 3;
                     Liu et al. (ICKD), ICCV 2021).

    Differences: the printed root over the whole is dropped (it has no gradient at 0), and the norm,
    which the print leaves open, is that of rows, as in SP and in ICKD's code. SP sums and divides
    by N^2, so that it is ours over N; ICKD's code divides the sum by C N^2, which is ours over N.
    """

    inters = ('sample', 'channel')
    minimum = 2

    def compared(self, n: int, c: int, h: int, w: int, patches: int = 1) -> Tuple[int, str]:
        return (n, 'samples of the batch (N)') if self.inter == 'sample' else (c, 'channels (C)')

    def measure(self, student: Tensor, teacher: Tensor) -> Tensor:
        n, c, h, w = student.shape[-4:]
        shape = (-1, n, c * h * w) if self.inter == 'sample' else (-1, c, h * w)
        return _GramRowError.apply(student.reshape(shape), teacher.reshape(shape))
