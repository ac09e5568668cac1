"""A sign of life of every running trial, in any storage, and who has been without one too long."""
from __future__ import annotations

import threading
from typing import Any, Dict, Optional, Set, Tuple

from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study
from optuna.trial import TrialState

from autokd_mm.errors import ConfigError

HEARTBEAT = 'heartbeat'  # user attribute of a running trial: a number that grows
# So many looks in a row must find nothing new before a worker counts as dead.
MISSES = 6


class Heartbeat:
    """A thread that signs this worker's running trial and watches the other workers'.

    No clock is compared with another one's: what counts is how often this worker has looked, with
    a pause of ``interval`` on its own monotonic clock, without seeing anything new. Clocks may
    differ or be set back, and while the storage is away, or this process is stopped, nobody dies:
    there are no looks then.

    (Optuna has heartbeats in relational storages alone, and compares times of day.)

    Args:
        interval: seconds between two beats, each with a look.

    Raises:
        ConfigError: no number above 0.

    Attributes:
        lost: id of the trial of this worker that others have taken for dead, or None.
    """

    def __init__(self, interval: float = 20.0) -> None:
        if isinstance(interval, bool) or not isinstance(interval, (int, float)) or not (
                0 < interval < float('inf')):
            raise ConfigError(f'heartbeat={interval!r}: must be a number of seconds above 0')
        self.interval = interval
        self.lost: Optional[int] = None
        self._studies: Set[Tuple[Any, int]] = set()
        self._current: Optional[Tuple[Any, int]] = None
        self._beats = 0
        self._seen: Dict[int, Tuple[Any, int]] = {}  # trial id: last value, looks since
        self._living: Set[int] = set()
        self._end = threading.Event()
        self._thread: Optional[threading.Thread] = None

    def __enter__(self) -> 'Heartbeat':
        self._thread = threading.Thread(target=self._go_on, name='heartbeat', daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *args: Any) -> None:
        self._end.set()
        if self._thread is not None:
            self._thread.join(5.0)

    def watch(self, study: Study) -> None:
        """Look at the running trials of ``study`` too."""
        self._studies.add((study._storage, study._study_id))

    def sign(self, study: Study, trial_id: int) -> None:
        """From now on the beats go to this trial."""
        self.lost = None
        self._current = (study._storage, trial_id)

    def rest(self) -> None:
        """The trial is finished."""
        self._current = None

    def silent(self) -> Set[int]:
        """Ids of the running trials, of all studies, that have shown no life for too long."""
        return {trial_id for trial_id, (_, misses) in list(self._seen.items()) if misses >= MISSES}

    def living(self, trial_id: int) -> bool:
        """Whether this worker has seen a sign of life of a running trial."""
        return trial_id in self._living

    def beat(self) -> None:
        """Sign once."""
        current = self._current
        if current is None:
            return
        storage, trial_id = current
        self._beats += 1
        try:
            storage.set_trial_user_attr(trial_id, HEARTBEAT, self._beats)
        except UpdateFinishedTrialError:
            if self._current == current:  # and not just told by this worker itself
                self.lost = trial_id

    def look(self) -> None:
        """Look at everybody's beats once."""
        seen: Dict[int, Tuple[Any, int]] = {}
        for (storage, study_id) in list(self._studies):
            for trial in storage.get_all_trials(study_id, deepcopy=False,
                                                states=(TrialState.RUNNING, )):
                value = trial.user_attrs.get(HEARTBEAT)
                before, misses = self._seen.get(trial._trial_id, (value, -1))
                seen[trial._trial_id] = (value, misses + 1 if before == value else 0)
                if before != value:
                    self._living.add(trial._trial_id)
        if self._current is not None:
            seen.pop(self._current[1], None)
        self._seen = seen

    def _go_on(self) -> None:
        while not self._end.wait(self.interval):
            try:
                self.beat()
                self.look()
            except Exception:  # the worker itself will meet it, where it can be told
                continue
