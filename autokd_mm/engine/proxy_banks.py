"""The teacher's banks for the images of the proxy."""
from __future__ import annotations

import glob
import os
import re
import shutil
from typing import Any, Callable, Dict, List, Mapping, Tuple

import numpy as np
import torch
from torch import nn

from autokd_mm.engine.bank import FeatureBank, check_room, size_in_bytes
from autokd_mm.engine.layers import forward, inputs_for
from autokd_mm.engine.proxy import ProxySettings
from autokd_mm.engine.proxy_data import Progress, read_one, read_views
from autokd_mm.models.distillers import Layers
from autokd_mm.space.errors import ConfigError

Shapes = Dict[str, Tuple[Tuple[int, ...], Any]]


def open_banks(folder: str, settings: ProxySettings, datasets: Mapping[str, Any],
               images: Mapping[str, np.ndarray], model: nn.Module,
               teacher_made_from: Mapping[str, Any], layers: Layers, classes: int,
               warn: Callable[[str], None], progress: Progress) -> Dict[str, FeatureBank]:
    """The banks ``train`` and ``held_out`` below ``folder``, written where they are missing.

    Args:
        datasets: ``train`` with the augmenting pipeline, ``held_out`` with the plain one, over
            the same training images.
        images: of :func:`choose_images`.
        model: the :class:`FrozenTeacherDistill` with the teacher.
        teacher_made_from: JSON values that identify the teacher.

    Raises:
        ConfigError: a bank there is another one, or the disk is too small for what is missing.
    """
    for left in glob.glob(os.path.join(glob.escape(folder), '*.unfinished-*')):
        shutil.rmtree(left, ignore_errors=True)
    plans = {}
    for name, views in (('train', settings.views), ('held_out', 1)):
        plans[name] = _plan(settings, datasets[name], images[name], views, model,
                            teacher_made_from, layers, classes, progress)
    if len({plan[1]['pixels'][0][1:] for plan in plans.values()}) > 1:
        sizes = ' and '.join(str(plan[1]['pixels'][0][1:]) for plan in plans.values())
        raise ConfigError('val_dataloader.dataset.pipeline: it must make images of the size of '
                          f'train_dataloader.dataset.pipeline, they are {sizes}')
    missing = [plan[1] for name, plan in plans.items()
               if not os.path.isdir(os.path.join(folder, name))]
    if missing:
        os.makedirs(folder, exist_ok=True)
        check_room(folder, sum(map(size_in_bytes, missing)))
    return {name: FeatureBank.open_or_build(os.path.join(folder, name), *plan, warn)
            for name, plan in plans.items()}


def _plan(settings: ProxySettings, dataset: Any, indices: np.ndarray, views: int,
          model: nn.Module, teacher_made_from: Mapping[str, Any], layers: Layers, classes: int,
          progress: Progress) -> Tuple[Dict[str, Any], Shapes, Callable[[Any], None]]:
    """What one bank is made from, its arrays, and how to fill them."""
    rows = views * len(indices)
    first = [read_one(dataset, int(index), 0, settings.seed)[0] for index in indices[:8]]
    made_from = dict(
        teacher_made_from, feature=layers.teacher, logits=layers.teacher_logits,
        dataset=type(dataset).__name__, pipeline=_describe_pipeline(dataset), views=views,
        seed=settings.seed, dtype=settings.dtype, rows=rows, images=_digest([indices]),
        pixels=_digest(first))
    shapes: Shapes = dict(
        pixels=((rows, *first[0].shape), np.uint8), labels=((rows, ), np.int64),
        feature=((rows, *layers.teacher_shape), settings.dtype))
    wanted = dict(feature=layers.teacher)
    if layers.teacher_logits:
        shapes['logits'] = ((rows, classes), settings.dtype)
        wanted['logits'] = layers.teacher_logits

    def fill(arrays: Dict[str, np.ndarray]) -> None:
        read_views(dataset, indices, views, settings.seed, arrays['pixels'], arrays['labels'],
                   progress)
        step = max(settings.batch_size, 1)
        for start in range(0, rows, step):
            pixels = torch.from_numpy(np.array(arrays['pixels'][start:start + step]))
            inputs = inputs_for(model, pixels, teacher=True)
            for name, output in forward(model.teacher, wanted, inputs).items():
                target = arrays[name]
                values = output.float().cpu().numpy().reshape(-1, *target.shape[1:])
                with np.errstate(over='ignore'):  # of float16: that is what is looked for
                    stored = values.astype(target.dtype)
                if not np.isfinite(stored).all():
                    raise ConfigError(f'teacher_ckpt: the teacher\'s {name} is not finite in '
                                      f'{settings.dtype}' + (
                                          '; use proxy.dtype=float32'
                                          if np.isfinite(values).all() else ''))
                target[start:start + step] = stored
            progress('teacher', min(start + step, rows), rows)

    return made_from, shapes, fill


def _describe_pipeline(dataset: Any) -> str:
    while getattr(dataset, 'pipeline', None) is None and hasattr(dataset, 'dataset'):
        dataset = dataset.dataset  # RepeatDataset and the like
    transforms = getattr(getattr(dataset, 'pipeline', None), 'transforms', [])
    text = ' '.join(' '.join(repr(transform).split()) for transform in transforms)
    return re.sub(r' at 0x[0-9a-f]+', '', text)  # the address of one without a repr of its own


def _digest(arrays: List[np.ndarray]) -> str:
    import hashlib
    digest = hashlib.blake2b(digest_size=8)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
