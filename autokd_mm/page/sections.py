"""The sections of a page as values that its template prints."""
from __future__ import annotations

import math
import os
from shlex import quote
from typing import Any, Dict, List, Optional, Sequence, Tuple

from optuna.trial import FrozenTrial, TrialState

from autokd_mm.page import meaning
from autokd_mm.page.facts import Entrant, Facts, outcome_of
from autokd_mm.page.plots import curve_of
from autokd_mm.search.effects import Effects
from autokd_mm.search.prior import HYPOTHESES
from autokd_mm.search.reward import DEFAULT
from autokd_mm.space import level_of
from autokd_mm.study.ranking import ranked, spec_of
from autokd_mm.study.rungs import BASELINE
from autokd_mm.study.status import BEST, FINISHED
from autokd_mm.study.study import REASON, is_rejected

ROWS = 100  # of the table of trials
TOLD = 6  # options that are named first


def answer(facts: Facts) -> Dict[str, Any]:
    """The winner, its gain, and what to run next."""
    top, over = facts.top, facts.status.phase == FINISHED
    spec = spec_of(top) if top is not None else None
    folder = os.path.normpath(facts.work_dir)
    first = facts.entrants[0] if facts.entrants else None
    in_final = first is not None and top is not None and first.number == top.number
    resume = ''
    if facts.about.get('config'):
        resume = f'autokd search {quote(os.path.join(folder, facts.about["config"]))} ' \
                 f'--work-dir {quote(folder)} --resume'
    own = outcome_of(top) if top is not None else None
    before, behind = math.nan, math.nan
    if in_final and first is not None:
        before = facts.metrics.get(BASELINE, {}).get(first.length, math.nan)
        behind = first.metric
    elif own and facts.baseline:
        before, behind = facts.baseline.metric, own.metric
    open_still = facts.expected is not None and facts.expected.gain <= facts.expected.spread
    return dict(top=top, words=spec.in_words() if spec else '', over=over, open=open_still,
                train=f'autokd train {quote(os.path.join(folder, BEST))}' if over else '',
                resume=resume, verdict=_verdict(facts.entrants if in_final else []),
                recipe=meaning.recipe(spec) if spec else [], entrant=first if in_final else None,
                before=before, behind=behind, known=math.isfinite(before - behind),
                expected=facts.expected, full=(facts.about.get('full') or {}).get('words', ''),
                metric=metric_name(facts), terms=_terms(facts),
                reward=first.mean if in_final and first else (top.value if top else None))


def _terms(facts: Facts) -> str:
    """What the reward is made of, in words."""
    own = (facts.about.get('final') or {}).get('reward')
    weights = own or facts.search.get('reward') or DEFAULT
    names = [dict(metric=metric_name(facts), gap="the gap to the teacher's feature",
                  held_out_loss='the loss', calibrated_loss='the calibrated loss').get(
                      term, term.replace('_', ' ')) for term, weight in weights.items() if weight]
    return ', '.join(names[:-1]) + (' and ' if len(names) > 1 else '') + ''.join(names[-1:])


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
    """The final round, with the range of its axis, and sentences about the winner."""
    rows = facts.entrants
    values = [0.0] + [value for row in rows for value in
                      (*row.rewards, row.mean - (row.spread or 0), row.mean + (row.spread or 0))]
    words = {trial.number: _words(trial) for trial in facts.done}
    return dict(rows=rows, words=words, axis=_axis(values), said=_said(rows),
                crafted=None if any(row.handcrafted is None for row in rows)
                else any(row.handcrafted for row in rows),
                length=rows[0].length if rows else 0, seeds=len(rows[0].rewards) if rows else 0,
                undistilled=facts.metrics.get(BASELINE, {}).get(rows[0].length, math.nan)
                if rows else math.nan)


def _said(rows: Sequence[Entrant]) -> List[str]:
    if not rows or rows[0].spread is None:
        return []
    top, found = rows[0], []
    level = [row for row in rows if row.length == top.length]
    crafted = next((row for row in level if row.handcrafted), None)
    apart = math.sqrt(2) * (top.spread or 0)
    for name, other in (('the undistilled student', 0.0),
                        ('the best hand-crafted one', crafted.mean if crafted else None),
                        ('the next one', level[1].mean if len(level) > 1 else None)):
        if other is None or (crafted is top and name.startswith('the best hand')):
            continue
        ahead = top.mean - other
        clear = 'clearly ahead of' if ahead > apart else 'ahead, but not clearly, of' \
            if ahead > 0 else 'not ahead of'
        found.append(f'It is {clear} {name}: {ahead:+.3f} ± {apart:.3f}.')
    return found


