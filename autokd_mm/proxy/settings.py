"""The proxy's settings: how much of the training a candidate gets."""
from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

from mmengine.config import ConfigDict

from autokd_mm.errors import ConfigError, nearest
from autokd_mm.proxy.sparse import check_sparse

SELECTIONS = ('random', 'class_balanced', 'teacher_entropy')
_CHOICES: Dict[str, Tuple[str, ...]] = dict(
    dtype=('float32', 'float16', 'bfloat16'), precision=('float32', 'bfloat16'),
    select=SELECTIONS)
# One image has nothing to be compared with.
_LEAST = dict(images=2, held_out=2, epochs=1, batch_size=1, views=1, input_size=0, threads=0,
              seed=0, iterations=0)
_SHARES = ('images', 'held_out')
_MOST_THREADS = 1024  # torch ends without a word where the system cannot start as many
_SWITCHES = ('channels_last', )
# Density and death rate of the paper's family; an interval long enough for a grown weight to
# leave zero before it is compared with the others.
_SPARSE: Dict[str, Any] = dict(density=0.05, death_rate=0.5, interval=20)


@dataclass(frozen=True)
class ProxySettings:
    """How much of the training a candidate gets.

    Attributes:
        images: training images, or their share of the data set in (0, 1].
        held_out: training images on which candidates are measured, never trained on, or their
            share; drawn class by class.
        held_out_dataset: config of a dataset of the user's own from which ``held_out`` images are
            drawn; ``None``: from the training images.
        select: how ``images`` are drawn (see :func:`~autokd_mm.proxy.choice.choose`): ``'random'``,
            ``'class_balanced'`` or ``'teacher_entropy'``.
        epochs: passes over ``images``, behind each of which a candidate is looked at.
        iterations: steps of a run, cut into ``epochs`` equal parts that may end anywhere in a pass
            over ``images``; 0: as many as the epochs have.
        batch_size: images per step; 0 takes the train dataloader's.
        views: augmented versions of each image; epoch e reads view e mod ``views``.
        input_size: side in pixels to which images are resized, of images with boxes or maps the
            shorter one; 0 as the pipeline makes them.
        frozen: names of the student's first modules that take no gradient (see
            :mod:`autokd_mm.proxy.freeze`).
        sparse: ``density``, ``death_rate``, ``interval`` of :class:`~autokd_mm.proxy.sparse.
            SparseMasks`; ``None`` trains all weights.
        precision: in which the student computes.
        channels_last: memory format of the student.
        dtype: of the teacher's outputs on disk.
        threads: of torch on the CPU, 0 for its own choice. For maps of a few pixels one thread
            is many times faster than a wait for the others at every layer.
        seed: of the choice, the augmentation, the initial weights, the masks and the order.
    """
    images: Union[int, float] = 2000
    held_out: Union[int, float] = 1000
    epochs: int = 4
    batch_size: int = 0
    views: int = 1
    dtype: str = 'float32'
    threads: int = 0
    seed: int = 0
    select: str = 'class_balanced'
    input_size: int = 0
    frozen: Tuple[str, ...] = ()
    sparse: Optional[Dict[str, Any]] = None
    precision: str = 'float32'
    channels_last: bool = False
    iterations: int = 0
    held_out_dataset: Optional[Dict[str, Any]] = None

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
        values['frozen'] = _names(values.get('frozen'))
        values['sparse'] = _sparse(values.get('sparse'))
        values['held_out_dataset'] = _dataset(values.get('held_out_dataset'))
        settings = cls(**values)
        for key, least in _LEAST.items():
            value = getattr(settings, key)
            share = key in _SHARES and isinstance(value, float)
            if share and 0 < value <= 1:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ConfigError(
                    f'proxy.{key}={value!r}: must be a whole number, at least {least}' +
                    (', or a share of the data set in (0, 1]' if key in _SHARES else ''))
        if 0 < settings.iterations < settings.epochs:
            raise ConfigError(f'proxy.iterations={settings.iterations}: there are proxy.epochs='
                              f'{settings.epochs} parts of one iteration at least')
        if isinstance(settings.images, int):
            settings.refuse_batch_above(settings.images)
        if settings.threads > _MOST_THREADS:
            raise ConfigError(f'proxy.threads={settings.threads}: at most {_MOST_THREADS}')
        for key, valid in _CHOICES.items():
            if getattr(settings, key) not in valid:
                raise ConfigError(f'proxy.{key}: {nearest(getattr(settings, key), valid)}')
        for key in _SWITCHES:
            if not isinstance(getattr(settings, key), bool):
                raise ConfigError(f'proxy.{key}={getattr(settings, key)!r}: must be True or False')
        return settings

    def counts(self, total: int) -> Tuple[int, int]:
        """``images`` and ``held_out`` as numbers of images, of a data set of ``total``.

        Raises:
            ConfigError: fewer images than a batch has.
        """
        images, held_out = (value if isinstance(value, int) else int(round(value * total))
                            for value in (self.images, self.held_out))
        self.refuse_batch_above(images)
        return images, held_out

    @property
    def samples(self) -> Optional[int]:
        """How many images a run sees, counted as often as it sees them; ``None`` of a share of
        the images, which is a number only beside them."""
        if self.iterations:
            return self.iterations * self.batch_size
        return int(self.images * self.epochs) if self.images > 1 else None

    def steps(self, images: int) -> int:
        """Steps of one epoch over this number of images."""
        return self.iterations // self.epochs or images // self.batch_size

    def refuse_batch_above(self, images: int) -> None:
        if self.batch_size > images:
            share = '' if self.images == images else f' ({images} images)'
            raise ConfigError(f'proxy.batch_size={self.batch_size} is larger than '
                              f'proxy.images={self.images}{share}')

    def to_dict(self) -> Dict[str, Any]:
        """JSON values; ``ProxySettings(**values)`` is the same again."""
        values = dict(asdict(self), frozen=list(self.frozen))
        if not self.iterations:  # as in descriptions of studies from before there were any
            del values['iterations']
        if self.held_out_dataset is None:
            del values['held_out_dataset']
        return values

    def __post_init__(self) -> None:
        object.__setattr__(self, 'frozen', tuple(self.frozen))  # JSON has lists


def _names(value: Any) -> Tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str) or not isinstance(value, (list, tuple)):
        raise ConfigError(f'proxy.frozen={value!r}: must be a list of module names of the student, '
                          "such as ['backbone.conv1', 'backbone.layer1']")
    names: List[str] = []
    for name in value:
        if not isinstance(name, str) or not name:
            raise ConfigError(f'proxy.frozen: {name!r} is no module name')
        if name not in names:
            names.append(name)
    return tuple(names)


def _dataset(value: Any) -> Optional[Dict[str, Any]]:
    if value is None:
        return None
    if not isinstance(value, Mapping) or not value.get('type'):
        raise ConfigError(f'proxy.held_out_dataset={value!r}: must be the config of a dataset, '
                          'such as train_dataloader.dataset')
    return value.to_dict() if isinstance(value, ConfigDict) else dict(value)


def _sparse(value: Any) -> Optional[Dict[str, Any]]:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ConfigError(f'proxy.sparse={value!r}: must be a dict with some of '
                          f'{", ".join(_SPARSE)}, or None')
    for key in value:
        if key not in _SPARSE:
            raise ConfigError(f'proxy.sparse: {nearest(key, _SPARSE)}')
    result = dict(_SPARSE, **value)
    check_sparse(result['density'], result['death_rate'], result['interval'], 'proxy.sparse.')
    return result
