"""Any metric of a config's ``val_evaluator``, on the held-out images."""
from __future__ import annotations

import contextlib
import copy
import io
import logging
import math
from typing import Any, Dict, Iterator, List, Mapping, Sequence

import numpy as np
import torch
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.registry import METRICS

from autokd_mm.datasets.annotations import BOXES, SEGMENTATION
from autokd_mm.errors import ConfigError, nearest
from autokd_mm.measure.dense_metrics import DenseMetric, bitmaps, predicted, shown_to_segmentor

# They give shares in percent.
_IN_PERCENT = ('mmseg', 'mmpretrain')
# Arguments of metrics that are for the images of validation, or for files.
_OF_FILES: Mapping[str, Any] = dict(ann_file=None, outfile_prefix=None, format_only=False,
                                    output_dir=None)


class OwnMetric(DenseMetric):
    """What one of the config's metrics says of held-out images, of which more is better.

    The metric sees what it sees in a validation, but for the size of the images: predictions and
    annotations are in the pixels of the network's input. One that reads its annotations from a
    file (COCO's) gets those of the held-out images instead. What MMSegmentation and MMPreTrain
    give in percent is in [0, 1] here.

    Args:
        evaluator: ``val_evaluator`` of the config.
        key: of one of its values, such as ``'coco/segm_mAP'``, ``'mAcc'`` or ``'accuracy/top5'``.
        dataset_meta: with the names of the classes.
        kind: of the annotations, see :mod:`autokd_mm.datasets.annotations`.

    Raises:
        ConfigError: a metric cannot be built for these images.
    """

    def __init__(self, evaluator: Any, key: str, dataset_meta: Mapping[str, Any],
                 kind: str) -> None:
        configs = [evaluator] if isinstance(evaluator, Mapping) else list(evaluator or ())
        self._key, self._kind, self._images = key, kind, 0
        self._metrics: List[Any] = []
        for config in configs:
            config = copy.deepcopy(dict(config))
            config.update({name: value for name, value in _OF_FILES.items() if name in config})
            try:
                with _silence():
                    self._metrics.append(METRICS.build(config))
            except Exception as error:
                raise ConfigError(f'train_cfg.metric: {config.get("type")} of val_evaluator cannot '
                                  f'judge the held-out images ({error})') from None
            self._metrics[-1].dataset_meta = dict(dataset_meta)

    def add(self, student: BaseModel, outputs: Mapping[str, torch.Tensor], inputs: torch.Tensor,
            samples: Sequence[Any]) -> None:
        if self._kind == SEGMENTATION:
            shown = shown_to_segmentor(inputs, samples)
            found = [_as_dict(sample) for sample in student.predict(inputs, shown)]
        elif self._kind == BOXES:
            shown = [self._shown(number, sample) for number, sample in enumerate(samples)]
            found = [dict(_as_dict(sample), instances=_instances(sample))
                     for sample in predicted(student, inputs, shown)]
        else:
            shown = [type(sample)().set_gt_label(sample.gt_label) for sample in samples]
            found = [_as_dict(sample) for sample in student.predict(inputs, shown)]
        self._images += len(samples)
        for metric in self._metrics:
            metric.process(None, found)

    def _shown(self, number: int, sample: Any) -> Any:
        """A sample as the network's input is: a detector's results are not resized."""
        size = tuple(map(int, sample.img_shape[:2]))
        shown = type(sample)(metainfo=dict(sample.metainfo, img_id=self._images + number,
                                           ori_shape=size, scale_factor=(1.0, 1.0)))
        shown.gt_instances = sample.gt_instances
        shown.ignored_instances = sample.ignored_instances
        return shown

    def value(self) -> float:
        """
        Raises:
            ConfigError: no metric gives a value of this name.
        """
        if not self._images:
            return math.nan
        found: Dict[str, float] = {}
        complete = True
        for metric in self._metrics:
            with _silence():
                # Not `evaluate`, which gathers what several ranks have seen: each sees all.
                values = metric.compute_metrics(metric.results)
            complete = complete and bool(values)
            percent = type(metric).__module__.split('.')[0] in _IN_PERCENT
            prefix = f'{metric.prefix}/' if metric.prefix else ''
            for name, value in values.items():
                found[prefix + name] = float(value) / (100 if percent else 1)
        if self._key not in found and complete:
            raise ConfigError(f'train_cfg.metric: {nearest(self._key, found)}')
        return found.get(self._key, 0.0)  # COCO's say nothing of a detector that finds nothing


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Metrics print tables, and log them."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


def _as_dict(sample: Any) -> Dict[str, Any]:
    return sample.to_dict()


def _instances(sample: Any) -> List[Dict[str, Any]]:
    """The annotations of an image as MMDetection's data sets give them."""
    result = []
    for ignored, instances in enumerate((sample.gt_instances, sample.ignored_instances)):
        boxes = getattr(instances.bboxes, 'tensor', instances.bboxes).tolist()
        masks = bitmaps(instances.masks, sample.img_shape[:2]) if 'masks' in instances else None
        for at, (box, label) in enumerate(zip(boxes, instances.labels.tolist())):
            one = dict(bbox=box, bbox_label=label, ignore_flag=ignored)
            if masks is not None:
                from pycocotools.mask import encode
                one['mask'] = encode(np.asfortranarray(masks[at]))
            result.append(one)
    return result
