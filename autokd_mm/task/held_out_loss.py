"""How the loss of a student will be measured on the held-out images, before anything is written."""
from __future__ import annotations

import copy
import re
from typing import Any, Callable, Dict

import torch
from mmengine.model import BaseModel

from autokd_mm.datasets.annotations import LABEL
from autokd_mm.errors import ConfigError
from autokd_mm.measure.losses import (NONE, THROUGHOUT, TRAINING, find_mode, first_words,
                                      given_back)
from autokd_mm.seeding import seeded_on

# The words of Python for an annotation that nobody has packed.
_MISSING = re.compile(r"'(InstanceData|PixelData|\w*DataSample)' object has no attribute '_?(\w+)'")
# What LoadAnnotations, or another transform, must be told for it.
_REMEDIES = dict(
    masks='with_mask=True in LoadAnnotations',
    gt_sem_seg='with_seg=True in LoadAnnotations',
    sem_seg='with_seg=True in LoadAnnotations',
    bboxes='with_bbox=True in LoadAnnotations',
    labels='with_label=True in LoadAnnotations',
    gt_edge_map="dict(type='GenerateEdge') in the pipeline",
    proposals="dict(type='LoadProposals') and a proposal_file")


def find_loss(student: BaseModel, pixels: torch.Tensor, sample: Any, kind: str,
              say: Callable[[str], None]) -> str:
    """One of the modes of :mod:`autokd_mm.measure.losses`.

    Args:
        student: as initialised; not changed.
        pixels: C x H x W, uint8: an image with annotations, and ``sample`` what is known of it.
        kind: of the annotations.
        say: told in a line where the loss is not that of evaluation.

    Raises:
        ConfigError: the loss looks at an annotation that the images do not have; names its key.
            Or the student has no loss in training either.
    """
    data = _prepared(student, pixels, copy.deepcopy(sample), kind)
    with given_back(student):
        found = find_mode(student, data['inputs'], data['data_samples'], compare=kind != LABEL)
    if found.mode == NONE:
        for error in found.errors:
            _refuse_missing(error, student)
        _refuse_untrainable(student, data)
        say('held-out loss: none, neither in evaluation nor in training '
            f'({first_words(found.errors[-1])}); metric and gap are measured alone')
    if found.mode in (TRAINING, THROUGHOUT):
        other = 'its loss in training only' if found.errors else 'another loss in training'
        say(f'held-out loss: {type(student).__name__} has {other}, so it is measured as there, '
            'image by image, without dropout and with running statistics')
    return found.mode


def _prepared(student: BaseModel, pixels: torch.Tensor, sample: Any, kind: str) -> Dict[str, Any]:
    """As :meth:`~autokd_mm.proxy.batches.ProxyBatches.inputs` does it."""
    if kind == LABEL:  # which stay as they are: what mixes images would make shares of them
        inputs = student.data_preprocessor(dict(inputs=[pixels]), training=False)['inputs']
        return dict(inputs=inputs, data_samples=[sample.to(inputs.device)])
    data: Dict[str, Any] = student.data_preprocessor(
        dict(inputs=[pixels], data_samples=[sample]), training=True)
    return data


@torch.no_grad()
def _refuse_untrainable(student: BaseModel, data: Dict[str, Any]) -> None:
    inputs, samples = data['inputs'], data['data_samples']
    try:
        with seeded_on(inputs.device, 0, 7):
            copy.deepcopy(student).train()(inputs.repeat(2, 1, 1, 1),
                                           copy.deepcopy([*samples, *samples]), mode='loss')
    except Exception as error:
        raise ConfigError(f'model.architecture: the loss of {type(student).__name__} cannot be '
                          f'computed on images of train_dataloader ({type(error).__name__}: '
                          f'{first_words(error)})') from None


def _refuse_missing(error: Exception, student: BaseModel) -> None:
    missing = _MISSING.search(str(error)) if isinstance(error, (AttributeError, KeyError)) else None
    if missing is None:
        return
    name = missing.group(2)
    where = f'gt_instances.{name}' if missing.group(1) == 'InstanceData' else name
    remedy = f' ({_REMEDIES[name]})' if name in _REMEDIES else ''
    raise ConfigError(f'train_dataloader.dataset.pipeline: the loss of {type(student).__name__} '
                      f'needs {where}, which it does not pack, or not as numbers{remedy}') from None
