"""What a search tells about itself in words: before it starts, and on top of what it found."""
from __future__ import annotations

from typing import Any, Dict, List, Mapping

from optuna.trial import FrozenTrial

from autokd_mm.engine.export import OUTCOME
from autokd_mm.models.distillers import Layers
from autokd_mm.space import DistillerSpace, DistillerSpec

_MEASURED = ('held-out loss {held_out_loss:.4f}, calibrated {calibrated_loss:.4f}, '
             'gap {gap:.4f}, metric {metric:.2%}')


def measured(outcome: Mapping[str, float]) -> str:
    return _MEASURED.format(**outcome)


def metrics_text(metrics: Mapping[str, float]) -> str:
    return ', '.join(f'{name} {value:.2f}' for name, value in metrics.items())


def plan(space: DistillerSpace, layers: Layers, classes: int) -> List[str]:
    """The levels of the space and the layers that will be compared, with their shapes."""
    lines = [f'{level:>18}: {", ".join(map(str, options))}' for level, options in space.levels()]
    for who in ('student', 'teacher'):
        shape = ' x '.join(map(str, getattr(layers, f'{who}_shape')))
        logits = getattr(layers, f'{who}_logits')
        lines.append(f'{who}: {getattr(layers, who)} ({shape}), '
                     + (f'logits {logits} ({classes})' if logits else 'no logits'))
    return lines


def header(top: FrozenTrial, spec: DistillerSpec, trials: int, sampler: str,
           baseline: Dict[str, Any]) -> List[str]:
    """The comment on top of ``best_distiller.py``: what it is and where it comes from."""
    return [
        'Distiller found by autokd_mm (Monte Carlo tree search over the space of Auto-KD).',
        f'  {spec.in_words()}',
        f'  reward {top.value:+.4f} over the undistilled student (trial {top.number} of {trials}, '
        f'sampler {sampler})',
        f'  proxy: {measured(top.user_attrs[OUTCOME])}',
        f'  undistilled: {measured(baseline)}',
        '', ]
