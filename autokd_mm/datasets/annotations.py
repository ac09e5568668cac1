"""What is known of an image, from the data samples of a pipeline to arrays and back.

Three kinds: one class label (mmpretrain's ``DataSample``), boxes (mmdet's ``DetDataSample``) and a
segmentation map (mmseg's ``SegDataSample``). The latter two may have more beside them, such as
instance masks: see :mod:`autokd_mm.datasets.extras`.
"""
from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple

import numpy as np
import torch

from autokd_mm.datasets import extras
from autokd_mm.errors import ConfigError, DataError

LABEL, BOXES, SEGMENTATION = 'label', 'boxes', 'segmentation'
Arrays = Dict[str, np.ndarray]
# Of each array: shape of one image's, None where images differ; dtype.
Shaped = Tuple[Tuple[Optional[int], ...], str]
_OF_IMAGES: Dict[str, Shaped] = dict(
    ori_shape=((2, ), 'int32'), scale_factor=((2, ), 'float64'))
LAYOUT: Dict[str, Dict[str, Shaped]] = {
    LABEL: dict(labels=((), 'int64')),
    BOXES: dict(boxes=((None, 4), 'float32'), labels=((None, ), 'int64'),
                ignored_boxes=((None, 4), 'float32'), ignored_labels=((None, ), 'int64'),
                **_OF_IMAGES),
    SEGMENTATION: dict(segmentation=((1, None, None), 'uint8'), **_OF_IMAGES)}
# What the arrays of LAYOUT hold; all else is kept as extras.
_OWN = {BOXES: [f'{field}.{key}' for field in ('gt_instances', 'ignored_instances')
                for key in ('bboxes', 'labels')],
        SEGMENTATION: ['gt_sem_seg.data']}
_PANOPTIC = ('train_dataloader: panoptic segmentation (%s) cannot be searched, because nothing '
             'measures it on the held-out images; leave the stuff out and search for instances')


def kind_of(sample: Any) -> str:
    """``'label'``, ``'boxes'`` or ``'segmentation'``.

    Raises:
        ConfigError: the sample has none of them, or it is a panoptic one.
    """
    kind = ''
    if _has(sample, 'gt_score') or (_has(sample, 'gt_label') and sample.gt_label.numel() != 1):
        raise ConfigError('train_dataloader: its images have several labels each, or none '
                          '(multi-label), which cannot be searched; the proxy needs one')
    if _has(sample, 'gt_label'):
        kind = LABEL
    elif _has(sample, 'gt_instances') and 'bboxes' in sample.gt_instances:
        kind = BOXES
    elif _has(sample, 'gt_sem_seg') and 'data' in sample.gt_sem_seg:
        kind = SEGMENTATION
    if not kind:
        raise ConfigError('train_dataloader: the proxy needs one class label, boxes '
                          '(gt_instances.bboxes) or a segmentation map (gt_sem_seg.data) for each '
                          f'image, got {type(sample).__name__} without; is LoadAnnotations in the '
                          'pipeline?')
    if _has(sample, 'gt_panoptic_seg'):
        raise ConfigError(_PANOPTIC % 'gt_panoptic_seg')
    return kind


def refuse_panoptic(steps: Iterable[Any]) -> None:
    """
    Raises:
        ConfigError: a transform of the pipeline loads panoptic annotations.
    """
    for step in steps:
        if 'Panoptic' in type(step).__name__:
            raise ConfigError(_PANOPTIC % type(step).__name__)


def kind_in(arrays: Mapping[str, Any]) -> str:
    """The kind of annotation in a bank's arrays."""
    return next((kind for kind in (BOXES, SEGMENTATION) if kind in arrays), LABEL)


def layout_of(kind: str, arrays: Mapping[str, np.ndarray]) -> Dict[str, Shaped]:
    """``LAYOUT`` of a kind, and of what else one image's arrays hold."""
    more = {name: ((None, ) * array.ndim, array.dtype.name) for name, array in arrays.items()
            if extras.is_extra(name)}
    return {**LAYOUT[kind], **more}


def names_in(kind: str, arrays: Iterable[str]) -> List[str]:
    """Which arrays of a bank are annotations."""
    return [*LAYOUT[kind], *filter(extras.is_extra, arrays)]


def to_arrays(sample: Any, size: Tuple[int, int]) -> Arrays:
    """A data sample as arrays, those of :func:`layout_of`.

    Boxes are clipped to the image; those with nothing inside are dropped with their labels and
    whatever else there is of them. A pipeline that pads on all sides moves no box (MMDetection's
    RandomCenterCropPad with ``test_mode=True``, which says so by ``border``): they are moved here.

    Args:
        size: (height, width) of the image as the pipeline made it, the sample's ``img_shape``.

    Raises:
        ConfigError: see :func:`kind_of`; boxes that are not R x 4 finite numbers; a map of another
            size than the image, or that does not fit into uint8.
    """
    kind = kind_of(sample)
    if kind == LABEL:
        return dict(labels=np.array(int(sample.gt_label), np.int64))
    arrays: Arrays = dict(
        ori_shape=np.array(sample.get('ori_shape', size)[:2], np.int32),
        scale_factor=np.array(sample.get('scale_factor', (1.0, 1.0))[:2], np.float64))
    kept: Arrays = {}
    if kind == BOXES:
        for field, name in (('gt_instances', ''), ('ignored_instances', 'ignored_')):
            arrays[f'{name}boxes'], arrays[f'{name}labels'], kept[field] = _boxes(
                sample.get(field), size, sample.get('border'))
    else:
        arrays['segmentation'] = _map(sample.gt_sem_seg.data, size)
    arrays.update(extras.pack(sample, _OWN[kind], kept, size))
    return arrays


