"""What a person sees while a search runs."""
from __future__ import annotations

import io
import sys
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.progress import (BarColumn, Progress, ProgressColumn, SpinnerColumn, TextColumn,
                           TimeElapsedColumn)
from rich.table import Table
from rich.text import Text

from autokd_mm.report.export import OUTCOME
from autokd_mm.study.ranking import Standing, ranked, spec_of
from autokd_mm.study.study import counted, is_rejected

Work = Tuple[float, float]


def expected_work(done: Sequence[FrozenTrial], trials: int, free: int, epochs: int,
                  final_runs: float = 0.0, finished_runs: float = 0.0) -> Work:
    """What is done and what there is to do, the final round included; the unit is one full run on
    the proxy.

    Args:
        done: finished trials. A pruned one was as much work as it had epochs, a rejected one none.
        trials: at which the search ends; those to come are taken to be as long as those before.
        free: see :func:`~autokd_mm.study.study.counted`.
        epochs: of the proxy.
        final_runs, finished_runs: of the final round, in the same unit.
    """
    spent = sum(_work(trial, epochs) for trial in done)
    number = counted(done, free)
    left = max(0, trials - number) * (spent / number if spent else 1.0)
    return spent + finished_runs, spent + left + final_runs


def _work(trial: FrozenTrial, epochs: int) -> float:
    if is_rejected(trial):
        return 0.0
    if trial.state == TrialState.PRUNED and trial.last_step is not None:
        return trial.last_step / epochs
    return 1.0


class _Left(ProgressColumn):
    """Time left at the speed since the bar was first shown.

    Rich's own column looks back half a minute, in which a large student finishes nothing.
    """

    def render(self, task: Any) -> Text:
        done = task.completed - task.fields['begun']
        if not done or not task.elapsed:
            return Text('-:--:--', style='progress.remaining')
        # From the last sign of life on it counts down.
        seconds = (task.fields['at'] / done * (task.total - task.completed)
                   - (task.elapsed - task.fields['at']))
        return Text(str(timedelta(seconds=max(0, int(seconds)))), style='progress.remaining')


class Display:
    """A progress bar on a terminal; nothing where the output is a file.

    Args:
        enabled: False draws nothing; of several workers on one terminal only one may draw.
        console: where to draw. Defaults to standard error.
    """

    def __init__(self, enabled: bool = True, console: Optional[Console] = None) -> None:
        self.console = console or Console(file=sys.stderr)
        self.enabled = enabled and self.console.is_terminal
        self._progress: Optional[Progress] = None

    @contextmanager
    def running(self) -> Iterator['Display']:
        self._progress = Progress(SpinnerColumn(), TextColumn('{task.description}'), BarColumn(),
                                  TextColumn('{task.fields[count]}'),
                                  TextColumn('{task.fields[note]}'), TimeElapsedColumn(),
                                  TextColumn('left'), _Left(), console=self.console,
                                  disable=not self.enabled)
        try:
            with self._progress:
                yield self
        finally:
            self._progress = None

    def show(self, what: str, done: int, total: int, note: str = '',
             work: Optional[Work] = None) -> None:
        """Set the bar called ``what``.

        Args:
            done, total: shown as numbers.
            work: what the bar and the time left are about, where ``done`` and ``total`` are only
                a part of it. All that is shown with it shares one bar.
        """
        if self._progress is None:
            return
        name = what if work is None else ''
        completed, all_ = (done, total) if work is None else work
        state: Dict[str, Any] = dict(description=what, total=all_, completed=completed, note=note,
                                     count=f'{done}/{total}')
        for task in self._progress.tasks:
            if task.fields['name'] == name:
                if completed != task.completed:
                    state['at'] = task.elapsed or 0.0
                self._progress.update(task.id, **state)
                return
        for task in self._progress.tasks:  # one bar at a time
            self._progress.update(task.id, visible=False)
        self._progress.add_task(name=name, begun=completed, at=0.0, **state)


def best_table(trials: List[FrozenTrial],
               final: Optional[Mapping[int, Standing]] = None,
               number: int = 10) -> Table:
    """The best distillers in words."""
    final = final or {}
    table = Table(title=f'best {number} distillers')
    for column in ('trial', 'reward', *(['final'] if final else []), 'loss', 'gap', 'metric'):
        table.add_column(column, justify='right')
    table.add_column('distiller', overflow='fold')
    complete = [trial for trial in trials
                if trial.state == TrialState.COMPLETE or trial.number in final]
    for trial in ranked(complete, final)[:number]:
        outcome, spec = trial.user_attrs.get(OUTCOME, {}), spec_of(trial)
        rewards = [f'{trial.value:+.4f}']
        if final:
            rewards.append(f'{final[trial.number].reward:+.4f}' if trial.number in final else '')
        table.add_row(str(trial.number), *rewards,
                      f'{outcome.get("calibrated_loss", float("nan")):.4f}',
                      f'{outcome.get("gap", float("nan")):.4f}',
                      f'{outcome.get("metric", float("nan")):.2%}',
                      spec.in_words() if spec else '')
    return table


def table_text(table: Table, width: int = 150) -> str:
    """The table as plain text for the log."""
    text = io.StringIO()  # not a terminal, so no escape codes for bold and italic
    Console(file=text, width=width).print(table)
    return text.getvalue()
