"""How a ``data_preprocessor`` pads images, beside the divisor of their sides."""
from __future__ import annotations

from typing import Any, Optional, Sequence, Tuple

import torch
from torch.nn import functional as F

Size = Tuple[int, int]


def least_size(preprocessor: Any, training: bool = True) -> Size:
    """(height, width) that images have at least behind it: ``size`` of MMSegmentation's, or of
    MMDetection's BatchFixedSizePad; (0, 0) where they may be of any.

    Args:
        training: as in training; otherwise what ``test_cfg`` says.
    """
    if not training:
        return _pair((getattr(preprocessor, 'test_cfg', None) or {}).get('size'))
    sizes = [_pair(getattr(preprocessor, 'size', None))]
    augments = getattr(preprocessor, 'batch_augments', None)
    for one in augments if isinstance(augments, torch.nn.ModuleList) else ():
        if type(one).__name__ == 'BatchFixedSizePad':
            sizes.append(_pair(one.size))
    return max(height for height, _ in sizes), max(width for _, width in sizes)


def divisor(preprocessor: Any) -> int:
    """Of the sides of images behind it, in training or in test."""
    # MMSegmentation's has both names, and the original sets one of them alone.
    own = max(int(getattr(preprocessor, name, 1) or 1)
              for name in ('pad_size_divisor', 'size_divisor'))
    test = int((getattr(preprocessor, 'test_cfg', None) or {}).get('size_divisor') or 1)
    return max(own, test)


def padded(images: torch.Tensor, preprocessor: Any) -> torch.Tensor:
    """N x C x H x W, with zeros right and below as far as ``preprocessor`` pads in training."""
    height, width = least_size(preprocessor)
    by = divisor(preprocessor)
    height, width = (-(-max(side, least) // by) * by
                     for side, least in zip(images.shape[2:], (height, width)))
    return F.pad(images, (0, width - images.shape[3], 0, height - images.shape[2]))


def tell_size(samples: Optional[Sequence[Any]], inputs: torch.Tensor) -> None:
    """Let data samples say how large the batch is, as MMDetection's preprocessor does; some heads
    ask them for it.

    Args:
        inputs: N x C x H x W of the samples' images.
    """
    size = (int(inputs.shape[-2]), int(inputs.shape[-1]))
    for sample in samples or ():
        sample.set_metainfo(dict(batch_input_shape=size, pad_shape=size))


def _pair(size: Any) -> Size:
    if not size:
        return 0, 0
    if isinstance(size, int):
        return size, size
    return int(size[-2]), int(size[-1])
