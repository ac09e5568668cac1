"""``autokd status WORK_DIR``: one screen about a search, finished, running or stopped."""
import json
import os
from datetime import timedelta
from shlex import quote
from typing import List

from autokd_mm.cli.arguments import parser_of
from autokd_mm.study.status import (BEST, FINISHED, PREPARING, STOPPED, Status, status_of,
                                    to_dict)

# Exit codes, for scripts; 2 is a mistake.
CODES = {FINISHED: 0, STOPPED: 4}
RUNNING = 3


def show(args: List[str]) -> int:
    """Print the screen.

    Args:
        args: of the command.

    Returns:
        The exit code: 0 finished, 3 at work, 4 stopped before its end.

    Raises:
        StudyError: there is no study, or it cannot be read.
    """
    parser = parser_of(
        'status', 'How far a search is. Exit code 0: finished, 3: at work, '
        '4: stopped before its end (go on with --resume), 2: no study.')
    parser.add_argument('--json', action='store_true', help='all figures, for a script')
    given = parser.parse_args(args)
    found = status_of(given.work_dir, given.storage)
    print(json.dumps(to_dict(found)) if given.json else '\n'.join(lines(given.work_dir, found)))
    return CODES.get(found.phase, RUNNING)


def lines(work_dir: str, found: Status) -> List[str]:
    """The screen."""
    result = [f'{os.path.basename(os.path.abspath(work_dir))}: {found.phase}']
    if found.phase == STOPPED:
        result[0] += '; nobody is seen at work, go on with --resume'
    if found.phase == PREPARING:
        result[0] += ' (teacher, bank, undistilled student)'
    states = ', '.join(f'{number} {state}' for state, number in found.states.items() if number)
    wanted = f' of {found.wanted}' if found.wanted else ''
    wanted += ', all that the space has' * found.used_up
    result.append(f'  trials       {found.counted}{wanted}' + (f': {states}' if states else ''))
    if found.best:
        result.append(f'  best         {found.best}')
    if found.final_wanted:
        done = min(1.0, found.final_done / found.final_wanted)
        result.append(f'  final round  {1.0 if found.phase == FINISHED else done:.0%}')
    for run in found.runs:
        lives = {True: '', False: ', its worker has died', None: ', on another machine'}[run.lives]
        result.append(f'  at work      {run.what} for {_time(run.seconds)}, '
                      f'{run.worker or "not signed"}{lives}')
    if found.left is not None:
        result.append(f'  time left    about {_time(found.left)}')
    if found.phase == FINISHED:
        result += _winner(os.path.join(work_dir, BEST))
    disk = {name: f'{size / 2 ** 20:,.1f} MiB' for name, size in found.disk.items()}
    result.append(f'  disk         study {disk["study"]}, banks {disk["banks"]}, '
                  f'free {found.disk["free"] / 2 ** 30:,.1f} GiB')
    return result


def _winner(path: str) -> List[str]:
    """What the config that was written says on top of itself."""
    with open(path, encoding='utf-8', errors='replace') as file:
        comment = []
        for line in file:
            if not line.startswith('#'):
                break
            comment.append(line[1:].strip())
    keep = [line for line in comment[1:] if line and not line.startswith(('length:', 'images:'))]
    return ['  winner       ' + keep[0], *(f'               {line}' for line in keep[1:5]),
            f'  train it     autokd train {quote(path)}'] if keep else []


def _time(seconds: float) -> str:
    return str(timedelta(seconds=max(0, int(seconds))))
