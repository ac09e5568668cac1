"""The proxy's settings: how much of the training a candidate gets."""
from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Dict, Mapping

from autokd_mm.space.errors import ConfigError, nearest

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
