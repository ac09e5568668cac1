"""Both networks of a pair, built with random weights, and what they say of one image."""
from __future__ import annotations

import copy
import logging
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from torch.nn import functional as F

from autokd_mm.datasets.annotations import BOXES, LABEL, to_sample
from autokd_mm.engine.config import in_new_style, load_config
from autokd_mm.engine.mistakes import mistake
from autokd_mm.engine.tracebacks import first_line
from autokd_mm.errors import ConfigError
from autokd_mm.layers.find import inputs_for
from autokd_mm.layers.padding import divisor
from autokd_mm.models.algorithms.bare_teacher import with_body
from autokd_mm.models.algorithms.colours import channels_of
from autokd_mm.pairs.forms import OURS, read_forms
from autokd_mm.registry import MODELS
from autokd_mm.zoo.images import dense_sizes, side_of, training_side
from autokd_mm.zoo.kinds import NO_TASK, kind_of, refuse_config, refuse_data
from autokd_mm.zoo.listening import Heard, listen, root_of
from autokd_mm.zoo.names import Source

STUDENT, TEACHER = 'STUDENT', 'TEACHER'


class Looked(NamedTuple):
    """A pair that was looked at.

    Attributes:
        config: of the student, with the pair as its model.
        bases: the configs of student and teacher as they are.
        model: the :class:`FrozenTeacherDistill` of the two.
        kind: of the annotations, see :mod:`autokd_mm.datasets.annotations`.
        teacher_kind: of those that the teacher has learned from.
        heard: of student and teacher.
        pixels: the image, B x C x H x W, uint8.
        samples: its data samples; ``None`` for class labels.
        teacher_side: of the teacher's images in pixels, where it is not the student's.
    """
    config: Config
    bases: Tuple[Config, Config]
    model: Any
    kind: str
    teacher_kind: str
    heard: Tuple[Heard, Heard]
    pixels: torch.Tensor
    samples: Optional[List[Any]]
    teacher_side: Optional[int]


def look(student: Source, teacher: Source, data_root: Optional[str] = None) -> Looked:
    """Build both networks and let them see random pixels.

    Args:
        data_root: of the images, in the place of the student's.

    Raises:
        ConfigError: a network that cannot be built or cannot take the image; or the two learn
            different things.
    """
    bases = _read(student, STUDENT), _read(teacher, TEACHER)
    if in_new_style(student.file):
        raise ConfigError(f'STUDENT: {student.file} is in the new style (with read_base()), which '
                          "no other config can inherit by _base_; save it as a plain one: "
                          "mmengine.Config.fromfile(FILE).dump('student.py')")
    refuse_data(bases[0], STUDENT)
    for base, key in zip(bases, (STUDENT, TEACHER)):
        if not isinstance(base.get('model'), dict):
            raise ConfigError(f'{key}: its config is of no model')
        if 'architecture' in base['model']:
            raise ConfigError(f'{key}: its config is of a {base["model"].get("type")}, which has '
                              'networks in it; name the config of one of them')
        refuse_config(base['model'], key)
    config = _pair(_moved(student, bases[0], data_root), teacher)
    with DefaultScope.overwrite_default_scope(config.get('default_scope') or 'mmengine'):
        return _look(config, bases, student, teacher)


def _look(config: Config, bases: Tuple[Config, Config], student: Source,
          teacher: Source) -> Looked:
    networks = [_build(config.model.architecture, STUDENT, student.name),
                _build(with_body(config.model.teacher), TEACHER, teacher.name)]
    kinds = [kind_of(network, key) for network, key in zip(networks, (STUDENT, TEACHER))]
    side = _teacher_side(bases, networks[1], kinds)
    with _quiet():
        model = MODELS.build(dict(
            config.model, architecture=networks[0], teacher=networks[1],
            teacher_input=None if side is None else dict(size=side)))
    error: Optional[ConfigError] = None
    found: Optional[Looked] = None
    for size in _sizes(bases, kinds[0]):
        try:
            pixels, samples = _image(model, kinds[0], size)
            heard = tuple(_hear(model, network, key, pixels, samples)
                          for network, key in ((model.architecture, STUDENT),
                                               (model.teacher, TEACHER)))
        except ConfigError as failed:
            error = failed
            continue
        seen = Looked(config, bases, model, kinds[0], kinds[1],
                      heard, pixels, samples, side)  # type: ignore[arg-type]
        if all(one.error is None for one in heard):
            return seen
        # A neck or a head may need larger maps, and has said nothing.
        if found is None or _failed(seen) < _failed(found):
            found = seen
    if found is None:
        assert error is not None
        raise error
    return found


def _failed(looked: Looked) -> int:
    return sum(one.error is not None for one in looked.heard)


def _read(source: Source, key: str) -> Config:
    try:
        with _quiet():
            return load_config(source.file, key=key)
    except ConfigError as error:
        said = str(error)
        raise ConfigError(said if said.startswith(f'{key}: ') else f'{key}: {said}') from None


