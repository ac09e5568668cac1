"""The teacher's banks for the images of the proxy."""
from __future__ import annotations

import os
from typing import Any, Callable, Dict, List, Mapping, Tuple

import numpy as np
import torch
from torch import nn

from autokd_mm.bank import FeatureBank, Plan
from autokd_mm.bank.files import check_room, filled
from autokd_mm.bank.identity import arrays_digest, describe_pipeline
from autokd_mm.engine.layers import forward, inputs_for
from autokd_mm.engine.proxy import ProxySettings
from autokd_mm.engine.proxy_data import Progress, read_one
from autokd_mm.models.distillers import Layers
from autokd_mm.space.errors import ConfigError

Make = Callable[[int, int], Dict[str, np.ndarray]]

_ADVICE = 'make proxy.images or proxy.views smaller, or name another --work-dir'
_PROBES = 8


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
    plans: Dict[str, Tuple[Plan, Make]] = {}
    for name, views in (('train', settings.views), ('held_out', 1)):
        plans[name] = _plan(settings, datasets[name], images[name], views, model,
                            teacher_made_from, layers, classes, progress)
    sizes = {name: plan.arrays['pixels'][0][1:] for name, (plan, _) in plans.items()}
    if len(set(sizes.values())) > 1:
        raise ConfigError('val_dataloader.dataset.pipeline: it must make images of the size of '
                          'train_dataloader.dataset.pipeline, they are '
                          f'{sizes["held_out"]} and {sizes["train"]}')
    missing = [plan.bytes for name, (plan, _) in plans.items()
               if not filled(os.path.join(folder, name))]
    if len(missing) > 1:  # the room for one of them is checked when it is written
        os.makedirs(folder, exist_ok=True)
        check_room(folder, sum(missing), 'work_dir', _ADVICE)
    return {name: FeatureBank.open_or_build(os.path.join(folder, name), plan, make, warn,
                                            advice=_ADVICE)
            for name, (plan, make) in plans.items()}


def _plan(settings: ProxySettings, dataset: Any, indices: np.ndarray, views: int,
          model: nn.Module, teacher_made_from: Mapping[str, Any], layers: Layers, classes: int,
          progress: Progress) -> Tuple[Plan, Make]:
    """What one bank will hold, and how to make some of its rows."""
    count, rows = len(indices), views * len(indices)

    def read(row: int) -> Tuple[np.ndarray, int]:
        return read_one(dataset, int(indices[row % count]), row // count, settings.seed,
                        settings.input_size)

    probes = [read(row)[0] for row in np.linspace(0, rows - 1, min(_PROBES, rows)).astype(int)]
    made_from = dict(
        teacher_made_from, feature=layers.teacher, logits=layers.teacher_logits,
        dataset=type(dataset).__name__, pipeline=describe_pipeline(dataset), views=views,
        seed=settings.seed, dtype=settings.dtype, input_size=settings.input_size, rows=rows,
        images=arrays_digest([indices]), pixels=arrays_digest(probes))
    arrays: Dict[str, Tuple[Tuple[int, ...], Any]] = dict(
        pixels=((rows, *probes[0].shape), np.uint8), labels=((rows, ), np.int64),
        feature=((rows, *layers.teacher_shape), settings.dtype))
    wanted = dict(feature=layers.teacher)
    if layers.teacher_logits:
        arrays['logits'] = ((rows, classes), settings.dtype)
        wanted['logits'] = layers.teacher_logits

    def make(start: int, stop: int) -> Dict[str, np.ndarray]:
        shape = probes[0].shape
        made = dict(pixels=np.empty((stop - start, *shape), np.uint8),
                    labels=np.empty(stop - start, np.int64))
        for row in range(start, stop):
            image, made['labels'][row - start] = read(row)
            if image.shape != shape:
                raise ConfigError('train_pipeline: the images of the proxy differ in size '
                                  f'({image.shape} and {shape}); crop or resize them to one size')
            made['pixels'][row - start] = image
            if row % 64 == 0:
                progress('reading images', row, rows)
        parts: Dict[str, List[np.ndarray]] = {name: [] for name in wanted}
        step = max(settings.batch_size, 1)
        for at in range(0, stop - start, step):
            pixels = torch.from_numpy(made['pixels'][at:at + step])
            inputs = inputs_for(model, pixels, teacher=True)
            for name, output in forward(model.teacher, wanted, inputs).items():
                values = output.float().cpu().numpy().reshape(-1, *arrays[name][0][1:])
                refuse_infinite(values, settings.dtype, name, 'proxy.dtype=float32')
                parts[name].append(values)
            progress('teacher', min(start + at + step, stop), rows)
        made.update({name: np.concatenate(values) for name, values in parts.items()})
        return made

    return Plan(made_from, arrays), make


def refuse_infinite(values: np.ndarray, dtype: str, name: str, remedy: str) -> None:
    """Raises:
        ConfigError: an output of the teacher is no number, or too large for ``dtype``.
    """
    largest = np.abs(values).max()
    if not largest <= (65504 if dtype == 'float16' else 3.3895e38):
        raise ConfigError(f'teacher_ckpt: the teacher\'s {name} is not finite in {dtype}' + (
            f'; use {remedy}' if np.isfinite(largest) else ''))
