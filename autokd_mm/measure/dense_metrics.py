"""What users of detectors and segmentors look at, on held-out images: box mAP and mean IoU."""
from __future__ import annotations

import contextlib
import io
import math
from abc import ABC, abstractmethod
from typing import Any, Dict, List, Mapping, Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel

_IGNORED = 255  # in MMSegmentation's maps, and what its preprocessor pads them with


class DenseMetric(ABC):
    """Counts batches of held-out images."""

    @abstractmethod
    def add(self, student: BaseModel, outputs: Mapping[str, torch.Tensor], inputs: torch.Tensor,
            samples: Sequence[Any]) -> None:
        """Count a batch; ``outputs``: what the student has said at the layers."""

    @abstractmethod
    def value(self) -> float:
        """In [0, 1]; NaN without anything to be found."""


class MeanIoU(DenseMetric):
    """Intersection over union of the classes of the largest logits, as MMSegmentation computes it.

    Logits are interpolated to the image, ignored pixels are left out. Where most pixels are
    background, the accuracy of pixels would hide whether anything else is found.

    Args:
        source: name of the pair of layers with the logits.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._confusion = torch.zeros(())

    def add(self, student: BaseModel, outputs: Mapping[str, torch.Tensor], inputs: torch.Tensor,
            samples: Sequence[Any]) -> None:
        truth = torch.cat([sample.gt_sem_seg.data for sample in samples]).to(inputs.device)
        logits = F.interpolate(outputs[self._source].float(), truth.shape[1:], mode='bilinear',
                               align_corners=False)
        classes, there = logits.shape[1], truth != _IGNORED
        pairs = truth[there].long() * classes + logits.argmax(1)[there]
        found = torch.bincount(pairs, minlength=classes ** 2).view(classes, classes).cpu()
        self._confusion = self._confusion + found

    def value(self) -> float:
        return mean_iou(self._confusion)


def mean_iou(confusion: torch.Tensor) -> float:
    """Intersection over union, mean over the classes that occur.

    Args:
        confusion: C x C counts of pixels, by true and by predicted class.

    Returns:
        In [0, 1]; NaN without any pixel.
    """
    hits = confusion.diagonal()
    union = confusion.sum(0) + confusion.sum(1) - hits
    return float((hits / union)[union > 0].mean())


class BoxMAP(DenseMetric):
    """COCO's mAP of boxes, IoU 0.50 to 0.95, by pycocotools.

    The detector predicts as in a test, with its own thresholds and suppression, in the pixels of
    the network's input. Ignored boxes of the annotations count as COCO's crowds.
    """

    def __init__(self) -> None:
        self._images: List[Dict[str, Any]] = []
        self._truth: List[Dict[str, Any]] = []
        self._found: List[Dict[str, Any]] = []

    def add(self, student: BaseModel, outputs: Mapping[str, torch.Tensor], inputs: torch.Tensor,
            samples: Sequence[Any]) -> None:
        for sample in student.predict(inputs, samples, rescale=False):
            image = len(self._images) + 1
            self._images.append(dict(id=image))
            for crowd, instances in enumerate((sample.gt_instances, sample.ignored_instances)):
                for box, label in zip(_corners(instances.bboxes), instances.labels.tolist()):
                    box = _of_coco(box)
                    self._truth.append(dict(id=len(self._truth) + 1, image_id=image, bbox=box,
                                            category_id=label, iscrowd=crowd,
                                            area=box[2] * box[3]))
            found = sample.pred_instances
            for box, label, score in zip(_corners(found.bboxes), found.labels.tolist(),
                                         found.scores.tolist()):
                self._found.append(dict(image_id=image, bbox=_of_coco(box), category_id=label,
                                        score=score))

    def value(self) -> float:
        if all(box['iscrowd'] for box in self._truth):
            return math.nan
        if not self._found:
            return 0.0  # pycocotools knows no empty list of results
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO()
            labels = {box['category_id'] for box in self._truth + self._found}
            truth.dataset = dict(images=self._images, annotations=self._truth,
                                 categories=[dict(id=label) for label in sorted(labels)])
            truth.createIndex()
            judged = COCOeval(truth, truth.loadRes(self._found), 'bbox')
            judged.evaluate()
            judged.accumulate()
            judged.summarize()
        return float(judged.stats[0])


def _corners(boxes: Any) -> List[List[float]]:
    """R x 4 of x1, y1, x2, y2; of mmdet's BaseBoxes or of a tensor."""
    return getattr(boxes, 'tensor', boxes).tolist()


def _of_coco(box: Sequence[float]) -> List[float]:
    """x, y, width, height."""
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]
