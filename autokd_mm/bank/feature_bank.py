"""A finished bank, opened for reading; written or mended first where that is needed."""
from __future__ import annotations

import os
from typing import Any, Callable, Dict, List, Mapping, Optional, Union

import numpy as np

from autokd_mm.bank.arrays import RaggedArray, ShardedArray, open_array
from autokd_mm.bank.damage import damaged
from autokd_mm.bank.files import filled
from autokd_mm.bank.manifest import MANIFEST, TornBank, read_manifest, versions
from autokd_mm.bank.plan import Plan, shapes_of, shard_file
from autokd_mm.bank.writing import mend, write
from autokd_mm.differing import differing
from autokd_mm.errors import ConfigError


class FeatureBank:
    """Read access to a finished bank: a folder of ``<array>.<shard>.npy`` and ``manifest.json``.

    Args:
        path: the folder.
        expected: what the bank must have been made from (teacher, data, pipeline, seeds ...);
            ``None`` takes any.

    Attributes:
        arrays: name -> :class:`ShardedArray` of memory maps, or :class:`RaggedArray` where rows
            differ in shape.
        made_from: what it was made from.
        news: versions that have changed since, in words; '' for none.

    Raises:
        TornBank: a file is missing, does not have its checksum or does not fit its shapes.
        ConfigError: the bank is sound but was made from something else; says what differs.
    """

    def __init__(self, path: str, expected: Optional[Mapping[str, Any]] = None) -> None:
        self.path = path
        manifest = read_manifest(path)
        self.made_from: Dict[str, Any] = manifest['made_from']
        if expected is not None:
            refuse_another(path, self.made_from, expected)
        self.plan = Plan.from_dict(manifest)
        torn = damaged(path, manifest)
        if torn:
            raise TornBank(', '.join(os.path.join(path, shard_file(*item)) for item in torn[:3])
                           + (f' and {len(torn) - 3} more' if len(torn) > 3 else ''))
        self.news = '; '.join(differing(manifest['versions'], versions()))
        self.arrays = {name: _open(path, name, self.plan) for name in self.plan.arrays}

    def rows(self, name: str, rows: np.ndarray) -> Any:
        """Rows of an array, copied out of the maps; bfloat16 as float32. Of a ragged array a list
        with one array for each row."""
        return self.arrays[name].rows(rows)

    def ragged(self, name: str) -> RaggedArray:
        """An array whose rows differ in shape.

        Raises:
            TypeError: its rows have one shape.
        """
        array = self.arrays[name]
        if not isinstance(array, RaggedArray):
            raise TypeError(f'{self.path}: the rows of {name} have one shape')
        return array

    @classmethod
    def open_or_build(cls, path: str, plan: Plan,
                      make: Callable[[int, int], Mapping[str, Any]],
                      warn: Callable[[str], None], **how: Any) -> 'FeatureBank':
        """The bank at ``path``: written where there is none, mended where it is torn.

        Any number of processes may call this at once: they share the work, and each returns when
        the bank is complete.

        Args:
            make: ``(start, stop)`` -> name -> those rows of each array, of a ragged one a
                sequence of arrays.
            warn: told which shards are written again, and when versions differ.
            how: further arguments of :func:`write`.

        Raises:
            ConfigError: the bank there is another one, or the disk is too small.
        """
        for _ in range(3):
            if not filled(path):
                write(path, plan, make, **how)
            try:
                bank = cls(path, plan.made_from)
            except TornBank as torn:
                part = 'the bank is' if MANIFEST in str(torn) else 'these shards are'
                warn(f'torn or changed: {torn}; {part} written again')
                mend(path, make)
            else:
                if bank.news:
                    warn(f'{path} was written with other versions ({bank.news}); the pixels of '
                         'its probe are the same')
                return bank
        raise OSError(f'{path} was written again and is torn again; is the disk sound?')


def refuse_another(path: str, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Raises:
        ConfigError: two descriptions of what a bank is made from differ; says in what.
    """
    differences = differing(found, expected)
    if differences:
        raise ConfigError(f'{path} was written for something else ({"; ".join(differences)}); '
                          'use another folder or delete the bank')


def _open(path: str, name: str, plan: Plan) -> Union[ShardedArray, RaggedArray]:
    dtype, per_shard = plan.arrays[name][1], plan.rows_per_shard
    if name not in plan.ragged:
        return ShardedArray(list(map(open_array, _files(path, name, plan))), per_shard, dtype)
    shapes = list(map(open_array, _files(path, shapes_of(name), plan)))
    return RaggedArray(_files(path, name, plan), shapes, per_shard, dtype)


def _files(path: str, name: str, plan: Plan) -> List[str]:
    return [os.path.join(path, shard_file(name, shard)) for shard in range(plan.shards)]
