#!/usr/bin/env python3
"""Compare samplers on a table of real outcomes or on synthetic landscapes.

    python tools/benchmarks/samplers.py --table tools/benchmarks/tables/digits.csv.gz --work-dir D
    python tools/benchmarks/samplers.py --work-dir D                     # landscapes
    python tools/benchmarks/samplers.py --table F.json.gz --work-dir D   # of another field
    python tools/benchmarks/samplers.py --table xor --work-dir D         # needle, families: made up
    python tools/benchmarks/samplers.py --table T --ablation --work-dir D
    python tools/benchmarks/samplers.py --table T --experience default --without digits --work-dir D
    python tools/benchmarks/samplers.py --time --work-dir D

Each (sampler, parallel workers, seed) is one line in D/NAME.jsonl: kill it at any moment and start
it again. Then D/NAME.md (tables) and D/NAME.png (plots) are written from all lines, and with --out
the figures.
"""
import argparse
import heapq
import json
import multiprocessing
import os
import sys
import time
import warnings

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
os.environ.setdefault('OMP_NUM_THREADS', '1')

import numpy as np  # noqa: E402
import optuna  # noqa: E402
from optuna.trial import TrialState  # noqa: E402
from parts import figures, foreign, priors, samplers_figures, samplers_time  # noqa: E402
from parts import samplers_report as report  # noqa: E402
from parts.landscape import Landscape  # noqa: E402

from autokd_mm.search import build_sampler  # noqa: E402
from autokd_mm.search.reward import Reward  # noqa: E402
from autokd_mm.search.tabular import Table, TabularObjective  # noqa: E402
from autokd_mm.space import level_of  # noqa: E402

# CMA-ES is not here: it searches numbers, and samples every categorical choice at random.
# NSGA-II breeds only the parameters that every trial has, here the first one. With Optuna's own
# mutation probability, one over their number, that one is drawn anew in every trial, and what is
# left is random search trial for trial; so its probability is given.
SAMPLERS = {
    'MCTS': dict(type='MCTSSampler'),
    'MCTS, UCT c=0.5': dict(type='MCTSSampler', policy='uct', exploration=0.5, n_warmup_trials=10),
    'MCTS, UCT c=0.15': dict(type='MCTSSampler', policy='uct', exploration=0.15,
                             n_warmup_trials=10),
    'TPE': dict(type='TPESampler'),
    'TPE multivariate, group': dict(type='TPESampler', multivariate=True, group=True),
    'NSGA-II': dict(type='NSGAIISampler', population_size=20, mutation_prob=0.1),
    'Random': dict(type='RandomSampler'),
    'GP': dict(type='GPSampler'),
}
ABLATION = {
    'default': {},
    'warm-up of 10': dict(n_warmup_trials=10),
    'pairs of options': dict(pairs=True),
    'shrinkage 0.3': dict(shrinkage=0.3),
    'shrinkage 1': dict(shrinkage=1.0),
    'shrinkage 3': dict(shrinkage=3.0),
    'no Gaussian process': dict(gp_share=0.0),
    'no draw: the mean': dict(draw=0.0),
    'full draw': dict(draw=1.0),
    'no look-ahead': dict(look_ahead=False),
    'UCT c=0.15': dict(policy='uct', exploration=0.15),
}
# Fewer seeds and trials for the slow ones.
FEW = {'GP': (10, 100), 'TPE multivariate, group': (50, 200)}


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--table', help='file of make_table.py, a table of another field '
                        f'(.json.gz), or one of {", ".join(foreign.SYNTHETIC)}; without one, '
                        'landscapes')
    parser.add_argument('--weights', nargs='+', default=[], metavar='TERM=WEIGHT',
                        help='of the reward, e.g. calibrated_loss=0.5 gap=0.5')
    parser.add_argument('--samplers', nargs='+', metavar='NAME', help='some of: '
                        + ', '.join(SAMPLERS))
    parser.add_argument('--ablation', action='store_true', help='settings of ours instead')
    parser.add_argument('--experience', metavar='FILE',
                        help='ours with and without an experience, and with wrong ones, instead')
    parser.add_argument('--without', nargs='+', default=[], metavar='TASK',
                        help='tasks of the experience to leave out')
    parser.add_argument('--time', action='store_true', help='time per question instead')
    parser.add_argument('--parallel', nargs='+', type=int, default=[1, 8])
    parser.add_argument('--seeds', type=int, default=200)
    parser.add_argument('--trials', type=int, default=200)
    parser.add_argument('--workers', type=int, default=1, help='processes of this benchmark')
    parser.add_argument('--work-dir', default='./work_dirs/samplers',
                        help='where lines, tables and plots go (default: work_dirs/samplers)')
    parser.add_argument('--report', action='store_true', help='only from what is there')
    parser.set_defaults(sizes=samplers_time.SIZES)
    args = figures.parse(parser, dict(seeds=3, trials=50, sizes=(100, 1000)))
    if args.quick and not (args.samplers or args.ablation):
        args.samplers = ['MCTS', 'TPE', 'Random']
    args.settings = ({name: dict(SAMPLERS['MCTS'], **more) for name, more in ABLATION.items()}
                     if args.ablation else SAMPLERS)
    if args.experience:
        right = priors.read(args.experience, args.without, args.table)
        args.settings = {name: dict(SAMPLERS['MCTS'], prior=right) for name in priors.NAMES}
    for name in args.samplers or ():
        if name not in args.settings:
            parser.error(f'--samplers: {name!r} is none of {", ".join(args.settings)}')
    args.name = 'landscape' if args.table is None else os.path.basename(args.table).split('.')[0]
    args.name += '-ablation' if args.ablation else '-experience' if args.experience else \
        '-time' if args.time else ''
    args.name += '-quick' * args.quick  # the lines of a full run stay what they are
    return args


