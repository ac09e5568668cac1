"""RoI heads of a teacher and a student that judge the same boxes."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple

import torch
from torch import nn

from autokd_mm.errors import ConfigError

if TYPE_CHECKING:  # what it is mixed into; MMDetection may be missing
    from mmdet.models.roi_heads import StandardRoIHead as RoIHead
else:
    RoIHead = object

FIELD = 'teacher_boxes'  # of a data sample: R x 4 in pixels of the (padded) image, R >= 1


class BoxLogits(nn.Identity):
    """Whoever listens gets classification logits, one row for each box of the batch in the order
    of its images: (R_1 + ... + R_N) x (classes + background)."""


class SharedBoxes(RoIHead):
    """Makes a RoI head of MMDetection judge the teacher's boxes beside its own.

    Each network has proposals of its own, and logits can be compared on the same boxes only. In
    ``mode='tensor'``, the teacher's, the head leaves the first ``count`` proposals of each image in
    the field ``teacher_boxes`` of its data sample and judges them; in training and prediction, the
    student's, it judges the boxes that it finds there on top of what it does anyway. An image
    without proposals is one box. The logits go through ``shared_logits``, a module without weights.
    """
    count: int
    shared_logits: BoxLogits

    def forward(self, x: Tuple[torch.Tensor, ...], rpn_results_list: List[Any],
                batch_data_samples: Optional[List[Any]] = None) -> Tuple[Any, ...]:
        for proposals, sample in zip(rpn_results_list, batch_data_samples or ()):
            setattr(sample, FIELD, self._first(proposals.bboxes, sample))
        self._judge(x, batch_data_samples)
        return super().forward(x, rpn_results_list, batch_data_samples)

    def loss(self, x: Tuple[torch.Tensor, ...], rpn_results_list: List[Any],
             batch_data_samples: List[Any]) -> Dict[str, torch.Tensor]:
        losses = super().loss(x, rpn_results_list, batch_data_samples)
        self._judge(x, batch_data_samples)
        return losses

    def predict(self, x: Tuple[torch.Tensor, ...], rpn_results_list: List[Any],
                batch_data_samples: List[Any], **kwargs: Any) -> List[Any]:
        self._judge(x, batch_data_samples)
        return super().predict(x, rpn_results_list, batch_data_samples, **kwargs)

    def _first(self, proposals: Any, sample: Any) -> torch.Tensor:
        boxes = getattr(proposals, 'tensor', proposals)[:self.count]  # MMDetection's BaseBoxes
        if len(boxes):
            return boxes
        height, width = sample.img_shape[:2]
        return boxes.new_tensor([[0, 0, width, height]])

    def _judge(self, x: Tuple[torch.Tensor, ...], samples: Optional[Sequence[Any]]) -> None:
        samples = samples or ()
        boxes = [getattr(sample, FIELD) for sample in samples
                 if getattr(sample, FIELD, None) is not None]
        if boxes and len(boxes) == len(samples):
            from mmdet.structures.bbox import bbox2roi
            rois = bbox2roi([found.to(x[0].device) for found in boxes])
            self.shared_logits(self._bbox_forward(x, rois)['cls_score'])


def share_boxes(detector: nn.Module, count: Any) -> nn.Module:
    """Let a detector's RoI head judge the teacher's boxes; its weights and their names stay.

    Args:
        detector: with a ``StandardRoIHead`` of MMDetection, or one made from it.
        count: at most so many boxes of an image.

    Raises:
        ConfigError: it has no such head, or ``count`` is no number of boxes.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ConfigError(f'model.shared_boxes={count!r}: must be a number of boxes, 1 or more')
    from mmdet.models.roi_heads import StandardRoIHead
    head: Any = getattr(detector, 'roi_head', None)
    if not isinstance(head, StandardRoIHead):
        found = 'no RoI head' if head is None else f'a {type(head).__name__}'
        raise ConfigError(f'model.shared_boxes: {type(detector).__name__} has {found}, it must be '
                          'a StandardRoIHead; leave shared_boxes out')
    boxes: Any = getattr(head, 'bbox_head', None)
    if getattr(boxes, 'custom_cls_channels', False):
        raise ConfigError(f'model.shared_boxes: the RoI head of {type(detector).__name__} has a '
                          f'{type(boxes.loss_cls).__name__}, which reads more from the scores than '
                          'one softmax over the classes and the background, it must be a '
                          'CrossEntropyLoss; leave shared_boxes out')
    if getattr(boxes, 'num_instance', 1) > 1:
        raise ConfigError(f'model.shared_boxes: the RoI head of {type(detector).__name__} gives '
                          f'the scores of {boxes.num_instance} objects for a box, which are no one '
                          'softmax, it must be one for each; leave shared_boxes out')
    if not getattr(detector, 'with_rpn', True):
        raise ConfigError(f'model.shared_boxes: {type(detector).__name__} makes no boxes but reads '
                          'them from a file, it must have an rpn_head; leave shared_boxes out')
    if not isinstance(head, SharedBoxes):
        # Not a class for configs: a detector stays what MMDetection calls it, whoever distils it.
        head.__class__ = type(f'SharedBoxes{type(head).__name__}', (SharedBoxes, type(head)), {})
        head.shared_logits = BoxLogits()
    head.count = count
    return detector
