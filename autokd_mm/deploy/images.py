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
_PLAIN: Size = (256, 320)  # of an image of one colour
_DARK, _BETWEEN, _LIGHT = 60, 120, 180
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
    try:
        flips, mean, std = _colours(steps, network, channels)
    except ConfigError:
        raise
    except Exception:  # a pipeline that cannot be run on an image alone, whose size was given
        known = statistics(network.data_preprocessor)
        flips, mean, std = known[2], known[0].tolist(), known[1].tolist()
    # Images in files are read as BGR; a data set of arrays without such a step holds what is turned
    # into RGB.
    from_files = any('LoadImage' in _name(step) for step in _pipeline(config))
    order = 'gray' if channels == 1 else 'BGR' if from_files and not flips else 'RGB'
    return Images(example, order, mean, std)


def _colours(steps: Sequence[Any], network: BaseModel,
             channels: int) -> Tuple[bool, List[float], List[float]]:
    """Whether the pipeline and the preprocessor together turn the channels around, and the mean and
    deviation that they normalise by, of the channels behind them: as plain colours show it.

    Raises:
        ConfigError: they do something else with colours.
    """
    def seen(colour: Sequence[int]) -> torch.Tensor:
        pixels = np.full((*_PLAIN, channels), colour, np.uint8)
        inputs = network.data_preprocessor(_behind(steps, pixels), False)['inputs'].double()
        return inputs[0, :, inputs.shape[2] // 2, inputs.shape[3] // 2]

    dark = seen([_DARK] * channels)
    raised = [[_LIGHT if at == channel else _DARK for at in range(channels)]
              for channel in range(channels)]
    matrix = torch.stack([(seen(colour) - dark) / (_LIGHT - _DARK) for colour in raised], 1)
    scale, source = matrix.abs().max(1)
    order, factor = source.tolist(), matrix.sum(1)
    if ((matrix.abs() > 1e-3 * scale[:, None]).sum(1) != 1).any() or order not in (
            list(range(channels)), list(range(channels))[::-1]) or \
            not all(torch.allclose(seen([level] * channels), dark + factor * (level - _DARK),
                                   rtol=1e-3, atol=1e-3) for level in (_BETWEEN, _LIGHT)):
        raise ConfigError('test_dataloader: its pipeline changes colours in another way than by a '
                          'mean, a deviation and an order of channels, which is all that an '
                          'exported network can be said to need')
    std, mean = 1 / factor, _DARK - dark / factor
    return order != sorted(order), _as_said(mean, network, 0), _as_said(std, network, 1)


def _as_said(found: torch.Tensor, network: BaseModel, which: int) -> List[float]:
    """In the digits of the preprocessor where it is the one that normalises."""
    mean, std, _ = statistics(network.data_preprocessor)
    said = (std if which else mean).double().expand_as(found)
    close = torch.allclose(found, said, rtol=1e-4, atol=1e-3)
    return [float(f'{value:.6g}') for value in (said if close else found).tolist()]


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
    return _behind(used, np.random.RandomState(0).randint(
        0, 256, (*size, channels)).astype(np.uint8))


def _behind(steps: Sequence[Any], pixels: np.ndarray) -> Dict[str, Any]:
    """A batch of one image behind steps of a pipeline."""
    size = pixels.shape[:2]
    sample = dict(img=pixels, img_path='', img_id=0, sample_idx=0, ori_shape=size, img_shape=size,
                  scale_factor=(1., 1.))
    return pseudo_collate([Compose([TRANSFORMS.build(step) for step in steps])(sample)])


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
