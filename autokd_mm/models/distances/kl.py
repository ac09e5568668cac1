"""Kullback-Leibler divergence of softmaxes at a temperature."""
from typing import Any, Optional, Tuple

import torch
from torch import Tensor

from autokd_mm.models.distances.base import Distance
from autokd_mm.models.numbers import above_zero
from autokd_mm.models.transforms.tensors import block_size, blocks
from autokd_mm.registry import MODELS


class _SoftmaxKL(torch.autograd.Function):
    """Sum over all vectors along dim 1 of KL(softmax(t / tau) || softmax(s / tau)), times a factor.

    With p of the teacher and q of the student, KL = sum p (log p - log q) + sum (q - p): the
    second sum is 0 but for rounding, and makes an error common to all log q (that of their
    normaliser) drop out. Without it the loss of long vectors at a high temperature, where
    KL << log K, has only three or four right digits in float32.

    The gradient, (q - p) / tau, comes for free with the value; it is all that is kept. The factor
    is in here because a step of its own for autograd takes as long as a softmax of a batch.
    """

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor, tau: float, factor: float) -> Tensor:
        each = student.numel() // len(student)
        parts = list(blocks(len(student), each, block_size(student)))
        gradient: Optional[Tensor] = None
        total: Optional[Tensor] = None
        for part in parts:
            log_q, log_p = (_log_softmax(values if len(parts) == 1 else values[part], tau)
                            for values in (student, teacher))
            p = log_p.exp()
            ratio = log_p.sub_(log_q)
            difference = log_q.exp_().sub_(p)
            found = p.mul_(ratio).add_(difference).sum()
            total = found if total is None else total + found
            if not ctx.needs_input_grad[0]:
                continue
            if len(parts) == 1:
                gradient = difference
            else:
                gradient = torch.empty_like(student) if gradient is None else gradient
                gradient[part] = difference
        if gradient is not None:
            ctx.save_for_backward(gradient)
        ctx.slope = factor / tau
        assert total is not None  # no batch is empty
        return total.clamp_(min=0).mul_(factor)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tuple[Tensor, None, None, None]:
        gradient, = ctx.saved_tensors
        return gradient * (grad * ctx.slope), None, None, None


def _log_softmax(values: Tensor, tau: float) -> Tensor:
    return torch.log_softmax(values if tau == 1 else values / tau, 1)


@MODELS.register_module()
class KLDistance(Distance):
    """tau^2 KL(softmax(T / tau) || softmax(S / tau)), the mean over vectors.

    inter='none'
        softmax over C at each position, mean over N, H, W (pixel-wise distillation, Liu et al.,
        CVPR 2019; on N x K logits this is KD, Hinton et al. 2015).
    inter='sample'
        softmax over C H W of each sample, mean over N (supplement of Auto-KD, eq. 2).
    inter='channel'
        softmax over H W of each channel of each sample, mean over N and C (supplement, eq. 4; Shu
        et al. (CWD), ICCV 2021).

    Args:
        temperature: tau, in units of the feature. tau^2 keeps the gradient's size about the same
            at all temperatures.

    MMRazor's ``KLDivergence`` is inter='none' on N x C (and H W times it on maps, since 'batchmean'
    divides by N only); ``ChannelWiseDivergence`` is inter='channel'.
    """

    minimum = 2

    def __init__(self, temperature: float = 1.0, inter: str = 'none') -> None:
        super().__init__(inter)
        self.temperature = above_zero('KLDistance.temperature', temperature)

    def compared(self, n: int, c: int, h: int, w: int, patches: int = 1) -> Tuple[int, str]:
        if self.inter == 'none':
            return c, 'channels at a position (C)'
        if self.inter == 'sample':
            return c * h * w, 'values of a sample (C H W)'
        return h * w, 'positions of a channel (H W)'

    def measure(self, student: Tensor, teacher: Tensor) -> Tensor:
        c, h, w = student.shape[-3:]
        shape, vectors_each = {
            # Over the last dimension where that is possible: softmax is faster there.
            'none': ((-1, c, h * w) if h * w > 1 else (-1, c), h * w),
            'sample': ((-1, c * h * w), 1),
            'channel': ((-1, h * w), 1)
        }[self.inter]
        return self.of_vectors(student.reshape(shape), teacher.reshape(shape), vectors_each)

    def of_vectors(self, student: Tensor, teacher: Tensor, each: int = 1) -> Tensor:
        """The mean over vectors along dim 1, of which there are ``each`` in each row."""
        return _SoftmaxKL.apply(student, teacher, self.temperature,
                                self.temperature**2 / (len(student) * each))

    def extra_repr(self) -> str:
        return f'temperature={self.temperature}, inter={self.inter!r}'
