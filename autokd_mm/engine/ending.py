"""What a worker leaves behind its last run: the results on disk, and words about them."""
from __future__ import annotations

import logging
import time
from shlex import quote
from typing import Callable, Mapping, Optional, Sequence

from optuna.trial import FrozenTrial

from autokd_mm.engine.expectation import Expectation
from autokd_mm.engine.maps import KeptWeights
from autokd_mm.engine.phases import Phases
from autokd_mm.errors import ConfigError
from autokd_mm.proxy.trainer import Clock
from autokd_mm.report import words
from autokd_mm.report.progress import best_table, table_text
from autokd_mm.study import study as studies
from autokd_mm.study.ranking import Standing, best


class Ending:
    """Made before the first trial, because it tells how long this worker has been at it.

    Args:
        phases: of the search, with its study and results.
        expectation: of the winner's gain in the full training.
        clock: of this worker's trainer.
        logger: gets the table of the best and what speaks against the winner.
        scalars: takes numbers by name, and ``step``.
        weights: of the final round, of which the winner's are kept and drawn.
    """

    def __init__(self, phases: Phases, expectation: Expectation, clock: Clock,
                 logger: logging.Logger, scalars: Callable[..., None],
                 weights: Optional[KeptWeights] = None) -> None:
        self.phases, self.clock, self.logger, self.scalars = phases, clock, logger, scalars
        self.expectation, self.weights = expectation, weights
        self._started, self._first = time.perf_counter(), clock.model

    def finish(self) -> None:
        """Write leaderboard and winner, and tell about both.

        Raises:
            ConfigError: no trial has come to its end.
        """
        wall, phases = time.perf_counter() - self._started, self.phases
        with phases.turn():
            done, others = studies.finished_and_running(phases.study)
            standings = phases.finals()
            phases.results.write_leaderboard(done, standings)
            phases.results.write_view(phases.study, standings)
            about = phases.final.report(done) if phases.final else []
            about += words.experience(phases.study)
            winner = best(done, standings)
            about += self.expectation.lines(winner, phases.final) if winner is not None else []
            top = phases.results.write_best(done, standings, about)
        self._tell_costs(done, wall)
        for number, standing in standings.items():
            self.scalars(dict(trial=number, final_reward=standing.reward), step=number)
        if others:
            phases.say(f'{len(others)} trials are still with other workers')
        if phases.limit.stopped:
            phases.say(f'{phases.limit.why()}; go on with --resume')
        elif top is None and not others:
            raise ConfigError('no distiller was trained to the end of the proxy; the reasons are '
                              f'in {phases.results.leaderboard}')
        if top is not None:
            self._tell_winner(top, done, standings, about)
        if top is not None and self.weights and not (others or phases.limit.stopped):
            self.weights.draw(top.number, phases.results.best)
        self._write_page()

    def _write_page(self) -> None:
        path = self.phases.page and self.phases.page.write()
        if path:
            self.phases.say(f'what was found, how sure it is and what mattered: {path}')

    def _tell_costs(self, done: Sequence[FrozenTrial], wall: float) -> None:
        share = 1 - (self.clock.model - self._first) / max(wall, 1e-9)
        self.phases.say(f'{words.counts(done)}, {wall:.1f} s here, {share:.1%} of it outside '
                        'forward, backward and optimiser step')
        self.scalars({'search/outside_model': share, 'search/seconds': wall}, step=len(done))

    def _tell_winner(self, top: FrozenTrial, done: Sequence[FrozenTrial],
                     standings: Mapping[int, Standing], about: Sequence[str]) -> None:
        results, say = self.phases.results, self.phases.say
        self.logger.info('\n' + table_text(best_table(list(done), standings)))
        for line in about:
            say(line.strip())
        reached = standings.get(top.number)
        if (reached.reward if reached else top.value or 0.0) <= 0:
            self.logger.warning('no distiller was better than none on the proxy')
        say(f'the best distiller is in {results.best}; train with it:\n'
            f'    autokd train {quote(results.best)}')