def _moved(source: Source, base: Config, data_root: Optional[str]) -> Config:
    """The student's config with its images at ``data_root``."""
    if not data_root:
        return base
    if 'data_root' in base:
        return load_config(source.file, dict(data_root=data_root))
    moved = copy.deepcopy(base)
    dataset = moved.train_dataloader.dataset
    while dataset.get('dataset'):
        dataset = dataset['dataset']
    if 'data_root' in dataset:
        dataset['data_root'] = data_root
    return moved


def _pair(student: Config, teacher: Source) -> Config:
    """The student's config with both networks in their plain form."""
    config = copy.deepcopy(student)
    config['model'] = ConfigDict(
        type=OURS, architecture=config['model'],
        teacher=dict(cfg_path=f'{teacher.package}::{teacher.path}' if teacher.package else
                     teacher.file, pretrained=False),
        distiller=dict(type='mmrazor.ConfigurableDistiller'))
    read_forms(config, lambda line: None)
    return config


def _build(node: Any, key: str, name: str) -> Any:
    try:
        with _quiet():
            return MODELS.build(copy.deepcopy(node))
    except ImportError as error:
        needs = getattr(error, 'name', None)
        raise ConfigError(f'{key}: {name} needs a package that is not there: '
                          f'{needs or first_line(error)}') from None
    except Exception as error:  # whatever a class of another package raises
        raise ConfigError(f'{key}: {name} cannot be built: '
                          f'{mistake(error) or first_line(error)}') from None


def _teacher_side(bases: Tuple[Config, Config], teacher: Any,
                  kinds: Sequence[str]) -> Optional[int]:
    """Classifiers have a resolution each; a teacher sees its own. What its config does not say, a
    network of timm does that takes no other. That of a detector is no size of crops."""
    if kinds[0] != LABEL or kinds[1] not in (LABEL, NO_TASK):
        return None
    student, own = training_side(bases[0]), side_of(bases[1])
    for module in teacher.modules() if own is None else ():
        if getattr(module, 'strict_img_size', False) and getattr(module, 'img_size', None):
            own = int(max(module.img_size))
    return own if own and student and own != student else None


def _sizes(bases: Sequence[Config], kind: str) -> List[Tuple[int, int]]:
    """What to try, smallest first: of dense tasks the training's of both at last."""
    if kind == LABEL:
        side = side_of(bases[0]) or 224
        return [(side, side)]
    return list(dict.fromkeys(size for base in bases for size in dense_sizes(base)))


def _image(model: Any, kind: str, size: Tuple[int, int]) -> Tuple[torch.Tensor, Any]:
    height, width = size
    mean = getattr(model.data_preprocessor, 'mean', None)  # it may be one number for all channels
    channels = channels_of(model.architecture) or (3 if mean is None else mean.numel())
    pixels = torch.from_numpy(np.random.default_rng(0).integers(
        0, 256, (2 if kind == LABEL else 1, channels, height, width), np.uint8))
    if kind == LABEL:
        return pixels, None
    arrays: Dict[str, np.ndarray] = dict(ori_shape=np.array(size, np.int32),
                                         scale_factor=np.ones(2))
    if kind == BOXES:
        box = np.array([[width // 8, height // 8, width // 2, height // 2]], np.float32)
        arrays.update(boxes=box, labels=np.zeros(1, np.int64),
                      ignored_boxes=box[:0], ignored_labels=np.zeros(0, np.int64))
    else:
        arrays['segmentation'] = np.zeros((1, height, width), np.uint8)
    sample = to_sample(kind, arrays, size)
    if kind == BOXES:  # of a detector that makes none itself
        sample.proposals = InstanceData(bboxes=torch.from_numpy(arrays['boxes']),
                                        scores=torch.ones(1))
    return _padded(pixels, model.data_preprocessor), [sample]


def _padded(pixels: torch.Tensor, preprocessor: Any) -> torch.Tensor:
    """To the divisor of the sides alone: a least size, such as a segmentor's crop, is for training,
    and a hundred times as many pixels show nothing more."""
    by = divisor(preprocessor)
    return F.pad(pixels, (0, -pixels.shape[3] % by, 0, -pixels.shape[2] % by))


def _hear(model: Any, network: Any, key: str, pixels: torch.Tensor, samples: Any) -> Heard:
    """Raises:
        ConfigError: the network says nothing of the image.
    """
    what = ' x '.join(map(str, pixels.shape[1:]))
    try:
        inputs = inputs_for(model, pixels, network is model.teacher)
        if network is model.teacher and model.to_teacher is not None:
            what += f', for the teacher {" x ".join(map(str, inputs.shape[1:]))}'
    except Exception as error:
        raise ConfigError(f'{key}: {type(network).__name__} cannot take an image of {what}: '
                          f'{first_line(error)}') from None
    heard = listen(network, inputs, samples, dense=samples is not None)
    if heard.error is not None and root_of(heard) not in heard.said:
        raise ConfigError(f'{key}: {type(network).__name__} cannot take an image of {what}: '
                          f'{first_line(heard.error)}')
    return heard


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what a building network logs of its weights."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)
    logging.getLogger().setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
