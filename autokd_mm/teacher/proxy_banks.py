"""The teacher's banks for the images of the proxy."""
from __future__ import annotations

import math
import os
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.model import BaseModel

from autokd_mm.bank import FeatureBank, Plan
from autokd_mm.bank.files import check_room, filled
from autokd_mm.bank.identity import arrays_digest, describe_pipeline
from autokd_mm.bank.plan import Shape
from autokd_mm.datasets.annotations import LABEL, Arrays, layout_of
from autokd_mm.datasets.extras import is_extra
from autokd_mm.datasets.half import Half
from autokd_mm.errors import ConfigError, DataError
from autokd_mm.layers.find import forward, inputs_for
from autokd_mm.models.algorithms.teachers import each_teacher
from autokd_mm.models.distillers import Layers
from autokd_mm.proxy.data import Progress, read_arrays, refuse_another_size
from autokd_mm.proxy.images import boxes_of, cells
from autokd_mm.proxy.settings import ProxySettings
from autokd_mm.teacher.dense import DenseTeacher

Make = Callable[[int, int], Dict[str, Any]]

_ADVICE = ('make proxy.images, proxy.views or proxy.input_size smaller, let proxy.dtype be '
           "'float16', or name another --work-dir")
_PROBES = 8


def open_banks(folder: str, settings: ProxySettings, datasets: Mapping[str, Any],
               images: Mapping[str, np.ndarray], model: BaseModel,
               teacher_made_from: Mapping[str, Any], layers: Layers,
               warn: Callable[[str], None], progress: Progress) -> Dict[str, FeatureBank]:
    """The banks ``train`` and ``held_out`` below ``folder``, written where they are missing.

    Arrays: ``pixels``, those of the annotations (:mod:`autokd_mm.datasets.annotations`) and what
    the teacher says, by name of the pair of layers. Images with boxes or segmentation maps may
    differ in size: the teacher sees each alone (:class:`DenseTeacher`), and the strides of its
    maps are in ``made_from['strides']``.

    Args:
        datasets: ``train`` with the augmenting pipeline, ``held_out`` with the plain one, over
            the same training images.
        images: of :func:`choose_images`.
        model: the :class:`FrozenTeacherDistill` with the teacher.
        teacher_made_from: JSON values that identify the teacher.

    Raises:
        ConfigError: a bank there is another one, or the disk is too small for what is missing.
    """
    readers = {name: _Reader(settings, datasets[name], images[name], views, progress)
               for name, views in (('train', settings.views), ('held_out', 1))}
    if readers['held_out'].kind != readers['train'].kind:
        raise ConfigError(f'proxy.held_out_dataset: it has annotations of kind '
                          f'{readers["held_out"].kind!r}, the training images of kind '
                          f'{readers["train"].kind!r}')
    _refuse_missing_extras(readers)
    plans: Dict[str, Tuple[Plan, Make]]
    if readers['train'].kind == LABEL:
        if any(getattr(view, 'scale', None) for _, view in each_teacher(model)):
            raise ConfigError('model.teacher_input.scale: images with a class label have one '
                              'size; give model.teacher_input a size')
        plans = {name: _plan(reader, model, teacher_made_from, layers)
                 for name, reader in readers.items()}
    else:
        # The largest image, in which no stride is mistaken for the whole.
        teacher = DenseTeacher(model, layers, max(
            (pixels for pixels, _ in readers['train'].probes), key=lambda pixels: pixels.size))
        plans = {name: _dense_plan(reader, teacher, teacher_made_from, layers)
                 for name, reader in readers.items()}
    sizes = {name: plan.arrays['pixels'][0][1:] for name, (plan, _) in plans.items()}
    if len(set(sizes.values())) > 1:
        raise ConfigError('val_dataloader.dataset.pipeline: it must make images of the size of '
                          'train_dataloader.dataset.pipeline, they are '
                          f'{sizes["held_out"]} and {sizes["train"]}; '
                          f'proxy.input_size={sizes["train"][-1]} resizes both')
    missing = [plan.bytes for name, (plan, _) in plans.items()
               if not filled(os.path.join(folder, name))]
    if len(missing) > 1:  # the room for one of them is checked when it is written
        os.makedirs(folder, exist_ok=True)
        check_room(folder, sum(missing), 'work_dir', _ADVICE)
    banks = {name: FeatureBank.open_or_build(os.path.join(folder, name), plan, make, warn,
                                             advice=_ADVICE)
             for name, (plan, make) in plans.items()}
    for reader in readers.values():
        reader.tell(warn)
    return banks


