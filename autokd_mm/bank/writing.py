"""Writing a bank shard by shard, so that killed writers are gone on from and many may write.

A bank grows in ``<path>.unfinished``. Each block of rows is claimed by a lock that ends with its
holder; its note, ``block-<n>.json`` with the checksums, is written when its files are on the disk.
Whoever finds all blocks noted writes the manifest and renames the folder. So one process, the
ranks of a job and independent workers all do the same, and need nothing but the file system.
"""
from __future__ import annotations

import glob
import io
import json
import os
import shutil
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from autokd_mm.bank.arrays import encode
from autokd_mm.bank.damage import damaged
from autokd_mm.bank.files import (check_room, checksum, claim, door, filled, remove_bank,
                                  write_file, write_json)
from autokd_mm.bank.manifest import TornBank, read_manifest, versions, write_manifest
from autokd_mm.bank.plan import Plan, shapes_of, shard_file, shard_files
from autokd_mm.errors import ConfigError

_PLAN = 'plan.json'
# Of a ragged array: a sequence of one array for each row.
Make = Callable[[int, int], Mapping[str, Any]]


def write(path: str, plan: Plan, make: Make, key: str = 'work_dir',
          advice: str = 'make the bank smaller', share: float = 0.0,
          progress: Callable[[int, int], None] = lambda done, total: None) -> None:
    """Write a bank, alone or with others; ``path`` is there only when it is complete.

    Args:
        make: ``(start, stop)`` -> name -> those rows of each array, of a ragged one a sequence of
            arrays; must give the same again.
        key, advice: of :func:`check_room`.
        share: where in the bank to begin, 0 to 1, so that ranks do not meet at the first shard.
        progress: told rows that are there, by whomever, and their total.

    Raises:
        ConfigError: the disk is too small, or another bank is being written there.
        OSError: the disk is full or broken; shards that are complete stay for the next call.
    """
    if not _begin(path, plan, key, advice):
        return
    unfinished = _unfinished(path)
    try:
        with claim(os.path.join(unfinished, _PLAN), shared=True):
            first = int(share * plan.shards)
            todo = [*range(first, plan.shards), *range(first)]
            while todo:
                later = []
                for shard in todo:
                    if _block(unfinished, plan, shard, make):
                        progress(_rows_there(unfinished, plan), plan.rows)
                    else:
                        later.append(shard)
                if later == todo:  # all with others; wait for one, which may die with its holder
                    _block(unfinished, plan, later.pop(0), make, wait=True)
                todo = later
            _finish(path, plan)
    except FileNotFoundError:
        if not filled(path):  # otherwise another process has finished it
            raise


def mend(path: str, make: Make) -> None:
    """Write the damaged shards of a bank again, each alone; without its manifest, remove it.

    Raises:
        ConfigError: the folder holds no bank but something else.
    """
    with claim(door(path)):
        if not filled(path):  # another process has removed it
            return
        try:
            manifest = read_manifest(path)
        except TornBank:
            remove_bank(path)
            return
        plan = Plan.from_dict(manifest)
        checksums = {name: list(entry['checksums']) for name, entry in manifest['arrays'].items()}
        torn: Dict[int, List[str]] = {}
        for name, shard in damaged(path, manifest):
            torn.setdefault(shard, []).append(name)
        for shard, names in torn.items():
            for name, value in _write_shard(path, plan, shard, make, names).items():
                checksums[name][shard] = value
        if torn:
            write_manifest(path, plan, checksums, manifest['versions'])


def _unfinished(path: str) -> str:
    return f'{path}.unfinished'


def _begin(path: str, plan: Plan, key: str, advice: str) -> bool:
    """Make the folder in which the bank grows; false where the bank is there."""
    if os.path.isfile(path):  # seen here, before hours of work
        raise ConfigError(f'{key}: {path} is a file, and a bank is a folder; name another')
    parent = os.path.dirname(os.path.abspath(path))
    os.makedirs(parent, exist_ok=True)
    unfinished = _unfinished(path)
    with claim(door(path)):
        if filled(path):
            return False
        wanted = dict(plan.to_dict(), versions=versions())
        if _read(os.path.join(unfinished, _PLAN)) != wanted:
            _discard(path)
        there = sum(os.path.getsize(os.path.join(unfinished, file)) for file in shard_files(plan)
                    if os.path.isfile(os.path.join(unfinished, file)))
        check_room(parent, plan.bytes - there, key, advice)
        os.makedirs(unfinished, exist_ok=True)
        if _read(os.path.join(unfinished, _PLAN)) != wanted:
            write_json(os.path.join(unfinished, _PLAN), wanted)
    return True


