"""From the samples of a batch to the losses: their boxes, and what of the batch is padding."""
from __future__ import annotations

from typing import Any, Iterator, Optional, Sequence

import torch

from autokd_mm.errors import ConfigError
from autokd_mm.models.transforms.padding import BatchSizes, SeesSizes
from autokd_mm.models.transforms.regions import BatchBoxes


def show_samples(distiller: Any, data_samples: Optional[Sequence[Any]],
                 batch_inputs: torch.Tensor) -> None:
    """Show losses and connectors which part of a batch is padding, and those with a region its
    boxes.

    To be called before ``distiller.compute_distill_losses``; ``clear_records`` forgets them.

    Args:
        distiller: a built ``ConfigurableDistiller``.
        data_samples: N samples as MMDetection makes them, with ``gt_instances.bboxes`` in pixels
            of the padded batch (R x 4 tensors or horizontal ``BaseBoxes``) and ``img_shape``, the
            (height, width) without padding; without it the image fills the batch. What is padding
            is read from samples that went through a ``data_preprocessor`` which pads, that of
            MMDetection or MMSegmentation.
        batch_inputs: N x 3 x H x W, padded.

    Raises:
        ConfigError: a loss needs boxes and a sample has none to offer.
    """
    show_sizes(distiller, data_samples, batch_inputs)
    regions = list(_regions(distiller))
    if regions:
        boxes = batch_boxes(data_samples, batch_inputs)
        for region in regions:
            region.show(boxes)


def show_sizes(distiller: Any, data_samples: Optional[Sequence[Any]],
               batch_inputs: torch.Tensor) -> None:
    """Of :func:`show_samples` what needs no boxes."""
    sizes = batch_sizes(data_samples, batch_inputs)
    batch = (int(batch_inputs.shape[-2]), int(batch_inputs.shape[-1]))
    whole = sizes or BatchSizes((batch, ) * len(batch_inputs), batch)
    for loss in distiller.distill_losses.values():
        if isinstance(loss, SeesSizes):
            loss.show_sizes(sizes)
    for connector in _connectors(distiller):
        connector.show_sizes(whole)


def forget_samples(distiller: Any) -> None:
    """Let all losses and connectors forget the boxes and the sizes."""
    for loss in distiller.distill_losses.values():
        if isinstance(loss, SeesSizes):
            loss.forget_sizes()
    for connector in _connectors(distiller):
        connector.forget_sizes()
    for region in _regions(distiller):
        region.forget()


def batch_sizes(data_samples: Optional[Sequence[Any]],
                batch_inputs: torch.Tensor) -> Optional[BatchSizes]:
    """The sizes of the images in a batch; ``None`` where nothing of it is padding.

    ``img_shape`` alone says nothing: pipelines of classification leave in it what the image was
    before a resize. It counts beside what a preprocessor writes when it pads.
    """
    if not data_samples or all(getattr(data_samples[0], key, None) is None
                               for key in ('batch_input_shape', 'padding_size')):
        return None
    batch = (int(batch_inputs.shape[-2]), int(batch_inputs.shape[-1]))
    images = []
    for sample in data_samples:
        height, width = (getattr(sample, 'img_shape', None) or batch)[:2]
        images.append((min(int(height), batch[0]), min(int(width), batch[1])))
    sizes = BatchSizes(tuple(images), batch)
    return sizes if sizes.padded else None


def batch_boxes(data_samples: Optional[Sequence[Any]], batch_inputs: torch.Tensor) -> BatchBoxes:
    """The boxes of a batch; see :func:`show_samples`."""
    batch = (int(batch_inputs.shape[-2]), int(batch_inputs.shape[-1]))
    boxes, images = [], []
    for number, sample in enumerate(data_samples or ()):
        boxes.append(_boxes_of(sample, number))
        height, width = sample.metainfo.get('img_shape', batch)[:2]
        images.append((int(height), int(width)))
    if len(boxes) != len(batch_inputs):
        raise ConfigError(f'FeatureLoss.region needs the boxes of {len(batch_inputs)} images, but '
                          f'there are {len(boxes)} data_samples')
    return BatchBoxes(tuple(boxes), tuple(images), batch)


def _boxes_of(sample: Any, number: int) -> torch.Tensor:
    instances = getattr(sample, 'gt_instances', None)
    boxes = getattr(instances, 'bboxes', None)
    boxes = getattr(boxes, 'tensor', boxes)  # MMDetection's BaseBoxes
    if not isinstance(boxes, torch.Tensor) or boxes.dim() != 2 or boxes.shape[1] != 4:
        found = 'none' if boxes is None else f'shape {tuple(getattr(boxes, "shape", ()))}'
        raise ConfigError(f'FeatureLoss.region needs boxes (R x 4) in data_samples[{number}].'
                          f"gt_instances.bboxes, got {found}; use region='all' for this task")
    return boxes


def _connectors(distiller: Any) -> Iterator[SeesSizes]:
    return (module for module in distiller.connectors.modules() if isinstance(module, SeesSizes))


def _regions(distiller: Any) -> Iterator[Any]:
    for loss in distiller.distill_losses.values():
        region = getattr(loss, 'region', None)
        if hasattr(region, 'show') and hasattr(region, 'forget'):
            yield region
