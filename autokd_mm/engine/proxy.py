"""The proxy: its settings, the teacher's bank for its images, the trainer that uses both."""
from __future__ import annotations

import glob
import os
import shutil
from dataclasses import asdict, dataclass, fields
from typing import Any, Callable, Dict, List, Mapping, Tuple

import numpy as np
import torch
from torch import nn

from autokd_mm.engine.bank import FeatureBank
from autokd_mm.engine.capture import capture, map_shape
from autokd_mm.engine.proxy_data import Progress, choose, read_one, read_views
from autokd_mm.models.distillers import Layers
from autokd_mm.space.errors import ConfigError, nearest

_DTYPES = ('float32', 'float16')


@dataclass(frozen=True)
class ProxySettings:
    """How much of the training a candidate gets.

    Attributes:
        images: training images, drawn class by class.
        held_out: training images on which candidates are measured, never trained on.
        epochs: passes over ``images``.
        batch_size: images per step; 0 takes the train dataloader's.
        views: augmented versions of each image; epoch e reads view e mod ``views``.
        dtype: of the teacher's outputs on disk.
        threads: of torch on the CPU, 0 for its own choice. For maps of a few pixels one thread
            is many times faster than a wait for the others at every layer.
        seed: of the choice, the augmentation, the initial weights and the order.
    """
    images: int = 2000
    held_out: int = 1000
    epochs: int = 4
    batch_size: int = 0
    views: int = 1
    dtype: str = 'float32'
    threads: int = 0
    seed: int = 0

    @classmethod
    def from_config(cls, config: Mapping[str, Any], loader_batch_size: int) -> 'ProxySettings':
        """Check a config's ``proxy``.

        Raises:
            ConfigError: unknown key, or a value out of range.
        """
        names = [field.name for field in fields(cls)]
        for key in config:
            if key not in names:
                raise ConfigError(f'proxy: {nearest(key, names)}')
        values = dict(config)
        if not values.get('batch_size'):
            values['batch_size'] = loader_batch_size
        settings = cls(**values)
        for key in ('epochs', 'batch_size', 'views'):
            if not isinstance(getattr(settings, key), int) or getattr(settings, key) < 1:
                raise ConfigError(f'proxy.{key}={getattr(settings, key)!r}: must be at least 1')
        if settings.images < 2 or settings.held_out < 2:
            small = 'images' if settings.images < 2 else 'held_out'
            raise ConfigError(f'proxy.{small}={getattr(settings, small)}: at least 2 images '
                              'are needed')
        if settings.batch_size > settings.images:
            raise ConfigError(f'proxy.batch_size={settings.batch_size} is larger than '
                              f'proxy.images={settings.images}')
        if settings.dtype not in _DTYPES:
            raise ConfigError(f'proxy.dtype: {nearest(settings.dtype, _DTYPES)}')
        return settings

    def to_dict(self) -> Dict[str, Any]:
        return asdict(self)


def find_layers(student: nn.Module, teacher: nn.Module, names: Mapping[str, Any],
                pixels: torch.Tensor) -> Tuple[Layers, int]:
    """Run both networks once and read the shapes at the named layers.

    Args:
        names: ``student`` and ``teacher`` (the features), ``student_logits`` and
            ``teacher_logits`` (may be missing).
        pixels: B x C x H x W, uint8.

    Returns:
        The layers, and the number of classes (0 without logits).

    Raises:
        ConfigError: no such layer, or teacher and student differ in classes.
    """
    valid = ('student', 'teacher', 'student_logits', 'teacher_logits')
    for key in names:
        if key not in valid:
            raise ConfigError(f'layers: {nearest(key, valid)}')
    shapes = {}
    for who, model in (('student', student), ('teacher', teacher)):
        if who not in names:
            raise ConfigError(f'layers.{who} is missing: name the module whose output is the '
                              'feature')
        wanted = {key: names[key] for key in (who, f'{who}_logits') if names.get(key)}
        outputs = forward(model, wanted, pixels)
        shapes.update({key: map_shape(value) for key, value in outputs.items()})
    classes = shapes.get('student_logits', (0, ))[0]
    if 'teacher_logits' in shapes and 'student_logits' in shapes:
        if shapes['teacher_logits'] != shapes['student_logits']:
            raise ConfigError(
                f'model.teacher: the teacher has {shapes["teacher_logits"][0]} classes and the '
                f'student {classes}; both must have the same')
    return Layers(names['student'], names['teacher'], names.get('student_logits'),
                  names.get('teacher_logits'), shapes['student'], shapes['teacher']), classes


