"""What users of detectors and segmentors look at, on held-out images: mAP and mean IoU."""
from __future__ import annotations

import contextlib
import io
import math
from abc import ABC, abstractmethod
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.model import BaseModel

_PADDED = 255  # what MMSegmentation's preprocessor pads maps with, and its usual ignored label


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

    Logits are interpolated to the image, as the head says (``align_corners``). Pixels that the
    head's loss leaves out (its ``ignore_index``) and padding are left out. Where most pixels are
    background, the accuracy of pixels would hide whether anything else is found. Of one channel the
    sigmoid is compared with the head's ``threshold``.

    Args:
        source: name of the pair of layers with the logits; ``None``: the segmentor predicts as in
            a test.
    """

    def __init__(self, source: Optional[str] = None) -> None:
        self._source = source
        self._confusion = torch.zeros((0, 0), dtype=torch.int64)

    def add(self, student: BaseModel, outputs: Mapping[str, torch.Tensor], inputs: torch.Tensor,
            samples: Sequence[Any]) -> None:
        if self._source is None:
            for sample in student.predict(inputs, shown_to_segmentor(inputs, samples)):
                said = sample.pred_sem_seg.data[0]
                self._count(said, sample.gt_sem_seg.data[0].to(said.device), _ignored(student))
            return
        truth = torch.cat([sample.gt_sem_seg.data for sample in samples]).to(inputs.device)
        logits = F.interpolate(outputs[self._source].float(), truth.shape[1:], mode='bilinear',
                               align_corners=bool(getattr(_head(student), 'align_corners', False)))
        self._count(logits.argmax(1) if logits.shape[1] > 1 else
                    (logits[:, 0].sigmoid() > _threshold(student)).long(), truth,
                    _ignored(student), max(logits.shape[1], 2))

    def _count(self, said: torch.Tensor, truth: torch.Tensor, ignored: int,
               classes: int = 0) -> None:
        """Count pixels, of maps of equal shape."""
        there = (truth != _PADDED) & (truth != ignored)
        said, truth = said[there].long(), truth[there].long()
        seen = max((int(found.max()) + 1 for found in (said, truth) if found.numel()), default=0)
        classes = max(classes, seen, len(self._confusion))
        found = torch.bincount(truth * classes + said, minlength=classes ** 2).cpu()
        more = classes - len(self._confusion)
        self._confusion = F.pad(self._confusion, (0, more, 0, more)) + found.view(classes, classes)

    def value(self) -> float:
        return mean_iou(self._confusion)


def in_windows(test_cfg: Optional[Mapping[str, Any]]) -> bool:
    """Whether a segmentor predicts an image in windows (``mode='slide'``)."""
    return test_cfg is not None and test_cfg.get('mode') == 'slide'


def _head(student: BaseModel) -> Any:
    """That of a segmentor which its prediction comes from; of a cascade the last."""
    head = getattr(student, 'decode_head', None)
    return head[-1] if isinstance(head, torch.nn.ModuleList) else head


def _threshold(student: BaseModel) -> float:
    """Of a segmentor whose head says one channel."""
    threshold = getattr(_head(student), 'threshold', None)
    return 0.5 if threshold is None else float(threshold)


def _ignored(student: BaseModel) -> int:
    """The class of pixels that the head's loss leaves out."""
    index = getattr(_head(student), 'ignore_index', None)
    return _PADDED if index is None else int(index)


def shown_to_segmentor(inputs: torch.Tensor, samples: Sequence[Any]) -> List[Any]:
    """Samples of a padded batch with which a segmentor predicts in the size of each image; their
    maps are cut to it."""
    from mmengine.structures import PixelData
    batch, shown = tuple(map(int, inputs.shape[-2:])), []
    for sample in samples:
        height, width = map(int, sample.img_shape[:2])
        one = type(sample)(metainfo=dict(
            sample.metainfo, ori_shape=(height, width), img_shape=batch, pad_shape=batch,
            padding_size=[0, batch[1] - width, 0, batch[0] - height]))
        one.gt_sem_seg = PixelData(data=sample.gt_sem_seg.data[:, :height, :width])
        shown.append(one)
    return shown


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
    """COCO's mAP of boxes, or of instance masks, IoU 0.50 to 0.95, by pycocotools.

    The detector predicts as in a test, with its own thresholds and suppression, in the pixels of
    the network's input. Ignored boxes of the annotations count as COCO's crowds. Of a detector
    whose boxes have no area, as SOLO's, the masks are compared whatever is asked for.

    Args:
        masks: compare the instances' masks.
    """

    def __init__(self, masks: bool = False) -> None:
        self._masks = masks
        self._images: List[Dict[str, Any]] = []
        self._truth: List[Dict[str, Any]] = []
        self._found: List[Dict[str, Any]] = []

    def add(self, student: BaseModel, outputs: Mapping[str, torch.Tensor], inputs: torch.Tensor,
            samples: Sequence[Any]) -> None:
        for sample in predicted(student, inputs, samples):
            image, size = len(self._images) + 1, getattr(sample, 'img_shape', (0, 0))
            self._images.append(dict(id=image, height=int(size[0]), width=int(size[1])))
            for crowd, instances in enumerate((sample.gt_instances, sample.ignored_instances)):
                for found in _instances(instances, sample, True):
                    self._truth.append(dict(found, id=len(self._truth) + 1, image_id=image,
                                            iscrowd=crowd, area=_area(found)))
            self._found += [dict(found, image_id=image)
                            for found in _instances(sample.pred_instances, sample, self._masks)]

    def value(self) -> float:
        if all(box['iscrowd'] for box in self._truth):
            return math.nan
        if not self._found:
            return 0.0  # pycocotools knows no empty list of results
        masks = (self._masks or not any(map(_area, self._found))) and all(
            'segmentation' in one for one in self._truth + self._found)
        return _coco_map(self._images, self._truth, self._found, 'segm' if masks else 'bbox')


