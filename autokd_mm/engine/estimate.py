"""What a search will take on this machine, before it begins."""
from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any, List, Optional

from optuna.pruners import NopPruner, SuccessiveHalvingPruner

from autokd_mm.engine.expectation import FullLength
from autokd_mm.engine.pruning import looks
from autokd_mm.engine.settings import SearchSettings
from autokd_mm.engine.trial_run import Pace, pace_of
from autokd_mm.errors import CandidateFailed, UserError
from autokd_mm.proxy.choice import POOL
from autokd_mm.task.task import Task


@dataclass(frozen=True)
class Estimate:
    """Seconds, with one worker.

    Attributes:
        teacher: its training, or none, and its evaluation.
        bank, trials, final: each phase, the undistilled student with the trials.
        trial: one that is not pruned.
        bank_bytes: on disk.
        memory: bytes; what was needed for a few steps, and what the held-out half has beside.
        samples: images that students are trained on, an image in two epochs counted twice.
        pace: that this is made of.
        measured: seconds that measuring took.
    """
    teacher: float
    bank: float
    trials: float
    final: float
    trial: float
    bank_bytes: float
    memory: float
    samples: float
    pace: Pace
    measured: float

    @property
    def total(self) -> float:
        return self.teacher + self.bank + self.trials + self.final


def foretell(task: Task, runner: Any, settings: SearchSettings, evaluation: Optional[float],
             full: Optional[FullLength] = None) -> List[str]:
    """Lines for a person; of :func:`estimate`.

    Args:
        full: of the training that the search is for, where its length is known.
    """
    if settings.ranks_per_trial > 1:
        return ['no estimate where ranks share the batches of a trial']
    try:
        return lines(estimate(task, runner, settings, evaluation), settings, full)
    except (CandidateFailed, UserError) as error:
        return [f'no estimate: a few steps could not be made ({error})']


def estimate(task: Task, runner: Any, settings: SearchSettings, evaluation: Optional[float]
             ) -> Estimate:
    """Measure a few steps, and multiply.

    Args:
        evaluation: seconds of the teacher's evaluation; ``None``: it is trained first.

    Raises:
        ConfigError, CandidateFailed: nothing can be trained.
    """
    begun = time.perf_counter()
    pace = pace_of(task, runner, evaluation is not None)
    train, held_out = task.proxy.counts(len(task.dataloader.dataset))
    rows = train * task.proxy.views + held_out
    epochs, steps = task.proxy.epochs, task.proxy.epochs * task.proxy.steps(train)
    look = held_out * pace.image
    stops = [] if settings.pruner is None else looks(settings.pruner, epochs)
    run = pace.begin + steps * pace.step + look
    first = pace.begin + 2 * pace.step if settings.rejection else 0.0
    trial = run + look * (epochs - 1 if stops is None else len(stops)) + first
    baseline = pace.begin + steps * pace.plain_step + look * epochs
    lengths = _final_lengths(task, settings)
    kept = _kept(settings.pruner, epochs)
    runs = 1 + settings.trials * kept + lengths
    asked = min(POOL * train, len(task.dataloader.dataset)) * pace.row \
        if task.proxy.select == 'teacher_entropy' else 0.0
    return Estimate(
        teacher=_training(task, runner, settings, pace) if evaluation is None else evaluation,
        bank=rows * pace.row + asked,
        trials=baseline + settings.trials * (trial - (1 - kept) * run),
        final=lengths * run, trial=trial, bank_bytes=rows * pace.row_bytes,
        memory=pace.memory + held_out * pace.row_bytes,
        samples=runs * steps * task.proxy.batch_size, pace=pace,
        measured=time.perf_counter() - begun)


def _kept(pruner: Any, epochs: int) -> float:
    """Share of the trials' epochs that are run, where the pruner decides at known rungs.

    Of random distillers one in ``reduction_factor`` would go on. A search draws better ones the
    longer it is at it, and looks back at all: half of the others go on, too.
    """
    if pruner is None or isinstance(pruner, NopPruner):
        return 1.0
    stops = looks(pruner, epochs)
    if not stops or not isinstance(pruner, SuccessiveHalvingPruner):
        return 1.0  # not known before
    kept, alive, last = 0.0, 1.0, 0
    for stop in [*stops, epochs]:
        kept += alive * (stop - last) / epochs
        alive, last = alive * (1 + 1 / pruner._reduction_factor) / 2, stop
    return kept


def _final_lengths(task: Task, settings: SearchSettings) -> int:
    """Of all runs of the final round together, in lengths of the proxy."""
    final = settings.final_round
    if not final:
        return 0
    entrants = final.best + final.least_handcrafted(len(task.first))
    return final.expected_length(min(entrants, settings.trials))


def _training(task: Task, runner: Any, settings: SearchSettings, pace: Pace) -> float:
    """The teacher's, with its validations, and its evaluation behind it."""
    train, images = settings.full_training, len(runner.val_loop.dataloader.dataset)
    epochs = settings.teacher_epochs or train.get('max_epochs')
    interval = train.get('val_interval', 1)
    steps = epochs * len(task.dataloader) if epochs else int(train.get('max_iters', 0))
    begin = train.get('val_begin', 1)
    looks_at = max(0, ((epochs or steps) - begin) // max(interval, 1) + 1)
    return steps * pace.teacher_step + (looks_at + 1) * images * pace.teacher_image


def lines(found: Estimate, settings: SearchSettings,
          full: Optional[FullLength] = None) -> List[str]:
    """For a person."""
    pace, mib = found.pace, 2 ** 20
    pruned = _kept(settings.pruner, settings.proxy.epochs) < 1
    trials = f'{settings.trials} trials'
    memory = f'{found.memory / mib / 1024:.1f} GiB' + (
        f', of the GPU {pace.gpu_memory / mib / 1024:.1f} GiB' if pace.gpu_memory else '')
    return [
        f'estimate for this machine, one worker (a few steps of each, {found.measured:.0f} s):',
        f'  teacher      {_time(found.teacher)}',
        f'  bank         {_time(found.bank)}, {found.bank_bytes / mib:,.1f} MiB',
        f'  {trials:<12} {_time(found.trials)}, {_seconds(found.trial)} each' + (
            ', some of them pruned on the way' if pruned else ''),
        f'  final round  {_time(found.final)}',
        f'  together     {_time(found.total)}; memory {memory}',
        *([_price(found.samples, full)] if full else [])]


def _price(samples: float, full: FullLength) -> str:
    share = samples / full.samples
    of_it = f'{share:.1%} of' if share < 1 else f'{share:.1f} times'
    return (f'  samples      {samples:,.0f}, {of_it} those of one full training '
            f'({full.words}, {full.samples:,})')


def _seconds(seconds: float) -> str:
    return f'{seconds:.1f} s' if seconds < 100 else _time(seconds)


def _time(seconds: float) -> str:
    minutes = seconds / 60
    if minutes < 100:
        return f'{minutes and max(minutes, 0.1):.1f} min'
    return f'{math.floor(minutes / 60)} h {math.floor(minutes % 60)} min'
