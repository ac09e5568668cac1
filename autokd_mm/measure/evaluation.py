"""What a trained student is worth: the terms of the reward, from one pass over held-out images."""
from __future__ import annotations

from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

import torch
from torch import nn

from autokd_mm.layers.capture import capture
from autokd_mm.layers.find import forward
from autokd_mm.measure import terms as measures
from autokd_mm.measure.dense_metrics import DenseMetric
from autokd_mm.measure.losses import EVALUATION, loss_of_images
from autokd_mm.models.connectors.layout import Layout
from autokd_mm.models.distillers import Layers
from autokd_mm.models.transforms.tensors import two_classes

Batch = Tuple[torch.Tensor, List[Any]]
Heard = Tuple[torch.Tensor, List[Any], float, Dict[str, torch.Tensor]]


@torch.no_grad()
def evaluate(student: nn.Module, batches: Iterable[Batch], layers: Layers,
             teacher: Mapping[str, torch.Tensor], labels: torch.Tensor,
             loss_mode: str = EVALUATION,
             metric: Optional[DenseMetric] = None) -> Dict[str, float]:
    """The measured terms of an :class:`~autokd_mm.search.reward.Outcome`.

    Args:
        student: evaluated in evaluation mode and left in it.
        batches: (inputs, data samples) of the held-out images, in order.
        teacher: by name of a pair of layers N x C x H x W of the same images. labels: N.
        loss_mode: see :mod:`~autokd_mm.measure.losses`.
        metric: takes the place of the accuracy.
    """
    student.eval()
    loss = 0.0
    found: Dict[str, List[torch.Tensor]] = {pair.name: [] for pair in layers.all}
    wanted = layers.sources('student')
    if layers.scores:
        wanted['scores'], found['scores'] = layers.scores, []
    for inputs, samples, value, outputs in losses_and_outputs(student, batches, wanted, loss_mode,
                                                              layers.layouts('student')):
        loss += value
        for name, parts in found.items():
            parts.append(outputs[name].float())
        if metric is not None:
            metric.add(student, outputs, inputs, samples)
    joined = {name: torch.cat(parts) for name, parts in found.items()}
    logits = joined.get('scores', joined.get(layers.logits[0].name) if layers.logits else None)
    # Gram matrices in the 8 bits of bfloat16 would round the gaps to steps of 1/256.
    with torch.autocast(labels.device.type, enabled=False):
        task = task_terms(loss / len(labels), logits, labels)
        if metric is not None:
            task['metric'] = metric.value()
        return dict(task, **mean_terms([(pair.factor, feature_terms(joined[pair.name],
                                                                    teacher[pair.name]))
                                        for pair in layers.pairs]))


def losses_and_outputs(student: nn.Module, batches: Iterable[Batch], sources: Mapping[str, str],
                       loss_mode: str,
                       layouts: Optional[Mapping[str, Layout]] = None) -> Iterator[Heard]:
    """For each batch its inputs and samples, the sum of the images' losses, and what the layers
    ``sources`` say of the batch in evaluation mode, by name, read as ``layouts`` say."""
    if loss_mode == EVALUATION:
        with capture(student, sources, layouts) as outputs:
            for inputs, samples in batches:
                value = loss_of_images(student, inputs, samples, loss_mode)
                yield inputs, samples, value, outputs
        return
    for inputs, samples in batches:
        value = loss_of_images(student, inputs, samples, loss_mode)
        yield inputs, samples, value, forward(student, sources, inputs, samples, layouts)


def task_terms(loss: float, logits: Optional[torch.Tensor],
               labels: torch.Tensor) -> Dict[str, float]:
    """Loss, calibrated loss and accuracy; the latter two where logits are known."""
    if logits is None:
        return dict(held_out_loss=loss, calibrated_loss=loss, metric=float('nan'))
    logits = two_classes(logits)
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
