"""Files that are there only when they are complete, checksums, locks, room on the disk."""
from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from contextlib import contextmanager
from typing import Any, Iterator

from autokd_mm.errors import ConfigError
from autokd_mm.whole_file import whole_file

# What is still free on the disk after the bank must be written too: study, log, checkpoints.
SPARE = 64 << 20
_OWN = re.compile(r'(manifest\.json|plan\.json|block-\d{5}\.json|.+\.\d{5}\.npy)'
                  r'(\.unfinished-\d+)?')


def write_file(path: str, data: Any) -> None:
    """Write bytes; ``path`` is there only when all of them are on the disk."""
    with whole_file(path) as file:
        for part in data if isinstance(data, (list, tuple)) else [data]:
            file.write(part)


def write_json(path: str, value: Any) -> None:
    write_file(path, json.dumps(value, indent=1).encode())


def checksum(file: str) -> str:
    """BLAKE2 of a file's bytes; '' where there is no file."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        with open(file, 'rb') as stream:
            for block in iter(lambda: stream.read(1 << 20), b''):
                digest.update(block)
    except FileNotFoundError:
        return ''
    return digest.hexdigest()


@contextmanager
def claim(path: str, wait: bool = True, shared: bool = False) -> Iterator[Any]:
    """Hold the lock file ``path`` until the block or the process ends, however it ends.

    Yields:
        The open file; ``None`` where another process holds the lock and ``wait`` is false.
    """
    import fcntl
    with open(path, 'a+') as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
                        | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield None
        else:
            try:
                yield file
            finally:  # closing it is not enough while a dataloader's worker has it open, too
                fcntl.flock(file, fcntl.LOCK_UN)


def filled(path: str) -> bool:
    """Whether there is a folder with something in it."""
    return os.path.isdir(path) and bool(os.listdir(path))


def remove_bank(path: str) -> None:
    """Remove a folder in which there is nothing but files of a bank.

    Raises:
        ConfigError: there is something else in it.
    """
    others = [name for name in sorted(os.listdir(path)) if not _OWN.fullmatch(name)]
    if others:
        raise ConfigError(f'{path} is not a folder for a bank: it holds {others[0]}; name another')
    shutil.rmtree(path)


def door(path: str) -> str:
    """The lock file of a bank, beside it: held to begin, finish or mend it."""
    parent, name = os.path.split(os.path.abspath(path))
    return os.path.join(parent, f'.{name}.lock')


def check_room(folder: str, needed: int, key: str, advice: str) -> None:
    """Refuse to write ``needed`` bytes below ``folder`` where they do not fit.

    Args:
        key: config key or argument that named the folder.
        advice: what makes the bank smaller.

    Raises:
        ConfigError: says how much is needed and how much is free.
    """
    free = shutil.disk_usage(folder).free
    if needed + SPARE > free:
        raise ConfigError(f'{key}: the feature bank needs {needed / 2**20:.0f} MiB and '
                          f'{SPARE / 2**20:.0f} MiB to spare, {free / 2**20:.0f} MiB are free at '
                          f'{folder}; {advice}')
