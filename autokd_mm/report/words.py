"""What a search tells about itself in words: before it starts, and on top of what it found."""
from __future__ import annotations

import logging
import math
from typing import Any, Dict, List, Mapping, Sequence

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from autokd_mm.models.distillers import Layers
from autokd_mm.report.export import OUTCOME
from autokd_mm.search import believed
from autokd_mm.space import Space, Spec, level_of
from autokd_mm.study.ranking import Standing, ranked, spec_of
from autokd_mm.study.study import is_rejected

_MEASURED = ('held-out loss {held_out_loss:.4f}, calibrated {calibrated_loss:.4f}, '
             'gap {gap:.4f}')


def measured(outcome: Mapping[str, float]) -> str:
    return _MEASURED.format(**outcome) + metric_text(outcome['metric'])


def metric_text(metric: float) -> str:
    """The metric behind other numbers; nothing where the task has none (detection)."""
    return '' if math.isnan(metric) else f', metric {metric:.2%}'


def metrics_text(metrics: Mapping[str, float]) -> str:
    return ', '.join(f'{name} {value:.2f}' for name, value in metrics.items())


def show_teacher(metrics: Mapping[str, float], logger: logging.Logger) -> None:
    """What the teacher can do; a warning where that is nothing, which no reward would show."""
    # COCO's evaluator says nothing at all of a detector without boxes.
    logger.info('teacher: ' + (metrics_text(metrics) or 'no metric'))
    if not any(value >= 0.005 for value in metrics.values()):
        logger.warning('no metric of the teacher is above 0.00: it has nothing to teach. Train it '
                       'longer, or check teacher_ckpt and the validation data')


def plan(space: Space, layers: Layers, computed: str = '') -> List[str]:
    """The levels of the space and the layers that will be compared, with their shapes.

    Args:
        computed: how the factors of the pairs are computed when the teacher is there.
    """
    lines = [f'{level:>18}: {", ".join(map(str, options))}' for level, options in space.levels()]
    for who in ('student', 'teacher'):
        features = ', '.join(
            f'{getattr(pair, who)} ({" x ".join(map(str, getattr(pair, f"{who}_shape")))})'
            for pair in layers.pairs)
        logits = ', '.join(f'{getattr(pair, who)} ({layers.classes})' for pair in layers.logits)
        lines.append(f'{who}: {features}, ' + (f'logits {logits}' if logits else 'no logits'))
    if layers.predictions is not None:
        lines.append(f'predictions: {layers.predictions.in_words()}')
    if not layers.shared:
        names = [' with '.join(group) for group in layers.groups]
        lines.append('each pair of layers has its own options of these, but for the logits: '
                     + ', '.join(names or [pair.name for pair in layers.pairs]))
    if len(layers.pairs) > 1:
        lines.append('factors: ' + (f'computed by {computed!r} before the search' if computed
                                    else factors_text(layers)))
    return lines


def differing(differences: Sequence[str]) -> List[str]:
    """Lines that say how the proxy differs from the training it stands for."""
    return ['the proxy differs from the full training:',
            *(f'  {line}' for line in differences)] if differences else []


def factors_text(layers: Layers) -> str:
    """What share of the feature loss each pair of layers has."""
    return ', '.join(f'{pair.student} {pair.factor:.4g}' for pair in layers.pairs)


def counts(trials: Sequence[FrozenTrial]) -> str:
    """How many trials there are, and what became of those that were not finished."""
    rejected = sum(is_rejected(trial) for trial in trials)
    others = dict(rejected=rejected, failed=_in_state(trials, TrialState.FAIL),
                  pruned=_in_state(trials, TrialState.PRUNED) - rejected)
    some = ', '.join(f'{number} {name}' for name, number in others.items() if number)
    return f'{len(trials)} trials' + (f' ({some})' if some else '')


def _in_state(trials: Sequence[FrozenTrial], state: TrialState) -> int:
    return sum(trial.state == state for trial in trials)


def experience(study: Study) -> List[str]:
    """How far the trials bear out what the search believed before the first one."""
    found = believed(study, level_of)
    if found is None:
        return []
    return [f'  experience: believed to {found.share:.0%} by the end, its effects '
            f'{found.factor:.1f} times as large']


def final_round(top: FrozenTrial, standings: Mapping[int, Standing],
                handcrafted: Sequence[FrozenTrial]) -> List[str]:
    """How the winner was chosen.

    Args:
        top: the winner. standings: by trial number.
        handcrafted: trials whose distiller was made by hand.
    """
    if top.number not in standings:
        return ['  final round: no distiller could be trained with every seed; this is the best '
                'trial']
    reached = standings[top.number]
    among = [trial for trial in handcrafted if trial.number in standings]
    lines = [f'  final round: reward {reached.reward:+.4f}, best of {len(standings)} distillers '
             f'(mean of {reached.seeds} seeds on a proxy {reached.length} times as long)']
    if among:
        best = ranked(among, standings)[0]
        if best.number == top.number:
            lines.append('  which is the best hand-crafted one there')
        else:
            spec = spec_of(best)
            assert spec is not None
            other = standings[best.number]
            shorter = f' at length {other.length}' if other.length < reached.length else ''
            if other.seeds < reached.seeds:
                shorter += f' with {other.seeds} seed' + 's' * (other.seeds > 1)
            lines.append(f'  best hand-crafted there: {spec.in_words()}, reward '
                         f'{other.reward:+.4f}{shorter}')
    return lines


def header(top: FrozenTrial, spec: Spec, trials: int, sampler: str,
           baseline: Dict[str, Any], final: Sequence[str] = (),
           differences: Sequence[str] = ()) -> List[str]:
    """The comment on top of ``best_distiller.py``: what it is and where it comes from.

    Args:
        final: lines about the final round.
        differences: between the proxy and the training that follows.
    """
    return [
        'Distiller found by autokd_mm (Monte Carlo tree search over the space of Auto-KD).',
        f'  {spec.in_words()}',
        f'  reward {top.value:+.4f} over the undistilled student (trial {top.number} of {trials}, '
        f'sampler {sampler})',
        *final,
        f'  proxy: {measured(top.user_attrs[OUTCOME])}',
        f'  undistilled: {measured(baseline)}',
        *([f'  {line}' for line in differing(differences)]),
        '', ]