def _discard(path: str) -> None:
    """Remove what is left of another bank, unless somebody is at it."""
    unfinished = _unfinished(path)
    file = os.path.join(unfinished, _PLAN)
    if os.path.isfile(file):
        with claim(file, wait=False) as free:
            if free is None:
                raise ConfigError(f'{path}: another process is writing another bank there; use '
                                  'another folder')
    shutil.rmtree(unfinished, ignore_errors=True)


def _block(unfinished: str, plan: Plan, shard: int, make: Make, wait: bool = False) -> bool:
    """Write one block of rows unless it is there; false where another process is at it."""
    note = _note(unfinished, shard)
    with claim(note, wait) as file:
        if file is None:
            return False
        if not os.path.exists(note):  # the folder was renamed while this process waited
            raise FileNotFoundError(note)
        if not _read(note):
            checksums = _write_shard(unfinished, plan, shard, make, list(plan.arrays))
            # In place, because the lock is on this very file; half a note is no JSON.
            file.truncate(0)
            file.write(json.dumps(checksums))
            file.flush()
            os.fsync(file.fileno())
    return True


def _write_shard(folder: str, plan: Plan, shard: int, make: Make,
                 names: List[str]) -> Dict[str, str]:
    """Make a block of rows and write those of ``names``; returns their checksums."""
    start, stop = plan.span(shard)
    values = dict(make(start, stop))
    for name in plan.ragged:
        values[name], values[shapes_of(name)] = _flat(plan, name, values[name])
    checksums = {}
    for name in names:
        shape, dtype = plan.arrays[name]
        array = encode(np.asarray(values[name]), dtype)
        if name in plan.ragged:
            rows = len(values[shapes_of(name)])
        else:
            rows = len(array)
            if array.shape[1:] != shape[1:]:
                raise ValueError(f'{name}: rows of shape {array.shape[1:]}, {shape[1:]} expected')
        if rows != stop - start:
            raise ValueError(f'{name}: {rows} rows, {stop - start} expected')
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, np.lib.format.header_data_from_array_1_0(array))
        file = os.path.join(folder, shard_file(name, shard))
        write_file(file, [header.getvalue(), array.reshape(-1).view(np.uint8).data])
        checksums[name] = checksum(file)
    return checksums


def _flat(plan: Plan, name: str, rows: Sequence[np.ndarray]) -> Tuple[np.ndarray, np.ndarray]:
    """Numbers and shapes of some rows of a ragged array."""
    arrays = [np.asarray(row) for row in rows]
    wanted = plan.arrays[name][0][1:]
    for array in arrays:
        if len(array.shape) != len(wanted) or any(
                size not in (None, there) for size, there in zip(wanted, array.shape)):
            raise ValueError(f'{name}: a row of shape {array.shape}, {wanted} expected')
    shapes = np.array([array.shape for array in arrays], np.int32).reshape(-1, len(wanted))
    return np.concatenate([array.reshape(-1) for array in arrays]), shapes


def _finish(path: str, plan: Plan) -> None:
    with claim(door(path)):
        if filled(path):
            return
        unfinished = _unfinished(path)
        notes = [_read(_note(unfinished, shard)) for shard in range(plan.shards)]
        if not all(notes):
            raise OSError(f'{unfinished}: a note of a finished shard is gone')
        for left in glob.glob(os.path.join(glob.escape(unfinished), '*.unfinished-*')):
            os.remove(left)  # of a writer that was killed
        made_with = (_read(os.path.join(unfinished, _PLAN)) or {}).get('versions', {})
        write_manifest(unfinished, plan, {
            name: [note[name] for note in notes if note] for name in plan.arrays}, made_with)
        os.rename(unfinished, path)
        for file in [_note(path, shard) for shard in range(plan.shards)]:
            os.remove(file)
        os.remove(os.path.join(path, _PLAN))


def _note(folder: str, shard: int) -> str:
    return os.path.join(folder, f'block-{shard:05d}.json')


def _read(file: str) -> Optional[Dict[str, Any]]:
    try:
        with open(file) as stream:
            return json.load(stream)
    except (OSError, ValueError):
        return None


def _rows_there(unfinished: str, plan: Plan) -> int:
    with os.scandir(unfinished) as files:
        noted = {file.name for file in files
                 if file.name.startswith('block-') and file.stat().st_size}
    spans = [plan.span(shard) for shard in range(plan.shards)
             if os.path.basename(_note(unfinished, shard)) in noted]
    return sum(stop - start for start, stop in spans)