def _refuse_missing_extras(readers: Mapping[str, Any]) -> None:
    missing = sorted(set(readers['train'].extras) - set(readers['held_out'].extras))
    if missing:
        name = missing[0].rsplit('.', 1)[0].strip('.')
        raise ConfigError(f'val_dataloader.dataset.pipeline: the held-out images have no {name}, '
                          'which the training images have')


class _Reader:
    """The images of one bank by row: row ``view * images + position``."""

    def __init__(self, settings: ProxySettings, dataset: Any, indices: np.ndarray, views: int,
                 progress: Progress) -> None:
        self.settings, self.dataset, self.indices = settings, dataset, indices
        self.half = Half(dataset, indices)
        self.views, self.progress, self.rows = views, progress, views * len(indices)
        self.kind = ''
        self.extras: Optional[List[str]] = None
        self.probes = [self._read(int(row)) for row in
                       np.linspace(0, self.rows - 1, min(_PROBES, self.rows))]
        if not np.array_equal(self._read(0)[0], self.probes[0][0]):
            raise ConfigError('train_dataloader.dataset.pipeline: it makes other pixels when it is '
                              'run again with the same seed; a transform draws from somewhere '
                              'else than random, NumPy and torch')

    def read(self, row: int) -> Tuple[np.ndarray, Arrays]:
        """Pixels and annotations."""
        if row % 64 == 0:
            self.progress('reading images', row, self.rows)
        return self._read(row)

    def _read(self, row: int) -> Tuple[np.ndarray, Arrays]:
        view, position = divmod(row, len(self.indices))
        pixels, kind, arrays = read_arrays(self.half, int(self.indices[position]), view,
                                           self.settings.seed, self.settings.input_size)
        self.kind = self.kind or kind
        found = sorted(filter(is_extra, arrays))
        self.extras = found if self.extras is None else self.extras
        if found != self.extras:
            other = sorted(set(found) ^ set(self.extras))[0].rsplit('.', 1)[0].strip('.')
            raise DataError(f'train_dataloader: some images have {other}, others have none')
        if kind != self.kind:
            raise ConfigError(f'train_dataloader: some images have annotations of kind {kind!r}, '
                              f'others of kind {self.kind!r}')
        return pixels, arrays

    def tell(self, say: Callable[[str], None]) -> None:
        """Say in a line for how many rows the pipeline gave nothing at first."""
        half = self.half
        count = len(half.redrawn) + len(half.replaced)
        if count:
            say(f'train_dataloader.dataset.pipeline: it gave nothing (None) for {count} of '
                f'{self.rows} images of the proxy; {len(half.redrawn)} were augmented anew, '
                f'{len(half.replaced)} replaced by another image of the same half')

    def made_from(self, teacher: Mapping[str, Any], layers: Layers) -> Dict[str, Any]:
        settings = self.settings
        return dict(
            {**teacher, 'logits': None, **layers.sources('teacher')},
            dataset=type(self.dataset).__name__, pipeline=describe_pipeline(self.dataset),
            views=self.views, seed=settings.seed, dtype=settings.dtype,
            input_size=settings.input_size, rows=self.rows, images=arrays_digest([self.indices]),
            pixels=arrays_digest([pixels for pixels, _ in self.probes]))


