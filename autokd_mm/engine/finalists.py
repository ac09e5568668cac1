"""Who takes part in a final round, and who is left out for want of budget."""
from __future__ import annotations

from typing import Any, Collection, List, Mapping, Optional, Sequence, Tuple

from optuna.trial import FrozenTrial, TrialState

from autokd_mm.engine.final_settings import FinalSettings
from autokd_mm.study.ranking import ranked, spec_of

Points = Sequence[Mapping[str, Any]]  # parameters of trials


def candidates(trials: Sequence[FrozenTrial], settings: FinalSettings, first: Points,
               former: Optional[int] = None) -> List[FrozenTrial]:
    """Who takes part where the budget allows, best first: the best finished distillers, the
    hand-crafted ones that the settings ask for, also pruned ones, and who stood best before.

    Args:
        first: of the hand-crafted distillers.
        former: number of the trial that stood best before the round got other seeds or another
            length: without it somebody who is worse, with more seeds, would stand above it.
    """
    different: List[FrozenTrial] = []
    for trial in ranked(trials):
        if trial.value is not None and not any(trial.params == other.params
                                               for other in different):
            different.append(trial)
    chosen = [trial for trial in different if trial.state == TrialState.COMPLETE]
    chosen = chosen[:settings.best]
    if not chosen:
        return []
    missing = settings.least_handcrafted(len(first)) - sum(
        trial.params in first for trial in chosen)
    others = [trial for trial in different if trial not in chosen and trial.params in first]
    chosen += others[:max(0, missing)]
    return chosen + [trial for trial in different
                     if trial.number == former and trial not in chosen]


def within_budget(found: Sequence[FrozenTrial], settings: FinalSettings, first: Points,
                  always: Points, former: Optional[int] = None
                  ) -> Tuple[List[FrozenTrial], List[FrozenTrial]]:
    """Who of the candidates takes part, and who is left out, the worst on the proxy first.

    Who stood best before stays (where there is nobody, the best one), and the best hand-crafted
    one; whoever always takes part goes last. Runs of this round change nothing of it.
    """
    order = ranked(found)
    crafted = next((trial for trial in order if trial.params in first), None)
    stays = [trial for trial in order if trial.number == former] + \
        [trial for trial in (crafted, *found[:1]) if trial]
    out = [trial for trial in order if trial not in stays]
    out.sort(key=lambda trial: trial.params not in always)  # stable
    order = [trial for place, trial in enumerate(stays) if trial not in stays[:place]] + out
    left: List[FrozenTrial] = []
    while order and not settings.steps(len(order)):
        left.append(order.pop())
    return [trial for trial in found if trial in order], left


def says_left_out(left: Sequence[FrozenTrial], count: int, settings: FinalSettings,
                  ran: Collection[int] = ()) -> List[str]:
    """In words, what was too small and for whom; nothing where nobody is left out.

    Args:
        count: of all candidates.
        ran: numbers of the trials that have runs in the final round.
    """
    if not left:
        return []
    names = '; '.join(
        f'{spec.in_words()} (reward on the proxy {trial.value:+.4f}'
        + (', has run in the final round before)' if trial.number in ran else ')')
        for trial, spec in zip(left, map(spec_of, left)) if spec)
    # Beside one that stood best before, the best on the proxy may be left out.
    why = '' if any(trial.number in ran for trial in left) else ', the worst on the proxy'
    return [f'final round: final_round.budget={settings.budget} is too small for {count} '
            f'distillers, which need {settings.least_budget(count)}; left out{why}: {names}']
