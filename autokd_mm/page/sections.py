"""The sections of a page as values that its template prints."""
from __future__ import annotations

import math
from typing import Any, Dict, List, Optional, Sequence, Tuple

from optuna.trial import FrozenTrial, TrialState

from autokd_mm.page import meaning
from autokd_mm.page.commands import next_commands
from autokd_mm.page.facts import Entrant, Facts, outcome_of
from autokd_mm.page.numbers import as_told
from autokd_mm.page.plots import curve_of
from autokd_mm.search.effects import Effects, beyond
from autokd_mm.search.prior import HYPOTHESES
from autokd_mm.search.reward import DEFAULT, Outcome
from autokd_mm.space import level_of
from autokd_mm.study.ranking import Standing, ranked, spec_of
from autokd_mm.study.status import FINISHED
from autokd_mm.study.study import REASON, is_rejected

ROWS = 100  # of the table of trials
_STATES = ('', 'pruned', 'rejected', 'failed')
TOLD, OPEN = 6, 3  # options that are named first, questions that are not folded


def answer(facts: Facts) -> Dict[str, Any]:
    """The winner, its gain, and what to run next."""
    top = facts.top
    spec = spec_of(top) if top is not None else None
    first = facts.entrants[0] if facts.entrants else None
    entrant = first if first and top is not None and first.number == top.number else None
    own = outcome_of(top) if top is not None else None
    before, behind = math.nan, math.nan
    if entrant and facts.undistilled:
        before, behind = facts.undistilled.metric, entrant.measured.metric
    elif own and facts.baseline:
        before, behind = facts.baseline.metric, own.metric
    verdict = _verdict([entrant] if entrant else [])
    open_still = facts.expected is not None and facts.expected.gain <= facts.expected.spread
    metric = metric_name(facts)
    return dict(top=top, words=spec.in_words() if spec else '',
                over=facts.status.phase == FINISHED, open=open_still, verdict=verdict,
                next=next_commands(facts, metric, verdict in ('open', 'no') or open_still),
                recipe=meaning.recipe(spec) if spec else [], entrant=entrant,
                before=before, behind=behind, known=math.isfinite(before - behind),
                spread=facts.metric_spread if entrant else None, expected=facts.expected,
                full=(facts.about.get('full') or {}).get('words', ''), metric=metric,
                terms=_terms(facts, entrant), reached=_reached(facts, entrant, own),
                reward=entrant.mean if entrant else (top.value if top else None))


def _terms(facts: Facts, entrant: Optional[Entrant]) -> List[Tuple[str, Optional[float]]]:
    """What the reward is the mean of, and the winner's gain in each where that is known."""
    own = (facts.about.get('final') or {}).get('reward')
    weights = own or facts.about.get('reward') or facts.search.get('reward') or DEFAULT
    names = dict(metric=metric_name(facts), held_out_loss='loss',
                 calibrated_loss='calibrated loss')
    gains = entrant.gains if entrant else {}
    return [(names.get(term, term.replace('_', ' ')), gains.get(term))
            for term, weight in weights.items() if weight]


def _reached(facts: Facts, entrant: Optional[Entrant], own: Optional[Outcome]
             ) -> List[Tuple[str, float, float]]:
    """Metric of the student alone and with the winner, by length of the training."""
    found = []
    if own and facts.baseline and facts.top and facts.top.state == TrialState.COMPLETE:
        found.append((_length(facts, 'trial', 1), facts.baseline.metric, own.metric))
    if entrant and facts.undistilled:
        found.append((_length(facts, 'final round', entrant.length), facts.undistilled.metric,
                      entrant.measured.metric))
    return found


def _length(facts: Facts, what: str, times: int) -> str:
    if not facts.epochs:
        return f'{what}, {times} x the proxy' if times > 1 else what
    return f'{what}, {times * facts.epochs} epochs'


def _verdict(rows: Sequence[Entrant]) -> str:
    """Whether the winner is better than no distillation: ``'clear'``, ``'open'``, ``'no'``, or ''
    where nothing is known of the luck of the seeds."""
    if not rows or rows[0].spread is None:
        return ''
    if rows[0].mean <= 0:
        return 'no'
    return 'clear' if rows[0].mean > math.sqrt(2) * rows[0].spread else 'open'