@torch.no_grad()
def forward(model: nn.Module, layers: Mapping[str, str],
            pixels: torch.Tensor) -> Dict[str, torch.Tensor]:
    """Outputs of the named layers for uint8 images, behind the model's own preprocessing."""
    model.eval()
    device = next(model.parameters()).device
    inputs = model.data_preprocessor(dict(inputs=pixels.to(device)), training=False)['inputs']
    with capture(model, layers) as outputs:
        model(inputs, mode='tensor')
    return {name: value.detach() for name, value in outputs.items()}


def open_banks(folder: str, settings: ProxySettings, datasets: Mapping[str, Any],
               teacher: nn.Module, teacher_id: str, layers: Layers, classes: int,
               warn: Callable[[str], None], progress: Progress) -> Dict[str, FeatureBank]:
    """The banks ``train`` and ``held_out`` below ``folder``, written where they are missing.

    Args:
        datasets: ``train`` with the augmenting pipeline, ``held_out`` with the plain one, over
            the same training images.
        teacher_id: digest of the teacher's weights.
    """
    for left in glob.glob(os.path.join(folder, '*.unfinished-*')):
        shutil.rmtree(left, ignore_errors=True)
    labels = _class_labels(datasets['train'])
    total = len(datasets['train'])
    train, held_out = choose(labels, total, settings.images, settings.held_out, settings.seed)
    banks = {}
    for name, indices, views in (('train', train, settings.views), ('held_out', held_out, 1)):
        banks[name] = _open_bank(os.path.join(folder, name), settings, datasets[name], indices,
                                 views, teacher, teacher_id, layers, classes, warn, progress)
    return banks


def _open_bank(path: str, settings: ProxySettings, dataset: Any, indices: np.ndarray, views: int,
               teacher: nn.Module, teacher_id: str, layers: Layers, classes: int,
               warn: Callable[[str], None], progress: Progress) -> FeatureBank:
    rows = views * len(indices)
    first = [read_one(dataset, int(index), 0, settings.seed)[0] for index in indices[:8]]
    made_from = dict(
        teacher=teacher_id, feature=layers.teacher, logits=layers.teacher_logits,
        dataset=type(dataset).__name__, pipeline=_describe_pipeline(dataset), views=views,
        seed=settings.seed, dtype=settings.dtype, rows=rows, images=_digest([indices]),
        pixels=_digest(first))
    shapes: Dict[str, Tuple[Tuple[int, ...], Any]] = dict(
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
            for name, output in forward(teacher, wanted, pixels).items():
                target = arrays[name]
                values = output.float().cpu().numpy().reshape(-1, *target.shape[1:])
                if not np.isfinite(values).all():
                    raise ConfigError(f'teacher_ckpt: the teacher\'s {name} is not finite')
                target[start:start + step] = values
            progress('teacher', min(start + step, rows), rows)

    return FeatureBank.open_or_build(path, made_from, shapes, fill, warn)


def _describe_pipeline(dataset: Any) -> str:
    transforms = getattr(getattr(dataset, 'pipeline', None), 'transforms', [])
    return ' '.join(' '.join(repr(transform).split()) for transform in transforms)


def _class_labels(dataset: Any) -> Any:
    return dataset.get_gt_labels() if hasattr(dataset, 'get_gt_labels') else None


def _digest(arrays: List[np.ndarray]) -> str:
    import hashlib
    digest = hashlib.blake2b(digest_size=8)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
