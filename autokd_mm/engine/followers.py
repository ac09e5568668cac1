"""A worker of several ranks: rank 0 says what is trained, the others do it with it."""
from __future__ import annotations

from typing import Any, Collection, List, Optional

from autokd_mm.engine.one_trial import look_on
from autokd_mm.errors import CandidateFailed
from autokd_mm.proxy.first_step import FirstStep
from autokd_mm.proxy.ranks import CandidateOver, Ranks
from autokd_mm.proxy.trainer import Keep, ProxyTrainer, Watch
from autokd_mm.search.reward import Outcome


class LeadingTrainer:
    """Takes the place of rank 0's :class:`ProxyTrainer`; study, pruner and logs stay there.

    Args:
        trainer: of this rank.
        ranks: the others must :func:`follow`.
    """

    def __init__(self, trainer: ProxyTrainer, ranks: Ranks) -> None:
        self._trainer, self._ranks = trainer, ranks
        self.settings, self.clock = trainer.settings, trainer.clock

    def run(self, spec: Any, watch: Optional[Watch] = None, seed: Optional[int] = None,
            length: int = 1, looks: Optional[Collection[int]] = None,
            keep: Optional[Keep] = None) -> Outcome:
        """:meth:`ProxyTrainer.run` on all ranks; they look when rank 0 does, which keeps alone."""
        self._ranks.same(('run', (spec, watch and look_on, seed, length, looks)))
        return self._trainer.run(spec, watch, seed, length, looks, keep)

    def first_step(self, spec: Any, batches: int = 2) -> List[FirstStep]:
        """:meth:`ProxyTrainer.first_step` on all ranks."""
        self._ranks.same(('first_step', (spec, batches)))
        return self._trainer.first_step(spec, batches)

    def end(self) -> None:
        """The others are not needed any more."""
        self._ranks.same(None)


def follow(trainer: ProxyTrainer, ranks: Ranks) -> None:
    """Do what rank 0's :class:`LeadingTrainer` does until it ends.

    Raises:
        RankLost: another rank has ended before.
    """
    while True:
        command = ranks.same(None)
        if command is None:
            return
        name, arguments = command
        try:
            getattr(trainer, name)(*arguments)
        except (CandidateFailed, CandidateOver):
            pass  # rank 0 knows
