"""A storage that is away for a while: a file server that starts again, a database that moves."""
from __future__ import annotations

import copy
import errno
import json
import sys
import time
from contextlib import contextmanager, nullcontext
from typing import (Any, Callable, Container, ContextManager, Dict, Iterator, List, Optional,
                    Sequence, TypeVar)

from optuna.distributions import BaseDistribution
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from autokd_mm.errors import StudyError

Answer = TypeVar('Answer')
# Seconds for which an answer is waited for, and between two tries.
PATIENCE, PAUSE = 600.0, 1.0
# A full disk does not empty itself, and a file one may not write, or a name that is none, stays so.
_FOR_GOOD = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM,
             errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR)


class StorageAway(StudyError):
    """Patience is over."""


def one_look(study: Study) -> ContextManager[None]:
    """:meth:`PatientStorage.one_look`, of any study."""
    storage = study._storage
    return storage.one_look() if isinstance(storage, PatientStorage) else nullcontext()


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
        # System attributes of the trials that run here; None: not known.
        self._own: Dict[int, Optional[Dict[str, Any]]] = {}
        # What has been seen of each study during one look; None: everybody looks anew.
        self._seen: Optional[Dict[int, List[FrozenTrial]]] = None

    @contextmanager
    def one_look(self) -> Iterator[None]:
        """Inside, all see what the first one saw, and after a change of a trial's state look once
        more: a database reads all that runs anywhere for each look. For the holder of the study's
        lock. A trial that is begun inside is not seen."""
        self._seen = {}
        try:
            yield
        finally:
            self._seen = None

    def get_all_trials(self, study_id: int, deepcopy: bool = True,
                       states: Optional[Container[TrialState]] = None) -> List[FrozenTrial]:
        seen = self._seen  # another thread's, or an older one, changes nothing below
        if seen is None:
            return list(self._patiently(lambda: self.backend.get_all_trials(
                study_id, deepcopy=deepcopy, states=states)))
        if study_id not in seen:
            seen[study_id] = self._patiently(lambda: self.backend.get_all_trials(
                study_id, deepcopy=False))
        found = [trial for trial in seen[study_id] if states is None or trial.state in states]
        return copy.deepcopy(found) if deepcopy else found

    def _look_again(self) -> None:
        if self._seen is not None:
            self._seen = {}

    def create_new_trial(self, study_id: int, template_trial: Optional[FrozenTrial] = None) -> int:
        trial_id = int(self._patiently(
            lambda: self.backend.create_new_trial(study_id, template_trial)))
        if template_trial is None:
            self._own[trial_id] = {}
        else:
            self._look_again()
        return trial_id

    def set_trial_state_values(self, trial_id: int, state: Any, values: Any = None) -> bool:
        if state != TrialState.RUNNING:
            self._own.pop(trial_id, None)
        cut_off: List[bool] = []
        try:
            done = bool(self._patiently(lambda: self.backend.set_trial_state_values(
                trial_id, state=state, values=values), lambda: cut_off.append(True)))
            if done and state == TrialState.RUNNING:  # it was queued
                self._own[trial_id] = None
            return done
        except UpdateFinishedTrialError:
            found = self.get_trial(trial_id)
            if cut_off and found.state == state and (values is None or found.values == values):
                return True
            raise
        finally:
            self._look_again()

    def get_trial_system_attrs(self, trial_id: int) -> Dict[str, Any]:
        """Those of a trial that runs here are known: nobody else writes them, and Optuna asks for
        them at each question, which makes a database read the whole trial."""
        known = self._own.get(trial_id)
        if known is None:
            known = self.get_trial(trial_id).system_attrs
            if trial_id in self._own:
                self._own[trial_id] = known
        return copy.deepcopy(known)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        known = self._own.get(trial_id)
        if known is not None:
            self._own[trial_id] = None  # until it is written
        self._patiently(lambda: self.backend.set_trial_system_attr(trial_id, key, value))
        if known is not None:
            self._own[trial_id] = dict(known, **{key: json.loads(json.dumps(value))})

    def _patiently(self, call: Callable[[], Answer],
                   again: Callable[[], Any] = lambda: None) -> Answer:
        try:
            return patiently(call, again, 0.0 if self._given_up else None)
        except StorageAway:
            self._given_up = True  # what is left to be said on the way out is not waited for
            raise

    # All else is only asked patiently.

    def create_new_study(self, directions: Sequence[StudyDirection],
                         study_name: Optional[str] = None) -> int:
        return self._patiently(lambda: self.backend.create_new_study(directions, study_name))

    def delete_study(self, study_id: int) -> None:
        self._patiently(lambda: self.backend.delete_study(study_id))

    def get_all_studies(self) -> List[Any]:
        return self._patiently(self.backend.get_all_studies)

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        return self._patiently(lambda: self.backend.get_best_trial(study_id))

    def get_n_trials(self, study_id: int, state: Any = None) -> int:
        return self._patiently(lambda: self.backend.get_n_trials(study_id, state))

    def get_study_directions(self, study_id: int) -> List[StudyDirection]:
        return self._patiently(lambda: self.backend.get_study_directions(study_id))

    def get_study_id_from_name(self, study_name: str) -> int:
        return self._patiently(lambda: self.backend.get_study_id_from_name(study_name))

    def get_study_name_from_id(self, study_id: int) -> str:
        return self._patiently(lambda: self.backend.get_study_name_from_id(study_id))

    def get_study_system_attrs(self, study_id: int) -> Dict[str, Any]:
        return self._patiently(lambda: self.backend.get_study_system_attrs(study_id))

    def get_study_user_attrs(self, study_id: int) -> Dict[str, Any]:
        return self._patiently(lambda: self.backend.get_study_user_attrs(study_id))

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return self._patiently(lambda: self.backend.get_trial(trial_id))

    def remove_session(self) -> None:
        self._patiently(self.backend.remove_session)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._patiently(lambda: self.backend.set_study_system_attr(study_id, key, value))

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self._patiently(lambda: self.backend.set_study_user_attr(study_id, key, value))

    def set_trial_intermediate_value(self, trial_id: int, step: int,
                                     intermediate_value: float) -> None:
        self._patiently(lambda: self.backend.set_trial_intermediate_value(
            trial_id, step, intermediate_value))

    def set_trial_param(self, trial_id: int, param_name: str, param_value_internal: float,
                        distribution: BaseDistribution) -> None:
        self._patiently(lambda: self.backend.set_trial_param(
            trial_id, param_name, param_value_internal, distribution))

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._patiently(lambda: self.backend.set_trial_user_attr(trial_id, key, value))


def patiently(call: Callable[[], Answer], again: Callable[[], Any] = lambda: None,
              patience: Optional[float] = None) -> Answer:
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
        except Exception as error:
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
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    # A quarter of a second to import, for nothing where a journal is read.
    return cause is not None and 'sqlalchemy' in sys.modules and _cut_off(cause)


def _cut_off(error: BaseException) -> bool:
    from sqlalchemy.exc import (DataError, DBAPIError, IntegrityError, NotSupportedError,
                                PendingRollbackError, ProgrammingError, TimeoutError)
    if isinstance(error, (PendingRollbackError, TimeoutError)):
        return True  # of a connection that was cut a moment ago
    return isinstance(error, DBAPIError) and (
        error.connection_invalidated or not isinstance(
            error, (IntegrityError, ProgrammingError, DataError, NotSupportedError)))
