"""Which image a sample shows: by its file, or by its pixels where these are in memory."""
from __future__ import annotations

import hashlib
import os
from typing import Any, Dict, Hashable, Mapping, Optional

import numpy as np

from autokd_mm.datasets.wrappers import source

_PATHS = ('img_path', 'filename', 'file_name')
_CONTENTS = ('img', 'img_bytes')
# Many images in one file: its name does not tell them apart.
_CONTAINERS = ('.h5', '.hdf5', '.lmdb', '.mdb', '.npy', '.npz', '.pickle', '.pkl', '.pt',
               '.tar', '.tfrecord', '.zip')


class Identities:
    """``identities[index]`` is the same for samples of the same image, and for no others.

    A file is known by its device and inode, so links and other spellings of its path are the same
    image; one that the file system does not know, by its path. Pixels in memory are known by their
    content. What has neither is known by its place in the dataset, below all wrappers. No image is
    decoded, and only those that are asked for are looked up.

    Args:
        dataset: any, wrapped or not.
    """

    def __init__(self, dataset: Any) -> None:
        if hasattr(dataset, 'full_init'):
            dataset.full_init()
        self.dataset = dataset
        self._found: Dict[Hashable, Hashable] = {}

    def __getitem__(self, index: int) -> Hashable:
        dataset, place = source(self.dataset, int(index))
        key = (id(dataset), place)
        if key not in self._found:
            self._found[key] = _identity(info_of(dataset, place)) or key
        return self._found[key]

    def count(self) -> int:
        """How many different images there are."""
        return len({self[index] for index in range(len(self.dataset))})


def info_of(dataset: Any, index: int) -> Optional[Mapping[str, Any]]:
    """What a dataset knows of a sample before its image is read; ``None``: it does not say."""
    if not hasattr(dataset, 'get_data_info'):
        return None
    info = dataset.get_data_info(index)
    return info if isinstance(info, Mapping) else None


def path_of(info: Optional[Mapping[str, Any]]) -> Optional[str]:
    """The file with one image; ``None`` where there is none."""
    if not info:
        return None
    for name in _PATHS:
        path = info.get(name)
        if path and isinstance(path, (str, os.PathLike)):
            text = os.fspath(path)
            return None if text.lower().endswith(_CONTAINERS) else text
    return None


def file_identity(path: str) -> Hashable:
    """The same for all names of one file."""
    if '://' in path:
        return path
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return os.path.abspath(path)
    return (found.st_dev, found.st_ino) if found.st_ino else os.path.realpath(path)


def _identity(info: Optional[Mapping[str, Any]]) -> Optional[Hashable]:
    path = path_of(info)
    if path is not None:
        return 'file', file_identity(path)
    for name in _CONTENTS if info else ():
        content = info.get(name)  # type: ignore[union-attr]
        if isinstance(content, (bytes, bytearray)):
            return 'bytes', hashlib.blake2b(content, digest_size=16).digest()
        if content is not None and not isinstance(content, str):
            array = np.ascontiguousarray(content)
            if array.dtype != object and array.size:
                return (array.shape, array.dtype.str,
                        hashlib.blake2b(array.tobytes(), digest_size=16).digest())
    return None
