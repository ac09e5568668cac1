"""The teacher speaks once: its outputs, and the pixels it saw, as memory-mapped arrays on disk.

A bank is a folder with one ``.npy`` file for each array and ``manifest.json``, which says what the
arrays were made from and holds a checksum for each. It is written beside its final place and
renamed when complete, so a folder that is there is a finished bank.
"""
from __future__ import annotations

import hashlib
import json
import os
import shutil
from typing import Any, Callable, Dict, Iterator, List, Mapping, Tuple

import numpy as np

from autokd_mm.space.errors import ConfigError

MANIFEST = 'manifest.json'
# What is still free on the disk after the bank must be written too: study, log, checkpoints.
_SPARE = 64 << 20


class TornBank(Exception):
    """A file of the bank is missing, cut short or changed."""


class FeatureBank:
    """Read access to a finished bank.

    Args:
        path: the folder.
        expected: what the bank must have been made from (teacher, data, pipeline, layers ...).

    Attributes:
        arrays: name -> read-only memory map; the first dimension is the row of the proxy.

    Raises:
        TornBank: a file is missing or does not have its checksum.
        ConfigError: the bank is sound but was made from something else; says what differs.
    """

    def __init__(self, path: str, expected: Mapping[str, Any]) -> None:
        self.path = path
        manifest = _read_manifest(path)
        differences = differing(manifest.get('made_from', {}), expected)
        if differences:
            raise ConfigError(f'{path} was written for another search ({"; ".join(differences)}); '
                              'use another work dir or delete the bank')
        self.arrays: Dict[str, np.ndarray] = {}
        for name, entry in manifest['arrays'].items():
            file = os.path.join(path, f'{name}.npy')
            if not os.path.isfile(file) or checksum(file) != entry['checksum']:
                raise TornBank(file)
            self.arrays[name] = np.load(file, mmap_mode='r', allow_pickle=False)

    def rows(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Rows of an array, copied out of the map."""
        return self.arrays[name][rows]

    @classmethod
    def open_or_build(cls, path: str, made_from: Mapping[str, Any],
                      shapes: Mapping[str, Tuple[Tuple[int, ...], Any]],
                      fill: Callable[[Dict[str, np.ndarray]], None],
                      warn: Callable[[str], None]) -> 'FeatureBank':
        """The bank at ``path``; written first where there is none or where it is torn.

        Args:
            made_from: JSON values that identify the bank.
            shapes: name -> (shape, dtype) of each array.
            fill: writes into the (writable) arrays.
            warn: told when a torn bank is rebuilt.

        Raises:
            ConfigError: the bank there is another one, or the disk is too small.
        """
        if os.path.isdir(path):
            try:
                return cls(path, made_from)
            except TornBank as torn:
                warn(f'{torn} is torn or changed; the bank is written again')
                shutil.rmtree(path)
        write(path, made_from, shapes, fill)
        return cls(path, made_from)


def write(path: str, made_from: Mapping[str, Any],
          shapes: Mapping[str, Tuple[Tuple[int, ...], Any]],
          fill: Callable[[Dict[str, np.ndarray]], None]) -> None:
    """Write a bank; nothing is left at ``path`` unless it is complete."""
    parent = os.path.dirname(os.path.abspath(path))
    os.makedirs(parent, exist_ok=True)
    check_room(parent, size_in_bytes(shapes))
    unfinished = f'{path}.unfinished-{os.getpid()}'
    os.makedirs(unfinished)
    try:
        arrays = {name: np.lib.format.open_memmap(os.path.join(unfinished, f'{name}.npy'),
                                                  mode='w+', dtype=dtype, shape=shape)
                  for name, (shape, dtype) in shapes.items()}
        for name in shapes:
            _reserve(os.path.join(unfinished, f'{name}.npy'))
        fill(arrays)
        for array in arrays.values():
            array.flush()
        arrays.clear()
        manifest = dict(made_from=dict(made_from), arrays={
            name: dict(shape=list(shape), dtype=np.dtype(dtype).name,
                       checksum=checksum(os.path.join(unfinished, f'{name}.npy')))
            for name, (shape, dtype) in shapes.items()})
        with open(os.path.join(unfinished, MANIFEST), 'w') as file:
            json.dump(manifest, file, indent=1)
        os.rename(unfinished, path)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def check_room(folder: str, needed: int) -> None:
    """Refuse to write ``needed`` bytes below ``folder`` where they do not fit.

    Raises:
        ConfigError: says how much is needed and how much is free.
    """
    free = shutil.disk_usage(folder).free
    if needed + _SPARE > free:
        raise ConfigError(f'work_dir: the feature bank needs {needed / 2**20:.0f} MiB and '
                          f'{_SPARE / 2**20:.0f} MiB to spare, {free / 2**20:.0f} MiB are free at '
                          f'{folder}; make proxy.images or proxy.views smaller, or name another '
                          '--work-dir')


def _reserve(file: str) -> None:
    """Take the room now: a disk that fills up under a memory map kills the process."""
    if hasattr(os, 'posix_fallocate'):
        with open(file, 'rb+') as stream:
            os.posix_fallocate(stream.fileno(), 0, os.fstat(stream.fileno()).st_size)


def size_in_bytes(shapes: Mapping[str, Tuple[Tuple[int, ...], Any]]) -> int:
    return sum(int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
               for shape, dtype in shapes.values())


def checksum(file: str) -> str:
    """BLAKE2 of a file's bytes."""
    digest = hashlib.blake2b(digest_size=16)
    for block in _blocks(file):
        digest.update(block)
    return digest.hexdigest()


def _blocks(file: str, size: int = 1 << 20) -> Iterator[bytes]:
    with open(file, 'rb') as stream:
        while True:
            block = stream.read(size)
            if not block:
                return
            yield block


def differing(found: Mapping[str, Any], expected: Mapping[str, Any], below: str = '') -> List[str]:
    """``key: found there, expected here`` for every key in which two descriptions differ.

    Dicts inside are compared key by key.
    """
    lines: List[str] = []
    expected = json.loads(json.dumps(expected))  # tuples are lists on disk
    for key in sorted(set(found) | set(expected)):
        here, wanted = found.get(key), expected.get(key)
        if isinstance(here, dict) and isinstance(wanted, dict):
            lines += differing(here, wanted, f'{below}{key}.')
        elif here != wanted:
            there, here = _around_difference(json.dumps(here), json.dumps(wanted))
            lines.append(f'{below}{key}: {there} there, {here} here')
    return lines


def _around_difference(one: str, other: str, limit: int = 60) -> Tuple[str, str]:
    """Two texts cut to where they begin to differ."""
    if max(len(one), len(other)) <= limit:
        return one, other
    start = max(0, len(os.path.commonprefix([one, other])) - limit // 3)

    def cut(text: str) -> str:
        return '...' * (start > 0) + text[start:start + limit] + '...' * (len(text) > start + limit)

    return cut(one), cut(other)


def _read_manifest(path: str) -> Dict[str, Any]:
    file = os.path.join(path, MANIFEST)
    try:
        with open(file) as stream:
            manifest = json.load(stream)
        manifest['made_from'], manifest['arrays']
    except (OSError, ValueError, KeyError, TypeError):
        raise TornBank(file) from None
    return manifest
