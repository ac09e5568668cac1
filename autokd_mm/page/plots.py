"""The curves of a page as SVG, drawn by matplotlib where it is installed."""
from __future__ import annotations

import io
import math
import re
from itertools import accumulate
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from optuna.trial import FrozenTrial, TrialState

from autokd_mm.page.facts import Facts
from autokd_mm.search.reading import value_of
from autokd_mm.study.study import is_rejected

POINTS, LINES = 2000, 200  # that are drawn at most

# Stand for the colours of the page, which it chooses by day and by night.
_INK, _SOFT, _LINE, _MARK, _BAD = '#010101', '#020202', '#030303', '#040404', '#050505'
_COLOURS = {_INK: 'var(--ink)', _SOFT: 'var(--soft)', _LINE: 'var(--line)', _MARK: 'var(--mark)',
            _BAD: 'var(--bad)'}
_SETTINGS: Dict[Any, Any] = {
    'svg.fonttype': 'none', 'svg.hashsalt': 'autokd_mm', 'font.family': 'sans-serif',
    'font.size': 11, 'axes.edgecolor': _LINE, 'axes.labelcolor': _SOFT, 'text.color': _INK,
    'xtick.color': _SOFT, 'ytick.color': _SOFT, 'axes.spines.top': False, 'path.simplify': True,
    'axes.spines.right': False, 'axes.facecolor': 'none', 'figure.facecolor': 'none',
    'axes.unicode_minus': True, 'xtick.labelsize': 10, 'ytick.labelsize': 10}

MISSING = 'matplotlib is not installed, so the curves are left out: pip install matplotlib'


def installed() -> bool:
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        return False
    return True


def course(facts: Facts) -> Optional[Tuple[str, str]]:
    """Every trial, and the best so far; and what is left out, in words. None without values."""
    values = [(trial.number, value, trial.state == TrialState.COMPLETE) for trial, value in
              ((trial, value_of(trial, 1)) for trial in facts.done) if value is not None]
    if not values:
        return None
    shown, left = _thinned(values, POINTS)
    best = list(accumulate((value if whole else -math.inf for _, value, whole in values), max))
    low = _low([value for _, value, _ in values])
    top = facts.top.number if facts.top is not None else None

    def draw(axes: Any) -> None:
        for whole, colour in ((False, _SOFT), (True, _MARK)):
            chosen = [(number, max(value, low)) for number, value, one in shown if one == whole]
            if chosen:
                axes.plot(*zip(*chosen), 'o' if whole else 'x', color=colour, markersize=3.5,
                          markeredgewidth=1, alpha=1 if whole else .7)
        steps = [(number, one) for (number, _, _), one in zip(values, best) if one > -math.inf]
        if steps:
            axes.step(*zip(*steps), where='post', color=_INK, linewidth=1.4)
        mine = [(number, max(value, low)) for number, value, _ in values if number == top]
        if mine:
            axes.plot(*zip(*mine), 'o', markersize=9, markerfacecolor='none', color=_INK)
        axes.axhline(0, color=_LINE, linewidth=1)
        axes.set_xlabel('trial')
        axes.set_ylabel('reward')
    note = f'{left} of {len(values)} trials are left out of the picture. ' if left else ''
    return _svg(draw, 'Reward of every trial and the best so far'), note + _cut(values, low)


def curves(facts: Facts) -> Optional[Tuple[str, str]]:
    """The reward of trials behind the epochs at which they were measured. None without any."""
    lines = [(trial, curve_of(trial, facts.epochs)) for trial in facts.done]
    lines = [(trial, points) for trial, points in lines if len(points) > 1 or
             (points and trial.state == TrialState.PRUNED)]
    if not lines:
        return None
    lines.sort(key=lambda line: -line[1][-1][1])
    shown, left = _thinned(lines, LINES)
    low = _low([value for _, points in lines for _, value in points])
    top = facts.top.number if facts.top is not None else None

    def draw(axes: Any) -> None:
        for trial, points in reversed(shown):
            mine = trial.number == top
            whole = trial.state == TrialState.COMPLETE
            axes.plot([x for x, _ in points], [max(y, low) for _, y in points],
                      marker='x' if not whole else 'o', markersize=4 if mine else 2.5,
                      color=_INK if mine else _MARK if whole else _SOFT,
                      linewidth=2 if mine else .8, alpha=1 if mine else .55,
                      zorder=3 if mine else 2)
        axes.axhline(0, color=_LINE, linewidth=1)
        axes.set_xlabel('epoch of the proxy')
        axes.set_ylabel('reward at that epoch')
        axes.xaxis.get_major_locator().set_params(integer=True)
    note = f'{left} of {len(lines)} curves are left out. ' if left else ''
    return _svg(draw, 'Reward of trials by epoch'), note


def curve_of(trial: FrozenTrial, epochs: int) -> List[Tuple[int, float]]:
    """Epoch and reward where a trial was measured, its end included."""
    points = {step: value for step, value in trial.intermediate_values.items()
              if math.isfinite(value)}
    if trial.state == TrialState.COMPLETE and trial.value is not None \
            and math.isfinite(trial.value) and not is_rejected(trial):
        points[epochs or max(points, default=0) + 1] = trial.value
    return sorted(points.items())


def _thinned(items: Sequence[Any], most: int) -> Tuple[Sequence[Any], int]:
    """Evenly chosen, and how many are left out."""
    if len(items) <= most:
        return items, 0
    kept = [items[i * len(items) // most] for i in range(most)]
    return kept, len(items) - most


def _low(values: Sequence[float]) -> float:
    """Where the picture ends below: a few exploded students would flatten all others."""
    order = sorted(values)
    low, high = order[len(order) // 10], order[-1]
    return max(order[0], low - (high - low))


def _cut(values: Sequence[Tuple[int, float, bool]], low: float) -> str:
    below = sum(value < low for _, value, _ in values)
    return f'{below} below {low:+.2f} are drawn there.' if below else ''


def _svg(draw: Callable[[Any], None], title: str) -> str:
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    text = io.StringIO()
    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=(5.4, 3.3), layout='tight')
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        draw(axes)
        figure.savefig(text, format='svg', metadata=dict.fromkeys(
            ('Date', 'Creator', 'Format', 'Type')), transparent=True)
    svg = text.getvalue()
    svg = svg[svg.index('<svg'):]
    svg = re.sub(r'<metadata>.*?</metadata>', '', svg, flags=re.S)
    svg = re.sub(r' id="[a-zA-Z]*[0-9]*_[0-9]+"| id="[a-z]+_[0-9]+"', '', svg)
    svg = re.sub(r'<svg [^>]*?viewBox="([^"]+)"[^>]*>',
                 rf'<svg viewBox="\1" role="img" aria-label="{title}">', svg, count=1)
    svg = re.sub(r"(font: [0-9.]+px) [^;\"]*", r'\1 system-ui, sans-serif', svg)
    svg = re.sub(r'(\d+\.\d{2})\d+', r'\1', svg).replace('xlink:href', 'href')
    for colour, name in _COLOURS.items():
        svg = svg.replace(colour, name)
    return svg
