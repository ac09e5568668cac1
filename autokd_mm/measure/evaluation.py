"""What a trained student is worth: the terms of the reward, from one pass over held-out images."""
from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

import torch
from torch import nn

from autokd_mm.layers.capture import capture
from autokd_mm.measure import terms as measures
from autokd_mm.models.distillers import Layers

Batch = Tuple[torch.Tensor, List[Any]]


def total_loss(losses: Dict[str, Any]) -> torch.Tensor:
    """Sum of everything with ``loss`` in its name, as MMEngine's ``parse_losses`` does it; the
    whole number 0, which leaves the format of what it is added to, where there is nothing."""
    parts: List[torch.Tensor] = []
    for name, value in losses.items():
        if 'loss' in name:
            parts.extend(item.mean() for item in (value if isinstance(value, list) else [value]))
    return sum(parts[1:], parts[0]) if parts else torch.zeros((), dtype=torch.int64)


@torch.no_grad()
def evaluate(student: nn.Module, batches: Iterable[Batch], layers: Layers,
             teacher: Mapping[str, torch.Tensor], labels: torch.Tensor) -> Dict[str, float]:
    """The measured terms of an :class:`~autokd_mm.search.reward.Outcome`.

    Args:
        student: evaluated in evaluation mode and left in it.
        batches: (inputs, data samples) of the held-out images, in order.
        teacher: by name of a pair of layers N x C x H x W of the same images. labels: N.
    """
    student.eval()
    loss = 0.0
    found: Dict[str, List[torch.Tensor]] = {pair.name: [] for pair in layers.all}
    wanted = layers.sources('student')
    if layers.scores:
        wanted['scores'], found['scores'] = layers.scores, []
    with capture(student, wanted, layers.layouts('student')) as outputs:
        for inputs, samples in batches:
            loss += float(total_loss(student(inputs, samples, mode='loss'))) * len(inputs)
            for name, parts in found.items():
                parts.append(outputs[name].float())
    joined = {name: torch.cat(parts) for name, parts in found.items()}
    logits = joined.get('scores', joined.get(layers.logits[0].name) if layers.logits else None)
    # Gram matrices in the 8 bits of bfloat16 would round the gaps to steps of 1/256.
    with torch.autocast(labels.device.type, enabled=False):
        return dict(task_terms(loss / len(labels), logits, labels),
                    **mean_terms([(pair.factor, feature_terms(joined[pair.name],
                                                              teacher[pair.name]))
                                  for pair in layers.pairs]))


def task_terms(loss: float, logits: Optional[torch.Tensor],
               labels: torch.Tensor) -> Dict[str, float]:
    """Loss, calibrated loss and accuracy; the latter two where logits are known."""
    if logits is None:
        return dict(held_out_loss=loss, calibrated_loss=loss, metric=float('nan'))
    return dict(held_out_loss=loss,
                calibrated_loss=measures.calibrated_cross_entropy(logits, labels),
                metric=float((logits.argmax(1) == labels).float().mean()))


def feature_terms(student: torch.Tensor, teacher: torch.Tensor) -> Dict[str, float]:
    """All distances of the two features."""
    return dict(gap=measures.linear_cka_gap(student, teacher),
                debiased_gap=measures.debiased_cka_gap(student, teacher),
                mse_gap=measures.mse_gap(student, teacher),
                linear_gap=measures.linear_gap(student, teacher),
                relation_gap=measures.relation_gap(student, teacher))


def mean_terms(pairs: Sequence[Tuple[float, Dict[str, float]]]) -> Dict[str, float]:
    """Mean of the terms of several pairs of layers, weighted by their factors."""
    if len(pairs) == 1:
        return pairs[0][1]
    return {name: sum(factor * terms[name] for factor, terms in pairs)
            for name in pairs[0][1]}
