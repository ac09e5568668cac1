"""From replays of samplers to figures, and to the goals that ours has beside the others."""
import numpy as np

from parts import samplers_report as report

OURS = 'MCTS'


def add(found, lines, order):
    """Figures of every sampler and number of workers."""
    for n_parallel in sorted({line['parallel'] for line in lines}):
        own = {name: [line for line in lines
                      if line['sampler'] == name and line['parallel'] == n_parallel]
               for name in order}
        goals = ours_beside(own) if n_parallel == 1 else {}
        for name, replays in own.items():
            if replays:
                add_one(found, f'{name}, {n_parallel} worker{"s"[:n_parallel > 1]}', replays,
                        goals if name == OURS else {})
    for name in order:
        for n_parallel, ratios in report.parallel_ratios(lines, name).items():
            for n, (ratio, _) in ratios.items():
                found.add(f'{name}: trials of {n_parallel} workers to the regret of one at {n}',
                          ratio, 'x', '<= 1.25' if name == OURS and n_parallel == 8 else None)


def add_one(found, who, replays, goals):
    found.add(f'{who}: replays', len(replays), 'seeds')
    for key, what in (('top1', 'top 1 %'), ('top5', 'top 5')):
        found.add(f'{who}: trials to the {what}, median', first(replays, key), 'trials',
                  goals.get(key))
    limit = min(line['trials'] for line in replays)
    for n in report.CUTS:
        if n <= limit:
            found.add(f'{who}: regret at {n}, mean', regret(replays, n)[0], 'best - median',
                      goals.get(n))
    if limit >= 100:
        found.add(f'{who}: regret of the one chosen at 100, mean',
                  float(np.mean([line['chosen'][report.CUTS.index(100)] for line in replays])),
                  'best - median')


def first(replays, key):
    """Median of the trials until the first hit; infinite where half of the replays have none."""
    return float(np.median([np.inf if line[key] is None else line[key] for line in replays]))


def regret(replays, n):
    """Mean, and half of its 95 % interval."""
    return report.mean_and_half([line['regret'][n - 1] for line in replays])


def ours_beside(own):
    """Goals of ours with one worker, as docs/benchmarks/samplers.md has them; {} without others.

    Plain UCT is a setting of ours and none of the others.
    """
    others = {name: replays for name, replays in own.items()
              if replays and not name.startswith(OURS)}
    if not others or not own.get(OURS):
        return {}
    firsts = {name: first(replays, 'top1') for name, replays in others.items()}
    top1 = min([0.8 * value for value in firsts.values()]
               + [0.5 * firsts[name] for name in firsts if name == 'Random'])
    goals = dict(top1=f'<= {top1:.4g}') if np.isfinite(top1) else {}
    for n in (50, 100):
        there = [regret(replays, n) for replays in [*others.values(), own[OURS]]
                 if min(line['trials'] for line in replays) >= n]
        if len(there) <= len(others):
            continue  # someone has not come so far
        *beside, (_, half) = there
        goals[n] = (f'< {min(mean - other for mean, other in beside) - half:.4g}' if n == 50
                    else f'<= {0.5 * min(mean for mean, _ in beside):.4g}')
    return {n: goal for n, goal in goals.items() if not goal.endswith('nan')}