def metric_name(facts: Facts) -> str:
    """Of the reward's metric, as people call it."""
    names = ' '.join(facts.teacher_metrics)
    for part, name in (('top1', 'accuracy'), ('mIoU', 'mean IoU'), ('segm_mAP', 'mask mAP'),
                       ('mAP', 'box mAP')):
        if part in names:
            return name
    return 'metric'


def sure(facts: Facts) -> Dict[str, Any]:
    """The final round, with the range of its axis, and how far ahead the winner is."""
    rows = facts.entrants
    values = [0.0] + [value for row in rows for value in
                      (*row.rewards, row.mean - (row.spread or 0), row.mean + (row.spread or 0))]
    words = {trial.number: _words(trial) for trial in facts.done}
    return dict(rows=rows, words=words, axis=_axis(values), ahead=_ahead(rows),
                foretold=_foretold(rows), length=rows[0].length if rows else 0,
                seeds=len(rows[0].rewards) if rows else 0, undistilled=facts.undistilled)


def _ahead(rows: Sequence[Entrant]) -> List[Tuple[str, float, float]]:
    """Of whom the winner is ahead, by how much, and how far nine of ten such leads reach."""
    spread = rows[0].spread if rows else None
    if spread is None:
        return []
    top, found = rows[0], [('the student without a teacher', rows[0].mean)]
    level = [row for row in rows[1:] if row.length == top.length
             and len(row.rewards) == len(top.rewards)]
    crafted = next((row for row in level if row.handcrafted), None)
    if level and level[0] is not crafted:
        found.append(('the next one', top.mean - level[0].mean))
    if crafted:
        found.append(('the best hand-crafted one', top.mean - crafted.mean))
    return [(name, lead, math.sqrt(2) * spread) for name, lead in found]


def _foretold(rows: Sequence[Entrant]) -> Optional[Dict[str, Any]]:
    """How far the order of the trials was that of the final round; None without two to compare."""
    both = [row for row in rows if row.before is not None]
    pairs = [(one, other) for place, one in enumerate(both) for other in both[place + 1:]]
    if not pairs:
        return None
    before = [row.before for row in both if row.before is not None]
    return dict(pairs=len(pairs), same=sum((one.before or 0) > (other.before or 0)
                                           for one, other in pairs),
                number=len(both), low=min(before), high=max(before),
                better=sum(row.mean > 0 for row in both))


def mattered(facts: Facts) -> Dict[str, Any]:
    """The effects of options, by level, those that stand out, and the pairs that count."""
    effects = Effects(facts.done, level_of)
    levels, (pairs, looked_at) = effects.by_level(), effects.pairs()
    told = [one for level in levels for one in level if beyond(one) > 0]
    values = [0.0] + [value for level in levels for one in level
                      for value in (one.mean - one.spread, one.mean + one.spread)]
    return dict(levels=[(meaning.name_of(level[0].level), meaning.about(level[0].level), level)
                        for level in levels], axis=_axis(values), pairs=pairs,
                looked_at=looked_at, told=sorted(told, key=lambda one: -beyond(one))[:TOLD],
                open=min(OPEN, sum(any(beyond(one) > 0 for one in level) for level in levels)),
                taken={(level_of(name), repr(value)) for name, value in
                       (facts.top.params if facts.top is not None else {}).items()})


def best_so_far(facts: Facts) -> Optional[Dict[str, Any]]:
    """The best trial that ran to its end, and how many came behind it; None without any."""
    whole = [trial for trial in facts.done if trial.state == TrialState.COMPLETE]
    if not whole:
        return None
    top = ranked(whole)[0]
    return dict(number=top.number, value=top.value,
                later=sum(trial.number > top.number for trial in facts.done))


