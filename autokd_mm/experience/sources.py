"""From a table of outcomes or a finished study to the statistics of a task."""
from __future__ import annotations

import os
from typing import Any, Dict, List, Optional

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from autokd_mm.errors import DataError
from autokd_mm.experience.statistics import Option, TaskStatistics, statistics
from autokd_mm.search.reading import INTERRUPTED, is_accident, value_of
from autokd_mm.search.tabular import Table
from autokd_mm.space import LEVELS, level_of
from autokd_mm.space.teachers import TEACHER_LEVELS
from autokd_mm.study.about import get_about
from autokd_mm.study.journal import JOURNAL, journal_path
from autokd_mm.study.storage import is_final, open_to_look, study_name

_SEARCH = 'search'  # user attribute of our studies: what is searched
# The number of a teacher says nothing to another task.
_TOLD = tuple(level for level in LEVELS if level not in TEACHER_LEVELS)
_KEPT = ('command', 'date', 'versions', 'device')


def of_source(word: str) -> TaskStatistics:
    """What ``[NAME=]SOURCE`` says: the work dir of a search, its journal, the URL of a database, or
    a table.

    Raises:
        UserError: it is nothing of this, or says nothing.
    """
    name, equals, source = word.partition('=')
    if not equals or '/' in name or '.' in name or '://' in name:
        name, source = '', word
    if source.endswith('.csv.gz'):
        return of_table(source, name or None)
    storage = source if '://' in source else None
    folder = os.path.dirname(source) or '.' if os.path.isfile(source) else source
    if storage is None and not os.path.isfile(journal_path(folder)):
        raise DataError(f'STUDY_OR_TABLE: {source} is no work dir with a {JOURNAL}, no database '
                        'and no table (*.csv.gz)')
    return of_search(folder, storage, name or os.path.basename(os.path.abspath(folder)))


def of_search(work_dir: str, storage: Optional[str], name: str) -> TaskStatistics:
    """What the study in the work dir of a search says, or the one in a database.

    Raises:
        UserError: there is none, or it says nothing.
    """
    backend = open_to_look(work_dir, storage)
    names = [study.study_name for study in backend.get_all_studies()]
    found = [own for own in (study_name(work_dir, storage), study_name(name, storage))
             if own in names][:1] or [one for one in names if not is_final(one)]
    if len(found) != 1:
        listed = ', '.join(one.rpartition('/')[2] for one in found[:12])
        raise DataError(f'STUDY_OR_TABLE: {storage or work_dir} holds {len(found)} studies, not '
                        f'one; NAME={storage or work_dir} takes the one of that name ({listed})')
    return of_study(optuna.load_study(storage=backend, study_name=found[0]), name)


def of_table(path: str, name: Optional[str] = None) -> TaskStatistics:
    """What a file of ``tools/benchmarks/make_table.py`` says.

    Args:
        path: of the file.
        name: of the task; the file's by default.

    Raises:
        ConfigError, DataError: it is no such table, or says nothing.
    """
    table = Table(path)
    paths = [[(level, repr(value)) for level, value in spec.to_dict().items() if level in _TOLD]
             for spec in table.specs]
    about = {key: table.about[key] for key in _KEPT if key in table.about}
    about.update(file=os.path.basename(path), classes=table.about['shapes'].get('classes'),
                 proxy=_proxy(table.about.get('proxy')), trials=int(table.rewards.size))
    return statistics(name or os.path.basename(path).split('.')[0], paths, list(table.truth),
                      samples_of(table.about.get('proxy')), about)


def of_study(study: Study, name: Optional[str] = None) -> TaskStatistics:
    """What the trials of a study say; numbers and what is no level of our space are left out.

    Args:
        study: with one objective.
        name: of the task; the study's by default.

    Raises:
        DataError: it says nothing.
    """
    if len(study.directions) != 1:
        raise DataError(f'{study.study_name}: a study of several objectives has no reward')
    sign = -1 if study.direction == StudyDirection.MINIMIZE else 1
    paths: List[List[Option]] = []
    rewards: List[Optional[float]] = []
    for trial in study.get_trials(deepcopy=False):
        path = _path(trial)
        if trial.state.is_finished() and path and not is_accident(trial) \
                and not trial.user_attrs.get(INTERRUPTED):
            paths.append(path)
            # A pruned one was shorter: nobody knows what it would have become but poor.
            rewards.append(value_of(trial, sign) if trial.state == TrialState.COMPLETE else None)
    about = study.user_attrs.get(_SEARCH)
    first = min(filter(None, (trial.datetime_start for trial in study.get_trials(deepcopy=False))),
                default=None)
    began = None if first is None else first.isoformat(timespec='seconds')
    proxy = about.get('proxy') if isinstance(about, dict) else None
    samples = get_about(study).get('samples') or samples_of(proxy)
    return statistics(name or study.study_name, paths, rewards, samples,
                      dict(study=study.study_name, began=began, proxy=_proxy(proxy)))


def _path(trial: FrozenTrial) -> List[Option]:
    return [(level_of(name), repr(value)) for name, value in trial.params.items()
            if level_of(name) in _TOLD
            and isinstance(trial.distributions[name], CategoricalDistribution)]


def samples_of(proxy: Any) -> Optional[float]:
    """How many images a run on the proxy sees, counted as often as it sees them; ``None`` where
    nobody knows, as of a share of the images.

    Args:
        proxy: settings as a study or a table has them; ``None`` where it has none.
    """
    try:
        if proxy.get('iterations'):
            return float(proxy['iterations'] * proxy['batch_size'])
        return float(proxy['images'] * proxy['epochs']) if proxy['images'] > 1 else None
    except (AttributeError, KeyError, TypeError):
        return None


def _proxy(proxy: Any) -> Dict[str, Any]:
    kept = ('images', 'epochs', 'batch_size', 'views', 'held_out')
    return {key: proxy[key] for key in kept if key in proxy} if isinstance(proxy, dict) else {}