_objectives = {}


def objective(args, seed):
    if args.table is None:
        if seed not in _objectives:
            _objectives.clear()
            _objectives[seed] = Landscape(seed, noise_seed=seed)
        return _objectives[seed]
    if args.table in foreign.SYNTHETIC:
        return foreign.SYNTHETIC[args.table](seed)
    if args.table not in _objectives and args.table.endswith('.json.gz'):
        _objectives[args.table] = foreign.read(args.table)
    if args.table not in _objectives:
        weights = {term: float(weight) for term, weight in (w.split('=') for w in args.weights)}
        _objectives[args.table] = TabularObjective(Table(args.table, weights and Reward(weights)))
    _objectives[args.table].seed = seed
    return _objectives[args.table]


def replay(goal, sampler, n_trials, n_parallel):
    """Places in the order of finishing, and what was seen; workers finish when the table says."""
    study = optuna.create_study(direction='maximize', sampler=sampler)
    running, places, seen, clock, asked = [], [], [], 0.0, 0
    while len(places) < n_trials:
        while len(running) < n_parallel and asked < n_trials:
            trial = study.ask()
            place = goal.place(trial)
            end = clock + goal.duration(place, trial.number)
            heapq.heappush(running, (end, trial.number, trial, place))
            asked += 1
        clock, number, trial, place = heapq.heappop(running)
        value = goal.value(place, number)
        if np.isfinite(value):
            study.tell(trial, value)
        else:
            trial.set_user_attr('reason', 'failed')
            study.tell(trial, state=TrialState.FAIL)
        places.append(place)
        seen.append(value)
    return places, seen


def one(job):
    args, name, n_parallel, seed, n_trials = job
    warnings.simplefilter('ignore')
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    goal = objective(args, seed)
    start = time.process_time()
    shared = None if isinstance(goal, foreign.Leaves) else level_of
    setting = args.settings[name]
    if 'prior' in setting:
        setting = dict(setting, prior=priors.named(name, setting['prior'], seed))
    sampler = build_sampler(setting, seed, shared_name=shared)
    places, seen = replay(goal, sampler, n_trials, n_parallel)
    seconds = time.process_time() - start
    return dict(sampler=name, parallel=n_parallel, seed=seed, trials=n_trials,
                seconds=round(seconds, 2), **report.measure(goal.truth, places, seen))


def run(args, path):
    done = {(line['sampler'], line['parallel'], line['seed'], line['trials'])
            for line in report.read(path)}
    jobs = []
    for seed in range(args.seeds):  # all samplers side by side, so that a part is a fair sample
        for n_parallel in args.parallel:
            for name in args.samplers or args.settings:
                few_seeds, few_trials = FEW.get(name, (args.seeds, args.trials))
                job = (args, name, n_parallel, seed, min(few_trials, args.trials))
                if seed < few_seeds and job[1:] not in done:
                    jobs.append(job)
    if args.workers == 1:
        return keep(map(one, jobs), len(jobs), path)
    with multiprocessing.get_context('spawn').Pool(args.workers) as pool:
        keep(pool.imap_unordered(one, jobs), len(jobs), path)


def keep(results, n_jobs, path):
    """Append each result as it comes, and say how far we are."""
    start = time.time()
    with open(path, 'a') as file:
        for count, line in enumerate(results, 1):
            file.write(json.dumps(line) + '\n')
            file.flush()
            if sys.stderr.isatty() or count % 100 == 0:
                left = (time.time() - start) / count * (n_jobs - count)
                print(f'\r{count}/{n_jobs}, {left / 60:.0f} min left', end='', file=sys.stderr)


def main():
    args = parse_args()
    os.makedirs(args.work_dir, exist_ok=True)
    path, found = os.path.join(args.work_dir, f'{args.name}.jsonl'), figures.Figures()
    if args.time:
        samplers_time.measure_all(args, path, found)
    else:
        if not args.report:
            run(args, path)
        lines, order = report.read(path), list(args.settings)
        report.write(lines, order, os.path.join(args.work_dir, args.name))
        print()
        samplers_figures.add(found, lines, order)
    found.finish(args)


if __name__ == '__main__':
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    import _cli
    _cli.run(main)
