"""Which files of a finished bank are not what its manifest says."""
from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, List, Mapping, Tuple

from autokd_mm.bank.arrays import open_array, starts, stored_dtype
from autokd_mm.bank.files import checksum
from autokd_mm.bank.plan import Plan, shapes_of, shard_file

_THREADS = 8


def damaged(path: str, manifest: Mapping[str, Any]) -> List[Tuple[str, int]]:
    """(array, shard) of every file that is missing, does not have its checksum, or does not fit
    the shapes of its rows."""
    wanted = {(name, shard): value for name, entry in manifest['arrays'].items()
              for shard, value in enumerate(entry['checksums'])}
    # hashlib lets other threads run.
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        found = pool.map(lambda item: checksum(os.path.join(path, shard_file(*item))), wanted)
        torn = [item for item, value in zip(wanted, found) if value != wanted[item]]
    plan = Plan.from_dict(manifest)
    for name, shard in [item for item in wanted if item not in torn]:
        if not _fits(path, name, shard, plan):
            torn.append((name, shard))
            if name in plan.ragged:  # which of the two is wrong cannot be told
                torn.append((shapes_of(name), shard))
    return torn


def _fits(path: str, name: str, shard: int, plan: Plan) -> bool:
    """Whether a shard's file has the shape and dtype that it must have."""
    shape, dtype = plan.arrays[name]
    start, stop = plan.span(shard)
    found = open_array(os.path.join(path, shard_file(name, shard)))
    if found.dtype != stored_dtype(dtype):
        return False
    if name not in plan.ragged:
        return found.shape == (stop - start, *shape[1:])
    try:
        shapes = open_array(os.path.join(path, shard_file(shapes_of(name), shard)))
    except (OSError, ValueError):
        return True  # its own file is the torn one
    return (shapes.shape == (stop - start, len(shape) - 1) and not (shapes < 0).any()
            and found.shape == (starts(shapes)[-1], ))
