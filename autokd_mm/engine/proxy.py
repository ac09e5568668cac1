"""The proxy: its settings, the teacher's bank for its images, the trainer that uses both."""
from __future__ import annotations

import glob
import os
import re
import shutil
from dataclasses import asdict, dataclass, fields
from typing import Any, Callable, Dict, List, Mapping, Tuple

import numpy as np
import torch
from torch import nn

from autokd_mm.engine.bank import FeatureBank, check_room, size_in_bytes
from autokd_mm.engine.capture import capture, map_shape
from autokd_mm.engine.proxy_data import Progress, choose, read_one, read_views
from autokd_mm.models.distillers import Layers
from autokd_mm.space.errors import ConfigError, nearest

Shapes = Dict[str, Tuple[Tuple[int, ...], Any]]
_DTYPES = ('float32', 'float16')
# One image has nothing to be compared with.
_LEAST = dict(images=2, held_out=2, epochs=1, batch_size=1, views=1, threads=0, seed=0)


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
        for key, least in _LEAST.items():
            value = getattr(settings, key)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ConfigError(f'proxy.{key}={value!r}: must be a whole number, at least '
                                  f'{least}')
        if settings.batch_size > settings.images:
            raise ConfigError(f'proxy.batch_size={settings.batch_size} is larger than '
                              f'proxy.images={settings.images}')
        if settings.dtype not in _DTYPES:
            raise ConfigError(f'proxy.dtype: {nearest(settings.dtype, _DTYPES)}')
        return settings

    def to_dict(self) -> Dict[str, Any]:
        return asdict(self)


def find_layers(model: nn.Module, student: nn.Module, names: Mapping[str, Any],
                pixels: torch.Tensor) -> Tuple[Layers, int]:
    """Run both networks once and read the shapes at the named layers.

    Args:
        model: the :class:`FrozenTeacherDistill` with the teacher.
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
    for who, other in (('student', 'teacher'), ('teacher', 'student')):
        if names.get(f'{who}_logits') and not names.get(f'{other}_logits'):
            raise ConfigError(f'layers.{other}_logits is missing: logits are compared with logits')
    for who, network in (('student', student), ('teacher', model.teacher)):
        if not names.get(who):
            raise ConfigError(f'layers.{who} is missing: name the module whose output is the '
                              'feature')
        wanted = {key: names[key] for key in (who, f'{who}_logits') if names.get(key)}
        outputs = forward(network, wanted, inputs_for(model, pixels, network is model.teacher))
        shapes.update({key: map_shape(value) for key, value in outputs.items()})
    classes = shapes.get('student_logits', (0, ))[0]
    if 'teacher_logits' in shapes and 'student_logits' in shapes:
        if shapes['teacher_logits'] != shapes['student_logits']:
            raise ConfigError(
                f'model.teacher: the teacher has {shapes["teacher_logits"][0]} classes and the '
                f'student {classes}; both must have the same')
    return Layers(names['student'], names['teacher'], names.get('student_logits'),
                  names.get('teacher_logits'), shapes['student'], shapes['teacher']), classes


def inputs_for(model: nn.Module, pixels: torch.Tensor, teacher: bool) -> torch.Tensor:
    """uint8 images as a :class:`FrozenTeacherDistill` gives them to its student or teacher."""
    device = next(model.parameters()).device
    inputs = model.data_preprocessor(dict(inputs=pixels.to(device)), training=False)['inputs']
    return model.renormalise(inputs) if teacher and model.renormalise is not None else inputs


@torch.no_grad()
def forward(network: nn.Module, layers: Mapping[str, str],
            inputs: torch.Tensor) -> Dict[str, torch.Tensor]:
    """Outputs of the named layers in evaluation mode."""
    network.eval()
    with capture(network, layers) as outputs:
        network(inputs, mode='tensor')
    return {name: value.detach() for name, value in outputs.items()}


def choose_images(settings: ProxySettings, dataset: Any) -> Dict[str, np.ndarray]:
    """Which training images the proxy takes: sample indices of ``train`` and ``held_out``.

    Raises:
        ConfigError: more are asked for than there are.
    """
    train, held_out = choose(_class_labels(dataset), len(dataset), settings.images,
                             settings.held_out, settings.seed)
    return dict(train=train, held_out=held_out)


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


def _class_labels(dataset: Any) -> Any:
    return dataset.get_gt_labels() if hasattr(dataset, 'get_gt_labels') else None


def _digest(arrays: List[np.ndarray]) -> str:
    import hashlib
    digest = hashlib.blake2b(digest_size=8)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
