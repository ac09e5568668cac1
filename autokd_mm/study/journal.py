"""The file that keeps a study, so that no death of a process can make it unreadable."""
from __future__ import annotations

import json
import os
from typing import Any, Dict, Generator, IO, Optional, TYPE_CHECKING

import optuna
from optuna.storages.journal import JournalFileBackend

from autokd_mm.errors import StudyError

if TYPE_CHECKING:  # Optuna exports locks, but not what they have in common
    from optuna.storages.journal._file import BaseJournalFileLock as FileLock
else:
    FileLock = object

JOURNAL = 'study.journal'
# What Optuna raises where a line is no JSON, or not of a journal.
DAMAGED = (ValueError, KeyError, TypeError, AttributeError, AssertionError)
# As Optuna begins lines about parameters and about values on the way.
_PASSED_OVER = (b'{"op_code":5,', b'{"op_code":7,')
_SIGN_OF_LIFE = b'"user_attr":{"heartbeat":'


def journal_path(work_dir: str) -> str:
    return os.path.join(work_dir, JOURNAL)


def open_storage(path: str, backend: Optional[JournalFileBackend] = None
                 ) -> optuna.storages.JournalStorage:
    """Optuna's journal storage over ``path``, which is created when it is missing.

    Args:
        backend: how the file is read and written; by default under a :class:`JournalLock`.

    Raises:
        StudyError: the file is not a journal.
    """
    try:
        return optuna.storages.JournalStorage(
            backend or JournalFileBackend(path, lock_obj=JournalLock(path)))
    except DAMAGED as error:
        reason = ''.join(str(error).splitlines()[:1]) or type(error).__name__
        raise StudyError(f'work_dir: {path} is damaged ({reason}); move it away or name another '
                         '--work-dir') from None


class Glance(JournalFileBackend):
    """A journal as it is now, read once, without the lines that say what was asked of a trial,
    what it was worth on its way and that its worker lives.

    Optuna builds a trial anew for each line, so these are two thirds of the time. They are known by
    their first bytes; lines that look otherwise are read.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._path, self._read = path, False

    def read_logs(self, log_number_from: int) -> Generator[Dict[str, Any], None, None]:
        if self._read:
            return
        self._read = True
        with open(self._path, 'rb') as file:
            for line in file:
                if line.endswith(b'\n') and not (line.startswith(_PASSED_OVER)
                                                 or _SIGN_OF_LIFE in line):
                    yield json.loads(line)


class JournalLock(FileLock):
    """Lets one process append at a time, and only behind a complete line.

    Optuna's own lock is a link beside the file. A process that is killed while it holds the link
    leaves it behind; in a relative path it points nowhere, and the next process then waits for
    ever. This lock lies on the journal itself and is free again when its holder ends, however it
    ends. An unfinished line that a dead writer left is cut off first: the next entry would be
    glued to it, and neither could ever be read.

    The journal must be there: one that is away with its file system must not be begun anew.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: Optional[IO[Any]] = None

    def acquire(self) -> bool:
        import fcntl
        file = open(self._path, 'rb+')
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            drop_torn_line(self._path)
        except BaseException:
            file.close()
            raise
        self._file = file
        return True

    def release(self) -> None:
        if self._file is not None:
            self._file.close()  # which also unlocks it
            self._file = None


def drop_torn_line(path: str) -> None:
    """Cut an unfinished last line off a journal; for the holder of its lock.

    A process that dies, or a disk that fills up, in the middle of a write leaves a line without
    its end. Nothing that was told to the study is lost: an entry counts once its line is complete.
    """
    with open(path, 'rb+') as file:
        data_end = file.seek(0, os.SEEK_END)
        position = data_end
        while position > 0:
            step = min(4096, position)
            file.seek(position - step)
            block = file.read(step)
            newline = block.rfind(b'\n')
            if newline >= 0:
                position = position - step + newline + 1
                break
            position -= step
        if position < data_end:
            file.truncate(position)
