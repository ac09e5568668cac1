"""Distillation of the outputs: KL (KD) and Pearson (DIST)."""
from typing import Optional

from torch import Tensor, nn

from autokd_mm.errors import ConfigError, nearest
from autokd_mm.models.distances import KLDistance, PearsonDistance
from autokd_mm.models.numbers import above_zero, checked_weight
from autokd_mm.models.transforms.padding import SeesSizes
from autokd_mm.models.transforms.tensors import checked, full_precision, two_classes, weighted
from autokd_mm.registry import MODELS

LOGITS_DISTANCES = ('kl', 'pearson_inter', 'pearson_intra', 'pearson_both')


@MODELS.register_module()
class LogitsLoss(SeesSizes, nn.Module):
    """loss_weight * distance of softmax(student / tau) and softmax(teacher / tau).

    'kl':            tau^2 KL(p_T || p_S) over the K classes, mean over N.
    'pearson_inter': tau^2 (1 - r(p_S[n], p_T[n])) over the K classes, mean over N.
    'pearson_intra': tau^2 (1 - r(p_S[:, k], p_T[:, k])) over the batch, mean over K.
    'pearson_both':  the sum of the two.
    p = softmax(logits / tau) over the classes; r is Pearson's correlation. Logits of one class, as
    of a sigmoid that tells it from the rest, are those of two, 0 and the logit.

    Shapes: N x K (N images, or boxes of some images), or dense N x K x H x W, whose positions count
    as samples (N H W x K; those in the padding of a batch are left out, if its sizes are shown by
    ``show_samples``). Returns a
    scalar of at least float32. The teacher gets no gradient.

    Args:
        distance: one of the four names.
        temperature: tau, in units of a logit.
        loss_weight: factor of the loss.

    Source: Hinton et al. (KD), 2015, section 2; Huang et al. (DIST), NeurIPS 2022; supplement
    of Auto-KD, section 0.1.1, "Logits Distillation". MMRazor's ``KLDivergence(tau)`` is
    'kl', ``DISTLoss(tau=tau)`` 'pearson_both' but for the 1e-8 that it adds to the product of the
    two norms, which at a high temperature and many classes is not small beside it (r is 0.2 % too
    low at tau = 16 and K = 1000 for logits of unit variance). With fewer than 3 samples
    'pearson_intra' is 0.
    """

    def __init__(self,
                 distance: str = 'kl',
                 temperature: float = 4.0,
                 loss_weight: float = 1.0) -> None:
        super().__init__()
        if distance not in LOGITS_DISTANCES:
            raise ConfigError(f'LogitsLoss.distance: {nearest(distance, LOGITS_DISTANCES)}')
        self.loss_weight = checked_weight('LogitsLoss', loss_weight)
        self.kind = distance
        self.temperature = above_zero('LogitsLoss.temperature', temperature)
        self.kl = KLDistance(self.temperature) if distance == 'kl' else None
        self.inter = _pearson('none', distance in ('pearson_inter', 'pearson_both'))
        self.intra = _pearson('channel', distance in ('pearson_intra', 'pearson_both'))

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        student, teacher = map(two_classes, checked(student, teacher, 'LogitsLoss'))
        inside = self.sizes.positions(student) if self.sizes and student.dim() == 4 else None
        if inside is not None:
            student, teacher = (logits.permute(0, 2, 3, 1)[inside] for logits in (student, teacher))
        if self.kl is not None:
            return weighted(self._divergence(self.kl, student, teacher), self.loss_weight)
        student, teacher = (self._probabilities(logits) for logits in (student, teacher))
        found = [distance.compare(student, teacher) for distance in (self.inter, self.intra)
                 if distance is not None]
        return weighted(sum(found[1:], found[0]), self.temperature**2 * self.loss_weight)

    @staticmethod
    def _divergence(kl: KLDistance, student: Tensor, teacher: Tensor) -> Tensor:
        if student.dim() != 2:
            return kl.compare(student, teacher)
        with full_precision(student):  # no map is made of vectors: that takes as long as the rest
            return kl.of_vectors(student, teacher)

    def _probabilities(self, logits: Tensor) -> Tensor:
        """N x K, or N x K x H x W -> N H W x K x 1 x 1."""
        folded = logits if logits.dim() == 2 else logits.permute(0, 2, 3, 1).flatten(0, 2)
        found = (folded / self.temperature).softmax(1)
        return found.view(*found.shape, 1, 1)

    def extra_repr(self) -> str:
        return (f'distance={self.kind!r}, temperature={self.temperature}, '
                f'loss_weight={self.loss_weight}')


def _pearson(inter: str, wanted: bool) -> Optional[PearsonDistance]:
    return PearsonDistance(inter) if wanted else None
