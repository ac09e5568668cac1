"""What the exported network is given: size, channels and normalisation of its images."""
from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, TRANSFORMS
from torch import nn

from autokd_mm.datasets.pipelines import has_pipeline, pipeline_of
from autokd_mm.errors import ConfigError
from autokd_mm.models.algorithms.renormalise import statistics

Size = Tuple[int, int]  # height, width
# Two images that only a pipeline which fixes the size brings to the same one: height, width.
_ANY: Sequence[Size] = ((480, 640), (672, 512))
_OF_FILES = ('LoadImage', 'Annotations', 'LoadProposals')


class Images(NamedTuple):
    """The images of a network.

    Attributes:
        example: 1 x C x H x W, float32, noise as the network's own preprocessor gives it.
        order: ``'RGB'``, ``'BGR'`` or ``'gray'``.
        mean, std: of the channels, in units of the raw pixel (0 to 255).
    """
    example: torch.Tensor
    order: str
    mean: List[float]
    std: List[float]


def images_of(config: Config, network: BaseModel, size: Optional[Size] = None) -> Images:
    """
    Args:
        config: with the test pipeline.
        size: height and width of an image before it is padded; ``None``: that of the pipeline, or
            of the data set's first image where the pipeline leaves images as they are.

    Raises:
        ConfigError: nothing says a size, or the pipeline cannot be run.
    """
    channels = _channels(network)
    steps = _steps(config)
    data = _data(steps, channels, size or _size(config, steps, channels), resized=size is not None)
    example = network.data_preprocessor(data, False)['inputs'].float()
    mean, std, flips = statistics(network.data_preprocessor)
    # Images in files are read as BGR; a data set of arrays without such a step holds what its
    # preprocessor turns into RGB.
    from_files = any('LoadImage' in _name(step) for step in _pipeline(config))
    order = 'gray' if channels == 1 else 'BGR' if from_files and not flips else 'RGB'
    return Images(example, order, mean.tolist(), std.tolist())


def _channels(network: BaseModel) -> int:
    """One of a network whose first layer sees one, else three: a stem may fold pixels into more
    channels, and a mean may be one number for all."""
    first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    return 1 if first is not None and first.in_channels == 1 else 3


def _pipeline(config: Config) -> List[Any]:
    loader = config.get('test_dataloader') or config.get('val_dataloader') or {}
    dataset = loader.get('dataset') or {}
    return list(pipeline_of(dataset)) if has_pipeline(dataset) else []


def _steps(config: Config) -> List[Any]:
    steps = [step for step in _pipeline(config)
             if not any(word in _name(step) for word in _OF_FILES)]
    if not steps:
        raise ConfigError('test_dataloader: the config has no test pipeline, which says how images '
                          'are prepared; name the config of the training with --config')
    return steps


def _name(step: Any) -> str:
    return str(getattr(step['type'], '__name__', step['type'])).split('.')[-1]


def _data(steps: Sequence[Any], channels: int, size: Size, resized: bool = False) -> Dict[str, Any]:
    """A batch of one image of noise behind the pipeline; where it is ``resized`` already, behind
    the step alone that packs it."""
    used = [step for step in steps if _name(step).startswith('Pack')] if resized else steps
    pixels = np.random.RandomState(0).randint(0, 256, (*size, channels)).astype(np.uint8)
    sample = dict(img=pixels, img_path='', img_id=0, sample_idx=0, ori_shape=size, img_shape=size,
                  scale_factor=(1., 1.))
    return pseudo_collate([Compose([TRANSFORMS.build(step) for step in used])(sample)])


def _size(config: Config, steps: Sequence[Any], channels: int) -> Size:
    """The size of an image in front of the pipeline behind which it has the size that counts."""
    try:
        found: Set[Size] = {tuple(_data(steps, channels, size)['inputs'][0].shape[-2:])
                            for size in _ANY}
    except Exception as error:
        raise ConfigError(f'--shape: name the size, HEIGHT WIDTH; the test pipeline cannot be run '
                          f'on an image ({type(error).__name__}: {_short(error)})') from None
    if len(found) == 1:
        return _ANY[0]
    scales = [step['scale'] for step in steps if isinstance(step.get('scale'), (list, tuple))]
    if scales:  # of images that keep their ratio the size differs; the largest is taken
        width, height = scales[-1]
        return height, width
    try:
        loader = config.get('test_dataloader') or config.val_dataloader
        height, width = DATASETS.build(loader.dataset)[0]['inputs'].shape[-2:]
    except Exception as error:
        raise ConfigError('--shape: name the size, HEIGHT WIDTH; the test pipeline leaves images '
                          f'as they are, and the data set is not there ({_short(error)})') from None
    return height, width


def _short(error: Exception) -> str:
    return ' '.join(str(error).split())[:200]
