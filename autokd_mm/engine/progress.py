"""What a person sees while a search runs."""
from __future__ import annotations

import io
import sys
from contextlib import contextmanager
from typing import Iterator, List, Optional

from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.progress import (BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn,
                           TimeElapsedColumn, TimeRemainingColumn)
from rich.table import Table

from autokd_mm.engine.export import OUTCOME, ranked, spec_of


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
                                  MofNCompleteColumn(), TextColumn('{task.fields[note]}'),
                                  TimeElapsedColumn(), TextColumn('left'), TimeRemainingColumn(),
                                  console=self.console, disable=not self.enabled)
        try:
            with self._progress:
                yield self
        finally:
            self._progress = None

    def show(self, what: str, done: int, total: int, note: str = '') -> None:
        """Set the bar called ``what``."""
        if self._progress is None:
            return
        for task in self._progress.tasks:
            if task.description == what:
                self._progress.update(task.id, completed=done, total=total, note=note)
                return
        for task in self._progress.tasks:  # one bar at a time
            self._progress.update(task.id, visible=False)
        self._progress.add_task(what, total=total, completed=done, note=note)


def best_table(trials: List[FrozenTrial], number: int = 10) -> Table:
    """The best distillers in words."""
    table = Table(title=f'best {number} distillers')
    for column in ('trial', 'reward', 'loss', 'gap', 'metric'):
        table.add_column(column, justify='right')
    table.add_column('distiller', overflow='fold')
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    for trial in ranked(complete)[:number]:
        outcome, spec = trial.user_attrs.get(OUTCOME, {}), spec_of(trial)
        table.add_row(str(trial.number), f'{trial.value:+.4f}',
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
