"""An array whose rows lie in several files, and number formats that NumPy does not have."""
from __future__ import annotations

import os
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np

# Of the teacher's outputs.
OUTPUT_DTYPES = ('float32', 'float16', 'bfloat16')
_FRACTION = np.uint32(0x7FFF)
_SMALL = 1 << 16


def stored_dtype(dtype: str) -> np.dtype:
    """What ``dtype`` is kept as in a file: bfloat16 as the upper halves of float32 numbers."""
    return np.dtype(np.uint16 if dtype == 'bfloat16' else dtype)


def encode(values: np.ndarray, dtype: str) -> np.ndarray:
    """Numbers as they are stored; out of range becomes infinite, as in hardware.

    bfloat16 rounds to nearest even.
    """
    if dtype != 'bfloat16':
        with np.errstate(over='ignore'):
            return np.ascontiguousarray(values, dtype=dtype)
    values = np.ascontiguousarray(values, dtype=np.float32)
    bits = values.view(np.uint32)
    half = ((bits + (_FRACTION + ((bits >> np.uint32(16)) & np.uint32(1)))) >> np.uint32(16))
    half = half.astype(np.uint16)
    half[np.isnan(values)] = 0x7FC0
    return half


def decode(stored: np.ndarray, dtype: str) -> np.ndarray:
    """Inverse of :func:`encode`; bfloat16 comes back as float32."""
    if dtype != 'bfloat16':
        return stored
    return (stored.astype(np.uint32) << np.uint32(16)).view(np.float32)


class ShardedArray:
    """Read-only view of shards, one behind another, as one array.

    Args:
        shards: each ``rows_per_shard`` x ..., the last may be shorter.
        dtype: of the numbers; what comes back has ``self.dtype``, which is float32 for bfloat16.
    """

    def __init__(self, shards: Sequence[np.ndarray], rows_per_shard: int, dtype: str) -> None:
        self._shards, self._per_shard, self._name = list(shards), rows_per_shard, dtype
        rows = sum(len(shard) for shard in shards)
        self.shape: Tuple[int, ...] = (rows, *shards[0].shape[1:])
        self.dtype = np.dtype(np.float32 if dtype == 'bfloat16' else dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def rows(self, rows: Any) -> np.ndarray:
        """A copy of the rows with these numbers, in this order.

        Raises:
            IndexError: there is no such row.
        """
        rows = _checked(rows, len(self))
        if len(self._shards) == 1:
            return decode(self._shards[0][rows], self._name)
        shard, place = np.divmod(rows, self._per_shard)
        out = np.empty((len(rows), *self.shape[1:]), stored_dtype(self._name))
        for number in np.unique(shard):
            at = np.flatnonzero(shard == number)
            out[at] = self._shards[number][place[at]]
        return decode(out, self._name)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, tuple):
            part = self[key[0]]
            return part[key[1:]] if np.ndim(key[0]) == 0 and not isinstance(
                key[0], slice) else part[(slice(None), *key[1:])]
        if isinstance(key, slice):
            return self.rows(np.arange(*key.indices(len(self))))
        key = np.asarray(key)
        key = np.flatnonzero(key) if key.dtype == bool else np.where(key < 0, key + len(self), key)
        return self.rows(key) if key.ndim else self.rows(key[None])[0]

    def __array__(self, dtype: Any = None, copy: Optional[bool] = None) -> np.ndarray:
        return self[:].astype(dtype or self.dtype, copy=False)


class RaggedArray:
    """Read-only view of shards whose rows differ in shape.

    Its files are mapped for as long as rows are read: there may be one for each large row, and a
    process can hold some ten thousands of maps.

    Args:
        files: of the shards: flat arrays, row behind row.
        shapes: of their rows: rows x dimensions each. All but the last have ``rows_per_shard``
            rows.
        dtype: of the numbers; what comes back has ``self.dtype``, which is float32 for bfloat16.

    Attributes:
        shapes: rows x dimensions, int64.
    """

    def __init__(self, files: Sequence[str], shapes: Sequence[np.ndarray], rows_per_shard: int,
                 dtype: str) -> None:
        self._files, self._per_shard, self._name = list(files), rows_per_shard, dtype
        self._starts = [starts(part) for part in shapes]
        self.shapes = np.concatenate(shapes).astype(np.int64)
        self.dtype = np.dtype(np.float32 if dtype == 'bfloat16' else dtype)

    def __len__(self) -> int:
        return len(self.shapes)

    def rows(self, rows: Any) -> List[np.ndarray]:
        """Copies of the rows with these numbers, in this order.

        Raises:
            IndexError: there is no such row.
        """
        found, opened = [], {}
        for row in _checked(rows, len(self)):
            shard, place = divmod(int(row), self._per_shard)
            if shard not in opened:  # to open a file costs more than to copy a small row
                opened[shard] = open_array(self._files[shard])
            start, stop = self._starts[shard][place:place + 2]
            part = np.array(opened[shard][start:stop])
            found.append(decode(part, self._name).reshape(self.shapes[row]))
        return found


def open_array(file: str) -> np.ndarray:
    """The array in a ``.npy`` file: mapped, or read where it is small."""
    small = os.path.getsize(file) < _SMALL
    # np.memmap's own bookkeeping costs more than the copy of a batch.
    return np.asarray(np.load(file, mmap_mode=None if small else 'r', allow_pickle=False))


def starts(shapes: np.ndarray) -> np.ndarray:
    """Where each row of a flat shard begins; behind them where the last one ends."""
    sizes = np.prod(np.asarray(shapes, dtype=np.int64), axis=1)
    return np.concatenate([[0], np.cumsum(sizes)])


def _checked(rows: Any, total: int) -> np.ndarray:
    rows = np.asarray(rows, dtype=np.int64)
    if rows.size and not 0 <= rows.min() <= rows.max() < total:
        raise IndexError(f'rows {rows.min()} to {rows.max()} of {total}')
    return rows
