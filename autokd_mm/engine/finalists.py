"""Who takes part in a final round, and who is left out for want of budget."""
from __future__ import annotations

from typing import Any, List, Mapping, Sequence, Tuple

from optuna.trial import FrozenTrial, TrialState

from autokd_mm.engine.final_settings import FinalSettings
from autokd_mm.study.ranking import ranked, spec_of

Points = Sequence[Mapping[str, Any]]  # parameters of trials


def candidates(trials: Sequence[FrozenTrial], settings: FinalSettings,
               first: Points) -> List[FrozenTrial]:
    """Who takes part where the budget allows, best first: the best finished distillers, and the
    hand-crafted ones that the settings ask for, also pruned ones.

    Args:
        first: of the hand-crafted distillers.
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
    return chosen + others[:max(0, missing)]


def within_budget(found: Sequence[FrozenTrial], settings: FinalSettings, first: Points,
                  always: Points) -> Tuple[List[FrozenTrial], List[FrozenTrial]]:
    """Who of the candidates takes part, and who is left out, the worst on the proxy first.

    The best one stays, and the best hand-crafted one; whoever always takes part goes last.
    """
    order = ranked(found)
    crafted = next((trial for trial in order if trial.params in first), None)
    out = [trial for trial in order if trial not in (*found[:1], crafted)]
    out.sort(key=lambda trial: trial.params not in always)  # stable
    chosen, left = list(found), []
    while out and not settings.steps(len(chosen)):
        left.append(out.pop())
        chosen.remove(left[-1])
    return chosen, left


def says_left_out(left: Sequence[FrozenTrial], count: int, settings: FinalSettings) -> List[str]:
    """In words, what was too small and for whom; nothing where nobody is left out.

    Args:
        count: of all candidates.
    """
    if not left:
        return []
    names = '; '.join(f'{spec.in_words()} (reward on the proxy {trial.value:+.4f})'
                      for trial, spec in zip(left, map(spec_of, left)) if spec)
    return [f'final round: final_round.budget={settings.budget} is too small for {count} '
            f'distillers, which need {settings.least_budget(count)}; left out, the worst on the '
            f'proxy: {names}']