def prior(facts: Facts) -> Dict[str, Any]:
    """What was believed of the options that this search offered before its first trial, how far
    the trials bear it out, and in how many questions the winner has what was believed best."""
    asked = {(name, getattr(one, 'choices', ())) for trial in facts.done
             for name, one in trial.distributions.items()}
    offered = {(level_of(name), repr(option)) for name, choices in asked for option in choices}
    levels: Dict[str, List[Tuple[str, float, float]]] = {}
    for key, belief in (facts.prior.options if facts.prior else {}).items():
        if key in offered or not facts.done:
            levels.setdefault(key[0], []).append((key[1], belief.mean, belief.worth))
    for options in levels.values():
        options.sort(key=lambda one: -one[1])
    taken = {level_of(name): repr(value) for name, value in
             (facts.top.params if facts.top is not None else {}).items()
             if len(levels.get(level_of(name), ())) > 1}
    return dict(levels=[(meaning.name_of(level), options) for level, options in levels.items()],
                share=facts.believed.share if facts.believed and facts.done else None,
                before=sum(probability for factor, probability in HYPOTHESES if factor),
                asked=len(taken), same=sum(levels[level][0][0] == option
                                           for level, option in taken.items()))


def trials(facts: Facts) -> Tuple[List[Dict[str, Any]], int]:
    """The best trials as rows of a table, by what became of them, and how many are left out."""
    finals = {row.number: row for row in facts.entrants}
    order = ranked(facts.done, {row.number: Standing(row.length, row.mean)
                                for row in facts.entrants})
    order.sort(key=lambda trial: (trial.number not in finals, _STATES.index(_state(trial))))
    rows = []
    for trial in order[:ROWS]:
        outcome = outcome_of(trial)
        final = finals.get(trial.number)
        state = _state(trial)
        rows.append(dict(number=trial.number, state=state, value=trial.value,
                         group='final round' if final else state or 'ran to their end',
                         final=final.mean if final else None, words=_words(trial),
                         metric=outcome.metric if outcome else math.nan,
                         gap=outcome.gap if outcome else math.nan,
                         reason=str(trial.user_attrs.get(REASON, '')),
                         curve=_spark(curve_of(trial, facts.epochs))))
    return rows, len(order) - len(rows)


def cost(facts: Facts) -> Dict[str, Any]:
    """Seconds by what they were spent on, and what was saved."""
    outcomes = [(trial, outcome_of(trial)) for trial in facts.done]
    spent = {state: math.fsum(one.seconds for trial, one in outcomes
                              if one and (trial.state == TrialState.COMPLETE) == state)
             for state in (True, False)}
    rows = [("teacher's training", facts.spent.get('teacher')),
            ('bank of its answers', facts.spent.get('bank')),
            ('student without a teacher', facts.baseline.seconds if facts.baseline else None),
            ('trials to the end', spent[True] or None), ('pruned trials', spent[False] or None),
            ('final round', facts.final_seconds or None)]
    each = facts.seconds_of_a_trial
    pruned = [trial for trial in facts.done
              if trial.state == TrialState.PRUNED and not is_rejected(trial)]
    rejected = sum(map(is_rejected, facts.done))
    saved = math.fsum(1 - (trial.last_step or 0) / facts.epochs for trial in pruned) * each \
        if facts.epochs else 0.0
    total = math.fsum(as_told(value) for _, value in rows)
    return dict(rows=[(name, value, value / total if value and total else 0)
                      for name, value in rows], total=total, each=each, pruned=len(pruned),
                measured=any(value for _, value in rows),
                rejected=rejected, pruning=saved, rejection=rejected * each)


def _words(trial: FrozenTrial) -> str:
    spec = spec_of(trial)
    return spec.in_words() if spec else ''


def _state(trial: FrozenTrial) -> str:
    if is_rejected(trial):
        return 'rejected'
    return {TrialState.COMPLETE: '', TrialState.PRUNED: 'pruned'}.get(trial.state, 'failed')


def _axis(values: Sequence[float]) -> Dict[str, float]:
    """A range around the finite values; ``scale`` is what a unit is, in percent of its width."""
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    margin = .04 * (high - low) or 1.0
    return dict(low=low - margin, scale=100 / (high - low + 2 * margin))


def _spark(points: Sequence[Tuple[int, float]]) -> Optional[str]:
    """Corners of a line in a box of 60 x 16: rewards from -1 to 1."""
    if len(points) < 2:
        return None
    first, last = points[0][0], points[-1][0]
    return ' '.join(f'{60 * (x - first) / (last - first):.0f},'
                    f'{8 - 7 * max(-1.0, min(1.0, y)):.1f}' for x, y in points)
