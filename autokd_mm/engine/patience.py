"""A storage that is away for a while: a file server that starts again, a database that moves."""
from __future__ import annotations

import errno
import time
from typing import Any, Callable, List, Optional

from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from sqlalchemy.exc import (DataError, DBAPIError, IntegrityError, NotSupportedError,
                            PendingRollbackError, ProgrammingError, TimeoutError)

# Seconds for which an answer is waited for, and between two tries.
PATIENCE, PAUSE = 600.0, 1.0
# A full disk does not empty itself, and a file one may not write stays so.
_FOR_GOOD = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


class StorageAway(Exception):
    """Patience is over. Not a RuntimeError or ValueError: those may be a distiller's fault."""


class PatientStorage(BaseStorage):
    """Asks again where a storage cannot be reached, instead of losing the trial under way.

    A write that was cut off may have arrived nevertheless. Written again it changes nothing but
    for two: a trial that is told twice (the second is taken for the first), and a trial that is
    created twice (the first one is never signed, so it is ended as a dead worker's).

    Args:
        backend: Optuna's storage.
    """

    def __init__(self, backend: BaseStorage) -> None:
        self.backend = backend
        self._given_up = False

    def set_trial_state_values(self, trial_id: int, state: Any, values: Any = None) -> bool:
        cut_off: List[bool] = []
        try:
            return bool(self._patiently(lambda: self.backend.set_trial_state_values(
                trial_id, state=state, values=values), lambda: cut_off.append(True)))
        except UpdateFinishedTrialError:
            found = self.get_trial(trial_id)
            if cut_off and found.state == state and (values is None or found.values == values):
                return True
            raise

    def _patiently(self, *calls: Callable[[], Any]) -> Any:
        try:
            return patiently(*calls, patience=0.0 if self._given_up else None)
        except StorageAway:
            self._given_up = True  # what is left to be said on the way out is not waited for
            raise

    # The rest of a storage's interface is put here below.


def patiently(call: Callable[[], Any], again: Callable[[], Any] = lambda: None,
              patience: Optional[float] = None) -> Any:
    """What ``call`` returns, as soon as the storage or the work dir can be reached.

    Args:
        again: called before every further try.
        patience: in seconds; None: PATIENCE.

    Raises:
        StorageAway: it cannot, for too long.
    """
    since = None
    patience = PATIENCE if patience is None else patience
    while True:
        try:
            return call()
        except (OSError, StorageInternalError, DBAPIError) as error:
            if not is_away(error):
                raise
            now = time.monotonic()
            since = now if since is None else since
            if now - since >= patience:
                raise StorageAway(
                    f'the study cannot be reached for {PATIENCE:.0f} s ({type(error).__name__}); '
                    'what was finished is kept, go on with --resume') from None
        time.sleep(PAUSE)
        again()


def is_away(error: BaseException) -> bool:
    """Whether the storage could not be reached, as opposed to having refused."""
    if isinstance(error, OSError):
        return error.errno is not None and error.errno not in _FOR_GOOD
    cause = error if isinstance(error, DBAPIError) else error.__cause__
    if isinstance(cause, (PendingRollbackError, TimeoutError)):
        return True  # of a connection that was cut a moment ago
    return isinstance(cause, DBAPIError) and (
        cause.connection_invalidated or not isinstance(
            cause, (IntegrityError, ProgrammingError, DataError, NotSupportedError)))


def _asked_patiently(name: str) -> Any:

    def ask(self: PatientStorage, *args: Any, **kwargs: Any) -> Any:
        return self._patiently(lambda: getattr(self.backend, name)(*args, **kwargs))

    ask.__name__ = name
    return ask


for _name in sorted(set(BaseStorage.__abstractmethods__) - set(vars(PatientStorage))
                    | {'get_best_trial', 'get_n_trials', 'remove_session'}):
    setattr(PatientStorage, _name, _asked_patiently(_name))
PatientStorage.__abstractmethods__ = frozenset()