def _plan(reader: _Reader, model: BaseModel, teacher_made_from: Mapping[str, Any],
          layers: Layers) -> Tuple[Plan, Make]:
    """What a bank of images with class labels will hold, and how to make some of its rows."""
    settings, rows = reader.settings, reader.rows
    shape, wanted = reader.probes[0][0].shape, layers.sources('teacher')
    arrays: Dict[str, Tuple[Tuple[int, ...], Any]] = dict(
        pixels=((rows, *shape), np.uint8), labels=((rows, ), np.int64),
        **{pair.name: ((rows, *pair.teacher_shape), settings.dtype) for pair in layers.pairs},
        **{pair.name: ((rows, layers.classes), settings.dtype)
           for pair in layers.logits + layers.own_logits})

    def make(start: int, stop: int) -> Dict[str, np.ndarray]:
        made: Dict[str, np.ndarray] = dict(pixels=np.empty((stop - start, *shape), np.uint8),
                                           labels=np.empty(stop - start, np.int64))
        for row in range(start, stop):
            pixels, annotation = reader.read(row)
            refuse_another_size(pixels.shape, shape)
            made['pixels'][row - start] = pixels
            made['labels'][row - start] = annotation['labels']
        parts: Dict[str, List[np.ndarray]] = {name: [] for name in wanted}
        step = max(settings.batch_size, 1)
        for at in range(0, stop - start, step):
            images = torch.from_numpy(made['pixels'][at:at + step])
            inputs = inputs_for(model, images, teacher=True)
            for name, output in forward(model.teacher, wanted, inputs,
                                        layouts=layers.layouts('teacher')).items():
                values = output.float().cpu().numpy().reshape(-1, *arrays[name][0][1:])
                refuse_infinite(values, settings.dtype, name, 'proxy.dtype=float32')
                parts[name].append(values)
            reader.progress('teacher', min(start + at + step, stop), rows)
        made.update({name: np.concatenate(values) for name, values in parts.items()})
        return made

    return Plan(reader.made_from(teacher_made_from, layers), arrays), make


def _dense_plan(reader: _Reader, teacher: DenseTeacher, teacher_made_from: Mapping[str, Any],
                layers: Layers) -> Tuple[Plan, Make]:
    """The same for images that differ in size."""
    settings, rows = reader.settings, reader.rows
    layout = {**layout_of(reader.kind, reader.probes[0][1]),
              'pixels': ((len(reader.probes[0][0]), None, None), 'uint8')}
    arrays: Dict[str, Tuple[Shape, Any]] = {
        name: ((rows, *shape), dtype) for name, (shape, dtype) in layout.items()}
    numbers = {name: float(np.mean([found.get(name, pixels).size
                                    for pixels, found in reader.probes])) for name in layout}
    for name, stride in teacher.strides.items():
        channels = teacher.channels[name]
        arrays[name] = ((rows, channels, None, None), settings.dtype)
        numbers[name] = float(np.mean([channels * math.prod(cells(pixels.shape[1:], stride))
                                       for pixels, _ in reader.probes]))
    for name, (count, logits) in teacher.boxes.items():
        arrays[name] = ((rows, None, logits), settings.dtype)
        arrays[boxes_of(name)] = ((rows, None, 4), 'float32')
        numbers.update({name: count * logits, boxes_of(name): count * 4})

    def make(start: int, stop: int) -> Dict[str, Sequence[np.ndarray]]:
        made: Dict[str, List[np.ndarray]] = {name: [] for name in arrays}
        for row in range(start, stop):
            pixels, annotation = reader.read(row)
            maps = teacher(pixels)
            for name, values in maps.items():
                refuse_infinite(values, settings.dtype, name, 'proxy.dtype=float32')
            for name, values in dict(annotation, pixels=pixels, **maps).items():
                made[name].append(values)
            reader.progress('teacher', row + 1, rows)
        return dict(made)

    annotations = [found[name] for _, found in reader.probes for name in sorted(found)]
    made_from = dict(reader.made_from(teacher_made_from, layers), strides=teacher.strides,
                     annotations=dict(kind=reader.kind, probes=arrays_digest(annotations)))
    if teacher.boxes:
        made_from['shared_boxes'] = {name: count for name, (count, _) in teacher.boxes.items()}
    return Plan(made_from, arrays, numbers=numbers), make


def refuse_infinite(values: np.ndarray, dtype: str, name: str, remedy: str) -> None:
    """Raises:
        ConfigError: an output of the teacher is no number, or too large for ``dtype``.
    """
    largest = np.abs(values).max()
    if not largest <= (65504 if dtype == 'float16' else 3.3895e38):
        raise ConfigError(f'teacher_ckpt: the teacher\'s {name} is not finite in {dtype}' + (
            f'; use {remedy}' if np.isfinite(largest) else ''))
