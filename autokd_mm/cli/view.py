"""``autokd view WORK_DIR``: the study for viewers, of any search."""
import os
from importlib.util import find_spec
from shlex import quote
from typing import List, Optional

import optuna

from autokd_mm.cli.arguments import parser_of
from autokd_mm.errors import StudyError
from autokd_mm.study.storage import database_errors, open_to_look, study_name
from autokd_mm.study.view import VIEW, VIEW_JOURNAL, View, standings_in
from autokd_mm.study.work_dir import WorkDir
from autokd_mm.whole_file import refuse_another


def make(args: List[str]) -> int:
    """Write the file, or what is missing in it, and say what opens it.

    Args:
        args: of the command.

    Returns:
        The exit code.

    Raises:
        StudyError: there is no study, it cannot be read, or the file cannot be written.
    """
    parser = parser_of(
        'view', f'Make {VIEW_JOURNAL}, a study that optuna-dashboard and '
        'optuna.visualization show. A search keeps its own up to date; this makes that of an older '
        'one, of one that was stopped, or another.')
    parser.add_argument('--out', metavar='FILE', help=f'instead of {VIEW_JOURNAL} in the work dir')
    given = parser.parse_args(args)
    path = given.out or os.path.join(given.work_dir, VIEW_JOURNAL)
    if given.out:
        refuse_another(given.out, f'"{VIEW}"'.encode(), 'a study for viewers')
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        number = _write(given.work_dir, given.storage, path)
    except OSError as error:
        raise StudyError(f'{path} cannot be written ({error.strerror}); name another file by '
                         '--out') from None
    except database_errors() as error:
        raise StudyError(f'storage: the study cannot be read ({type(error).__name__})') from None
    print(f'{number} trials as study {VIEW}; look at them with\n    optuna-dashboard {quote(path)}')
    if find_spec('optuna_dashboard') is None:
        print('which is installed by\n    pip install optuna-dashboard')
    return 0


def _write(work_dir: str, storage: Optional[str], path: str) -> int:
    backend, name = open_to_look(work_dir, storage), study_name(work_dir, storage)
    if name not in [study.study_name for study in backend.get_all_studies()]:
        raise StudyError(f'work_dir: {work_dir} holds no study of a search')
    search = optuna.load_study(storage=backend, study_name=name)
    standings = standings_in(os.path.join(work_dir, 'leaderboard.csv'))
    if os.path.dirname(os.path.abspath(path)) != os.path.abspath(work_dir):
        return View(path).update(search, standings)
    with WorkDir(work_dir).turn():
        return View(path).update(search, standings)
