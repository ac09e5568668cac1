"""Files and folders that are there only when they are complete."""
from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import IO, Any, Iterator


@contextmanager
def replacing(path: str) -> Iterator[str]:
    """The name of a file or folder beside ``path`` that takes its place at the end of the block.

    Replaced in one step, so that a reader never sees half of it; a folder replaces an empty one
    only. Where the block raises, ``path`` stays as it was and nothing is left beside it.
    """
    unfinished = f'{path}.unfinished-{os.getpid()}'
    try:
        yield unfinished
        os.replace(unfinished, path)
    except BaseException:
        if os.path.isdir(unfinished):
            shutil.rmtree(unfinished, ignore_errors=True)
        elif os.path.exists(unfinished):
            os.remove(unfinished)
        raise


@contextmanager
def whole_file(path: str, mode: str = 'wb', **how: Any) -> Iterator[IO[Any]]:
    """A file to write into, which is ``path`` once all of it is on the disk.

    Args:
        how: further arguments of ``open``.
    """
    with replacing(path) as unfinished, open(unfinished, mode, **how) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