def resized(arrays: Arrays, old: Tuple[int, int], new: Tuple[int, int]) -> Arrays:
    """The annotations of an image that is resized from ``old`` to ``new`` (height, width)."""
    factors = np.array([new[1] / old[1], new[0] / old[0]])
    result = dict(arrays)
    if 'scale_factor' in arrays:
        result['scale_factor'] = arrays['scale_factor'] * factors
    for name in ('boxes', 'ignored_boxes'):
        if name in arrays:
            result[name] = (arrays[name] * np.tile(factors, 2)).astype(np.float32)
    if 'segmentation' in arrays:
        result['segmentation'] = _nearest(arrays['segmentation'], new)
    more = {name: array for name, array in arrays.items() if extras.is_extra(name)}
    result.update(extras.resized(more, old, new, _nearest))
    return result


def to_sample(kind: str, arrays: Mapping[str, np.ndarray], size: Tuple[int, int]) -> Any:
    """Inverse of :func:`to_arrays`: a fresh data sample on the CPU, as the pipeline packs it.

    Args:
        size: (height, width) of the image.
    """
    if kind == LABEL:
        return make_samples(arrays['labels'].reshape(1), torch.device('cpu'))[0]
    height, width = (int(side) for side in arrays['ori_shape'])
    shape = int(size[0]), int(size[1])
    meta = dict(img_shape=shape, ori_shape=(height, width),
                scale_factor=tuple(float(factor) for factor in arrays['scale_factor']))
    if kind == BOXES:
        from mmdet.structures import DetDataSample
        # Whoever takes the padding off again (CenterNet) has nothing to take off.
        sample = DetDataSample(metainfo=dict(meta, border=[0, shape[0], 0, shape[1]]))
        sample.gt_instances = _instances(arrays['boxes'], arrays['labels'])
        sample.ignored_instances = _instances(arrays['ignored_boxes'], arrays['ignored_labels'])
        extras.unpack(sample, arrays, shape)
        return sample
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample
    sample = SegDataSample(metainfo=meta)
    sample.gt_sem_seg = PixelData(data=torch.from_numpy(arrays['segmentation'].astype(np.int64)))
    extras.unpack(sample, arrays, shape)
    return sample


def make_samples(labels: np.ndarray, device: torch.device) -> List[Any]:
    """One mmpretrain ``DataSample`` with the class label for each row."""
    from mmpretrain.structures import DataSample
    rows = torch.from_numpy(np.array(labels)).to(device)
    return [DataSample().set_gt_label(row.view(1)) for row in rows]


def _has(sample: Any, name: str) -> bool:
    return getattr(sample, name, None) is not None


def _boxes(instances: Any, size: Tuple[int, int],
           border: Any) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes, labels, and which of the instances these are; ``border``: top, bottom, left and right
    side of the image in its padding, or ``None``."""
    boxes = getattr(instances, 'bboxes', None)
    if boxes is None:
        return np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool)
    boxes = torch.as_tensor(getattr(boxes, 'tensor', boxes)).float().numpy()  # of mmdet's BaseBoxes
    labels = torch.as_tensor(instances.labels).long().numpy()
    if boxes.size and boxes.shape[1:] != (4, ):
        raise ConfigError('train_pipeline: the proxy keeps horizontal boxes (R x 4), got '
                          f'{boxes.shape}')
    if not np.isfinite(boxes).all():
        raise DataError('train_dataloader: a box is not finite')
    if border is not None:
        boxes = boxes + np.array([border[2], border[0]] * 2, boxes.dtype)
    boxes = boxes.reshape(-1, 4).clip(0, np.array([size[1], size[0]] * 2, np.float32))
    inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return boxes[inside], labels[inside], inside


def _instances(boxes: np.ndarray, labels: np.ndarray) -> Any:
    from mmdet.structures.bbox import HorizontalBoxes
    from mmengine.structures import InstanceData
    return InstanceData(bboxes=HorizontalBoxes(torch.from_numpy(boxes)),
                        labels=torch.from_numpy(labels))


def _map(data: torch.Tensor, size: Tuple[int, int]) -> np.ndarray:
    found = torch.as_tensor(data).numpy()
    if found.shape[:2] == tuple(size) and found.ndim == 3:
        raise DataError(f'dataset: a mask has {found.shape[2]} channels; it must hold the number '
                        'of a class in each pixel, not its colour')
    if found.shape != (1, *size):
        raise ConfigError('train_pipeline: the segmentation map is '
                          f'{" x ".join(map(str, found.shape))}, its image '
                          f'{size[0]} x {size[1]}; LoadAnnotations comes before what resizes')
    if found.size and not 0 <= found.min() <= found.max() <= 255:
        raise ConfigError('train_pipeline: the proxy keeps segmentation maps as uint8; their '
                          f'classes are {found.min()} to {found.max()} (255 is ignored)')
    return found.astype(np.uint8)


def _nearest(found: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """1 x H x W in ``size``, each pixel from the one in whose area its centre lies."""
    rows, columns = (((np.arange(new) + 0.5) * old / new).astype(np.int64)
                     for new, old in zip(size, found.shape[1:]))
    return found[:, rows[:, None], columns]