def predicted(student: BaseModel, inputs: torch.Tensor, samples: Sequence[Any]) -> List[Any]:
    """Samples with ``pred_instances``; none where nothing that is found touches the image, of which
    MMDetection cannot paste the masks."""
    try:
        return list(student.predict(inputs, samples, rescale=False))
    except RuntimeError as error:
        if 'inconsistent with step sign' not in str(error):
            raise
    if len(samples) > 1:
        return [predicted(student, image, [sample])[0]
                for image, sample in zip(inputs.split(1), samples)]
    from mmengine.structures import InstanceData
    samples[0].pred_instances = InstanceData(
        bboxes=inputs.new_zeros(0, 4), labels=inputs.new_zeros(0).long(),
        scores=inputs.new_zeros(0))
    return list(samples)


def _coco_map(images: List[Dict[str, Any]], truth: List[Dict[str, Any]],
              found: List[Dict[str, Any]], kind: str) -> float:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval
    if kind == 'segm':  # the area is that of the masks, of which pycocotools asks without boxes
        found = [{key: value for key, value in one.items() if key != 'bbox'} for one in found]
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        labels = {one['category_id'] for one in truth + found}
        known.dataset = dict(images=images, annotations=truth,
                             categories=[dict(id=label) for label in sorted(labels)])
        known.createIndex()
        judged = COCOeval(known, known.loadRes(found), kind)
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return float(judged.stats[0])


def _instances(instances: Any, sample: Any, masks: bool) -> List[Dict[str, Any]]:
    """COCO's box, category, score and segmentation of each instance.

    Args:
        sample: of the image, in whose size masks are given.
        masks: give them; otherwise only where no box has an area.
    """
    boxes = getattr(instances, 'bboxes', None)
    if boxes is None or not len(boxes):
        return []
    result: List[Dict[str, Any]] = [
        dict(bbox=_of_coco(box), category_id=label)
        for box, label in zip(_corners(boxes), instances.labels.tolist())]
    if getattr(instances, 'scores', None) is not None:
        for one, score in zip(result, instances.scores.tolist()):
            one['score'] = score
    found = getattr(instances, 'masks', None)
    if found is not None and (masks or not any(map(_area, result))):
        from pycocotools.mask import encode
        for one, mask in zip(result, bitmaps(found, sample.img_shape[:2])):
            one['segmentation'] = encode(np.asfortranarray(mask))
    return result


def _area(one: Mapping[str, Any]) -> float:
    return one['bbox'][2] * one['bbox'][3]


def bitmaps(masks: Any, size: Sequence[int]) -> np.ndarray:
    """N x H x W of mmdet's masks or of a tensor, uint8: cut where they are padded, resized where
    a head gives them in the size of another image."""
    given = hasattr(masks, 'to_ndarray')
    found = masks.to_ndarray() if given else torch.as_tensor(masks).cpu().numpy()
    if given:
        found = found[:, :size[0], :size[1]]
    elif found.shape[1:] != tuple(size):
        found = F.interpolate(torch.from_numpy(found)[None].float(), tuple(size),
                              mode='nearest')[0].numpy()
    return (found > 0.5).astype(np.uint8)


def _corners(boxes: Any) -> List[List[float]]:
    """R x 4 of x1, y1, x2, y2; of mmdet's BaseBoxes or of a tensor."""
    return getattr(boxes, 'tensor', boxes).tolist()


def _of_coco(box: Sequence[float]) -> List[float]:
    """x, y, width, height."""
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]