def mattered(facts: Facts) -> Dict[str, Any]:
    """The effects of options, by level, those that stand out, and the pairs that count."""
    effects = Effects(facts.done, level_of)
    levels, (pairs, looked_at) = effects.by_level(), effects.pairs()
    told = [one for level in levels for one in level if abs(one.mean) > one.spread]
    values = [0.0] + [value for level in levels for one in level
                      for value in (one.mean - one.spread, one.mean + one.spread)]
    return dict(levels=[(meaning.name_of(level[0].level), meaning.about(level[0].level), level)
                        for level in levels], axis=_axis(values), pairs=pairs,
                looked_at=looked_at, told=sorted(told, key=lambda one: -abs(one.mean))[:TOLD],
                taken={(level_of(name), repr(value)) for name, value in
                       (facts.top.params if facts.top is not None else {}).items()})


def prior(facts: Facts) -> Dict[str, Any]:
    """What was believed of options before the first trial, and how far the trials bear it out."""
    levels: Dict[str, List[Tuple[str, float, float]]] = {}
    for (level, option), belief in (facts.prior.options if facts.prior else {}).items():
        levels.setdefault(level, []).append((option, belief.mean, belief.worth))
    return dict(levels=[(meaning.name_of(level), sorted(options, key=lambda one: -one[1]))
                        for level, options in levels.items()],
                share=facts.believed.share if facts.believed and facts.done else None,
                factor=facts.believed.factor if facts.believed else 0.0,
                before=sum(probability for factor, probability in HYPOTHESES if factor))


def trials(facts: Facts) -> Tuple[List[Dict[str, Any]], int]:
    """The best trials as rows of a table, and how many are left out."""
    finals = {row.number: row for row in facts.entrants}
    order = ranked(facts.done)
    if facts.top is not None:
        order.sort(key=lambda trial: trial is not facts.top)
    rows = []
    for trial in order[:ROWS]:
        outcome = outcome_of(trial)
        final = finals.get(trial.number)
        rows.append(dict(number=trial.number, state=_state(trial), value=trial.value,
                         final=final.mean if final else None, words=_words(trial),
                         metric=outcome.metric if outcome else math.nan,
                         gap=outcome.gap if outcome else math.nan,
                         seconds=outcome.seconds if outcome else math.nan,
                         reason=str(trial.user_attrs.get(REASON, '')),
                         curve=_spark(curve_of(trial, facts.epochs))))
    return rows, len(order) - len(rows)


def cost(facts: Facts) -> Dict[str, Any]:
    """Seconds by what they were spent on, and what was saved."""
    outcomes = [(trial, outcome_of(trial)) for trial in facts.done]
    spent = {state: math.fsum(one.seconds for trial, one in outcomes
                              if one and (trial.state == TrialState.COMPLETE) == state)
             for state in (True, False)}
    rows = [('teacher', facts.spent.get('teacher')), ('bank', facts.spent.get('bank')),
            ('undistilled student', facts.baseline.seconds if facts.baseline else None),
            ('trials to the end', spent[True] or None), ('pruned trials', spent[False] or None),
            ('final round', facts.final_seconds or None)]
    whole = [one.seconds for trial, one in outcomes if one and trial.state == TrialState.COMPLETE]
    each = math.fsum(whole) / len(whole) if whole else 0.0
    pruned = [trial for trial in facts.done
              if trial.state == TrialState.PRUNED and not is_rejected(trial)]
    rejected = sum(map(is_rejected, facts.done))
    saved = math.fsum(1 - (trial.last_step or 0) / facts.epochs for trial in pruned) * each \
        if facts.epochs else 0.0
    total = math.fsum(value for _, value in rows if value)
    return dict(rows=[(name, value, value / total if value and total else 0)
                      for name, value in rows], total=total, each=each, pruned=len(pruned),
                rejected=rejected, pruning=saved, rejection=rejected * each)


def repeat(facts: Facts) -> Dict[str, Any]:
    """The command that repeats the search, and on what it ran."""
    config, folder = facts.about.get('config'), os.path.normpath(facts.work_dir)
    command = f'autokd search {quote(os.path.join(folder, config))} ' \
              f'--work-dir {quote(folder + "_again")}' \
        if config else ''
    return dict(command=command, packages=facts.about.get('packages') or {},
                machine=facts.about.get('machine', ''), sampler=facts.about.get('sampler', ''))


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
