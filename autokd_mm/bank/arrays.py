"""An array whose rows lie in several files, and number formats that NumPy does not have."""
from __future__ import annotations

from typing import Any, Optional, Sequence, Tuple

import numpy as np

# Of the teacher's outputs.
OUTPUT_DTYPES = ('float32', 'float16', 'bfloat16')
_FRACTION = np.uint32(0x7FFF)


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
        rows = np.asarray(rows, dtype=np.int64)
        if rows.size and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f'rows {rows.min()} to {rows.max()} of {len(self)}')
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
