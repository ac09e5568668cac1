"""A study in a database for somebody who looks on; importing this loads SQLAlchemy."""
from __future__ import annotations

import json
from typing import Any, Dict, List

from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import DateTime, text

from autokd_mm.study.heartbeat import HEARTBEAT

_OF_STUDY = 'JOIN trials ON trials.trial_id = it.trial_id WHERE trials.study_id = :study'


class DatabaseGlance(RDBStorage):
    """Trials without what was asked of them and what they were worth on their way.

    Optuna reads every row as an object, five tables of them. Where another version of it does not
    come by here, its own reading is as good and slower.
    """

    def _get_trials(self, study_id: int, *_: Any, **__: Any) -> List[FrozenTrial]:
        study = dict(study=study_id, heartbeat=HEARTBEAT)
        with self.engine.connect() as connection:
            # First the states: what is complete then has its value by now.
            rows = connection.execute(text(
                'SELECT trial_id, number, state, datetime_start, datetime_complete FROM trials '
                'WHERE study_id = :study ORDER BY number').columns(
                    datetime_start=DateTime, datetime_complete=DateTime), study).all()
            values = {row.trial_id: row.value for row in connection.execute(text(
                f'SELECT it.trial_id, it.value FROM trial_values it {_OF_STUDY}'), study)}
            attrs: Dict[int, Dict[str, Any]] = {}
            for trial_id, key, value in connection.execute(text(
                    'SELECT it.trial_id, it.key, it.value_json FROM trial_user_attributes it '
                    f'{_OF_STUDY} AND it.key <> :heartbeat'), study):
                found = attrs.setdefault(trial_id, {})[key] = json.loads(value)
                if isinstance(found, dict):
                    found.pop('curve', None)  # of an outcome
        return [FrozenTrial(number, TrialState[state], values.get(trial_id), start, end, {}, {},
                            attrs.get(trial_id, {}), {}, {}, trial_id)
                for trial_id, number, state, start, end in rows]
