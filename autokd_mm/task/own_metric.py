"""The metric that a config asks for, tried on an image before anything is written."""
from __future__ import annotations

import copy
from functools import partial
from typing import Any, Callable

import torch
from mmengine.model import BaseModel

from autokd_mm.datasets.annotations import LABEL
from autokd_mm.errors import ConfigError
from autokd_mm.measure.losses import first_words, given_back
from autokd_mm.measure.own_metric import OwnMetric
from autokd_mm.seeding import seeded_on


@torch.no_grad()
def own_metric(evaluator: Any, key: str, dataset: Any, kind: str, student: BaseModel,
               pixels: torch.Tensor, sample: Any) -> Callable[[], OwnMetric]:
    """Makes a new :class:`OwnMetric` for each measurement.

    Args:
        evaluator, key, kind: of :class:`OwnMetric`.
        dataset: of the training images, which names their classes.
        student: as initialised; not changed.
        pixels: C x H x W, uint8: an image with annotations, and ``sample`` what is known of it.

    Raises:
        ConfigError: there is no such metric, or it does not work on the held-out images.
    """
    make = partial(OwnMetric, evaluator, key, getattr(dataset, 'metainfo', None) or {}, kind)
    metric = make()
    data = student.data_preprocessor(dict(inputs=[pixels], data_samples=[copy.deepcopy(sample)]),
                                     training=kind != LABEL)
    try:
        with given_back(student), seeded_on(data['inputs'].device, 0, 8):
            student.eval()
            metric.add(student, {}, data['inputs'], data['data_samples'])
            metric.value()
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f'train_cfg.metric={key!r}: it cannot be measured on the held-out images '
                          f'({type(error).__name__}: {first_words(error)})') from None
    return make
