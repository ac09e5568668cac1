"""Files and folders that are there only when they are complete."""
from __future__ import annotations

import os
import shutil
from contextlib import contextmanager, suppress
from typing import IO, Any, Iterator

from autokd_mm.errors import ConfigError

_BEGINNING = 1000  # bytes


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


@contextmanager
def put_back(path: str, always: bool = False) -> Iterator[None]:
    """Let a file be as it was before the block, where that raises an exception or ``always``; one
    that is new stays."""
    before = None
    with suppress(OSError), open(path, 'rb') as file:
        before = file.read()
    try:
        yield
    except Exception:
        always = True
        raise
    finally:
        if always and before is not None:
            with whole_file(path) as file:
                file.write(before)


def refuse_another(path: str, sign: bytes, what: str, key: str = '--out') -> None:
    """Keep a file that the command line names by mistake, such as a study.

    Args:
        path: to be written.
        sign: what those begin with that may be replaced, within their first 1,000 bytes; an empty
            file may be, too.
        what: the one to be written is.
        key: for the error.

    Raises:
        ConfigError: there is a file, and it is something else.
    """
    try:
        with open(path, 'rb') as file:
            beginning = file.read(_BEGINNING)
    except OSError:  # none yet, or a mistake that is told where it is written
        return
    if beginning and sign not in beginning:
        raise ConfigError(f'{key}: {path} is there already and is not {what}; name another file, '
                          'or remove it')
