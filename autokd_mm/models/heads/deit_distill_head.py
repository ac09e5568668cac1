"""The two heads of DeiT, trained as its authors did."""
from __future__ import annotations

from typing import Any, Dict, List, Tuple

import torch
from mmengine.dist import get_world_size
from mmpretrain.models.heads import DeiTClsHead
from torch import nn

from autokd_mm.registry import MODELS


@MODELS.register_module()
class DeiTDistillHead(DeiTClsHead):
    """DeiT's classifier, in which the teacher speaks to the distillation token alone.

    The labels train ``layers.head`` on the class token. A distiller that records
    ``layers.head_dist`` trains that on the distillation token; without one it gets no gradient, in
    a training of several processes, which wait for one, a gradient of 0.
    Predictions are the mean of both, and ``scores`` gives them to whoever listens. MMPretrain's
    own :class:`DeiTClsHead` trains both with the labels, and warns that it cannot distil; the
    weights have the same names and can be exchanged.

    Shapes: the backbone's (N x D class token, N x D distillation token) -> N x K.

    Args: those of ``DeiTClsHead``. Weights start from a truncated normal of 0.02, as DeiT's code
        has them, not from zero as MMPretrain's: a correlation gives constant logits no gradient.

    Source: Touvron et al. (DeiT), ICML 2021, section 4 and its equation (3).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault('init_cfg', dict(type='TruncNormal', layer='Linear', std=.02))
        super().__init__(*args, **kwargs)
        self.scores = nn.Identity()

    def forward(self, feats: Tuple[List[torch.Tensor]]) -> torch.Tensor:
        return self._mean(*self._scores(feats))

    def loss(self, feats: Tuple[List[torch.Tensor]], data_samples: List[Any],
             **kwargs: Any) -> Dict[str, torch.Tensor]:
        of_class, of_teacher = self._scores(feats)
        self._mean(of_class, of_teacher)  # for who listens
        if get_world_size() > 1:
            of_class = of_class + of_teacher.flatten()[:0].sum()
        return self._get_loss(of_class, data_samples, **kwargs)

    def _scores(self, feats: Tuple[List[torch.Tensor]]) -> Tuple[torch.Tensor, torch.Tensor]:
        """Of the class token, and of the distillation token."""
        class_token, distillation_token = self.pre_logits(feats)
        return self.layers.head(class_token), self.layers.head_dist(distillation_token)

    def _mean(self, of_class: torch.Tensor, of_teacher: torch.Tensor) -> torch.Tensor:
        return self.scores((of_class + of_teacher) / 2)
