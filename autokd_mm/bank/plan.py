"""What a bank will hold, and how its rows are cut into shards."""
from __future__ import annotations

import json
import math
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np

from autokd_mm.bank.arrays import stored_dtype

# Large enough to read at full speed, small enough to lose and to hold in memory while it is made.
_SHARD_BYTES = 32 << 20
_SHARD_ROWS = 8192
Shape = Tuple[Optional[int], ...]


class Plan:
    """Arrays over the same rows, and the description that identifies them.

    The rows of a *ragged* array differ in shape. A shard of it is one flat array, row behind row,
    and their shapes are an array of their own, ``<name>.shape`` (rows x dimensions, int32).

    Args:
        made_from: JSON values; a bank with others is another bank.
        arrays: name -> (shape, dtype); the first dimension, the rows, is the same for all. Other
            dimensions are ``None`` where rows differ in them.
        rows_per_shard: rows of one file; by default as many as make the largest array's 32 MiB,
            at most 8,192.
        numbers: ragged array -> how many numbers a row has on average, an estimate; shapes are
            known only when the rows have been made.
    """

    def __init__(self, made_from: Mapping[str, Any],
                 arrays: Mapping[str, Tuple[Shape, Any]],
                 rows_per_shard: int = 0,
                 numbers: Optional[Mapping[str, float]] = None) -> None:
        self.made_from: Dict[str, Any] = json.loads(json.dumps(made_from))
        self.arrays: Dict[str, Tuple[Shape, str]] = {
            name: (tuple(None if size is None else int(size) for size in shape),
                   dtype if dtype == 'bfloat16' else np.dtype(dtype).name)
            for name, (shape, dtype) in arrays.items()}
        rows = {int(shape[0] or 0) for shape, _ in self.arrays.values()}
        if len(rows) != 1:
            raise ValueError(f'arrays of {sorted(rows)} rows')
        self.rows = rows.pop()
        self.ragged = [name for name, (shape, _) in self.arrays.items() if None in shape]
        self.numbers = {name: float((numbers or {})[name]) for name in self.ragged}
        for name in self.ragged:
            self.arrays[shapes_of(name)] = ((self.rows, len(self.arrays[name][0]) - 1), 'int32')
        widest = max(self.row_bytes(name) for name in self.arrays)
        self.rows_per_shard = rows_per_shard or min(
            max(1, _SHARD_BYTES // max(widest, 1)), _SHARD_ROWS)
        self.shards = max(1, math.ceil(self.rows / self.rows_per_shard))

    def row_bytes(self, name: str) -> int:
        """Bytes of a row; of a ragged array as estimated."""
        shape, dtype = self.arrays[name]
        numbers = self.numbers[name] if name in self.ragged else np.prod(
            [size for size in shape[1:] if size is not None], dtype=np.int64)
        return math.ceil(numbers * stored_dtype(dtype).itemsize)

    @property
    def bytes(self) -> int:
        return self.rows * sum(map(self.row_bytes, self.arrays))

    def span(self, shard: int) -> Tuple[int, int]:
        """First row of a shard, and the one behind its last."""
        start = shard * self.rows_per_shard
        return start, min(start + self.rows_per_shard, self.rows)

    def to_dict(self) -> Dict[str, Any]:
        """JSON values, all of them needed to go on with a half-written bank."""
        arrays: Dict[str, Dict[str, Any]] = {name: dict(shape=list(shape), dtype=dtype)
                                             for name, (shape, dtype) in self.arrays.items()}
        for name, numbers in self.numbers.items():
            arrays[name]['numbers'] = numbers
        return dict(made_from=self.made_from, rows_per_shard=self.rows_per_shard, arrays=arrays)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> 'Plan':
        arrays = values['arrays']
        return cls(values['made_from'], {name: (tuple(entry['shape']), entry['dtype'])
                                         for name, entry in arrays.items()},
                   values['rows_per_shard'],
                   {name: entry['numbers'] for name, entry in arrays.items() if 'numbers' in entry})


def shapes_of(name: str) -> str:
    """The array that holds the shapes of a ragged one's rows."""
    return f'{name}.shape'


def shard_file(name: str, shard: int) -> str:
    """File of one shard of one array."""
    return f'{name}.{shard:05d}.npy'


def shard_files(plan: Plan) -> List[str]:
    return [shard_file(name, shard) for name in plan.arrays for shard in range(plan.shards)]
