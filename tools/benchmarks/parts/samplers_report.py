"""From replays of samplers to numbers, a table in Markdown and a plot."""
import json
import os

import numpy as np

CUTS = (10, 20, 50, 100, 200)
COMPARED = (20, 50, 100)  # trials of one worker, beside those of several


def measure(truth, places, seen):
    """What one replay gives.

    Normalised regret: (best - reached) / (best - median) of the true rewards, 0 at the best
    distiller of the table and 1 at a middling one. ``regret``: of the best that was tried, behind
    each trial. ``chosen``: of the one with the highest reward seen, which a user would take.
    """
    best, span = truth.max(), truth.max() - np.median(truth)
    values = truth[places]
    seen = np.where(np.isfinite(seen), seen, -np.inf)
    leader = [int(np.argmax(seen[:n])) for n in CUTS if n <= len(places)]
    ranks = (truth[:, None] > values[None, :]).sum(axis=0) if len(truth) < 1e4 else \
        len(truth) - np.searchsorted(np.sort(truth), values, side='right')
    top = max(1, round(0.01 * len(truth)))
    return dict(top1=_first(ranks < top), top5=_first(ranks < 5),
                regret=np.round((best - np.maximum.accumulate(values)) / span, 4).tolist(),
                chosen=np.round((best - values[leader]) / span, 4).tolist())


def _first(hits):
    """Trials until the first hit; None without one."""
    return int(np.argmax(hits)) + 1 if hits.any() else None


def read(path):
    if not os.path.isfile(path):
        return []
    lines = []
    with open(path) as file:
        for line in file:
            try:
                lines.append(json.loads(line))
            except ValueError:
                pass  # the process was killed while it wrote this line
    return lines


def _median(values, limit):
    """Median of trials; what was not reached counts as later than everything."""
    middle = float(np.median([np.inf if value is None else value for value in values]))
    return f'{middle:.0f}' if np.isfinite(middle) else f'> {limit}'


def mean_and_half(values):
    """The mean, and half of its 95 % interval; NaN of a single value."""
    half = 1.96 * np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return float(np.mean(values)), float(half)


def _mean(values):
    return '{:.3f} ± {:.3f}'.format(*mean_and_half(values))


def write(lines, order, path):
    """PATH.md and PATH.png."""
    text = []
    for n_parallel in sorted({line['parallel'] for line in lines}):
        text.append(f'\n{n_parallel} worker{"s"[:n_parallel > 1]}:\n')
        text.append('| sampler | seeds | trials to the top 1 % | to the top 5 | '
                    + ' | '.join(f'regret at {n}' for n in CUTS) + ' | chosen at 100 |')
        text.append('|---' * (len(CUTS) + 5) + '|')
        for name in order:
            own = [line for line in lines
                   if line['sampler'] == name and line['parallel'] == n_parallel]
            if own:
                text.append(_row(name, own))
    text += parallel_cost(lines, order)
    with open(f'{path}.md', 'w') as file:
        file.write('\n'.join(text).strip() + '\n')
    plot(lines, order, f'{path}.png')
    print('\n' + '\n'.join(text))


def parallel_cost(lines, order):
    """How many trials several workers need for the mean regret that one has after so many, as rows
    of a table."""
    text = []
    for name in order:
        for n_parallel, found in parallel_ratios(lines, name).items():
            cells = [_ratio(*found[n]) if n in found else '-' for n in COMPARED]
            text.append('| ' + ' | '.join([name, str(n_parallel), *cells]) + ' |')
    head = ['\nTrials of several workers over those of one to the same mean regret:\n',
            '| sampler | workers | regret of one at 20 | at 50 | at 100 |', '|---' * 5 + '|']
    return head + text if text else []


def parallel_ratios(lines, name):
    """For each number of workers and of trials of one: the ratio, infinite where it was not
    reached, and the largest that could have been seen."""
    one, result = _mean_curve(lines, name, 1), {}
    for n_parallel in sorted({line['parallel'] for line in lines} - {1}):
        several = _mean_curve(lines, name, n_parallel)
        if one is None or several is None:
            continue
        found = result[n_parallel] = {}
        for n in COMPARED:
            if n <= len(one):
                reached = several <= one[n - 1]
                ratio = (np.argmax(reached) + 1) / n if reached.any() else np.inf
                found[n] = ratio, len(several) / n
    return result


def _ratio(ratio, largest):
    return f'{ratio:.2f}' if np.isfinite(ratio) else f'> {largest:.2f}'


def _mean_curve(lines, name, n_parallel):
    own = [line['regret'] for line in lines
           if line['sampler'] == name and line['parallel'] == n_parallel]
    length = min((len(curve) for curve in own), default=0)
    return np.mean([curve[:length] for curve in own], axis=0) if own else None


def _row(name, own):
    limit = min(line['trials'] for line in own)
    cells = [name, str(len(own)), *(_median([line[key] for line in own], limit)
                                    for key in ('top1', 'top5'))]
    for n in CUTS:
        cells.append(_mean([line['regret'][n - 1] for line in own]) if n <= limit else '-')
    place = CUTS.index(100)
    cells.append(_mean([line['chosen'][place] for line in own]) if limit >= 100 else '-')
    return '| ' + ' | '.join(cells) + ' |'


def plot(lines, order, path):
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot
    counts = sorted({line['parallel'] for line in lines})
    figure, axes = pyplot.subplots(1, len(counts), figsize=(5.2 * len(counts), 4), sharey=True,
                                   squeeze=False, layout='constrained')
    for axis, n_parallel in zip(axes[0], counts):
        for name in order:
            own = [line for line in lines
                   if line['sampler'] == name and line['parallel'] == n_parallel]
            if not own:
                continue
            length = min(len(line['regret']) for line in own)
            curves = np.array([line['regret'][:length] for line in own])
            mean = curves.mean(axis=0)
            half = 1.96 * curves.std(axis=0) / np.sqrt(len(own))
            trials = np.arange(1, length + 1)
            drawn, = axis.plot(trials, mean, label=name, linewidth=1.5)
            axis.fill_between(trials, np.maximum(mean - half, 1e-4), mean + half, alpha=0.2,
                              color=drawn.get_color(), linewidth=0)
        axis.set_xscale('log')
        axis.set_yscale('log')
        axis.set_xlabel('trials')
        axis.set_title(f'{n_parallel} worker{"s"[:n_parallel > 1]}')
        axis.grid(alpha=0.3, which='both', linewidth=0.5)
    axes[0][0].set_ylabel('normalised regret of the best tried')
    axes[0][0].legend(fontsize=8, loc='lower left')
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
