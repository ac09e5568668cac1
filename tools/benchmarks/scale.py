#!/usr/bin/env python3
"""How many workers one study can feed: measured latencies, then a simulation with them.

    python tools/benchmarks/scale.py measure --work-dir D         # journal; --postgres: a server
    python tools/benchmarks/scale.py idle --work-dir D            # from D/costs.json
    python tools/benchmarks/scale.py regret --table T --work-dir D

``measure`` times the steps of a worker on the real storage, alone and with others beside it.
``idle`` simulates workers (discrete events) that go through the steps of ``Phases``: a turn to take
a trial, questions, training, a turn to tell, a turn to write the leaderboard, heartbeats; the share
of their time in which they do not train is their idle time. ``regret`` replays the tabular
benchmark with the real sampler, asked and told in the order of such a simulation.
"""
import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
import warnings
from contextlib import nullcontext
from random import Random

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(os.path.dirname(FOLDER)))
os.environ.setdefault('OMP_NUM_THREADS', '1')

import numpy as np  # noqa: E402
import optuna  # noqa: E402
from optuna.trial import TrialState  # noqa: E402
from parts import figures, postgres  # noqa: E402
from parts.simulation import QUESTIONS, Costs, simulate  # noqa: E402

from autokd_mm.search import MCTSSampler  # noqa: E402
from autokd_mm.search.tabular import Table, TabularObjective  # noqa: E402
from autokd_mm.space import level_of  # noqa: E402
from autokd_mm.whole_file import whole_file  # noqa: E402

WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SECONDS = (1, 5, 20, 60)
OPTIONS = 9
RUNNING = 64  # trials of other workers, while the steps are timed


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('what', choices=['measure', 'idle', 'regret'])
    parser.add_argument('--postgres', action='store_true')
    parser.add_argument('--processes', type=int, nargs='+', default=[1, 2, 4, 8, 16])
    parser.add_argument('--workers', type=int, nargs='+', default=list(WORKERS))
    parser.add_argument('--seconds', type=float, nargs='+', default=list(SECONDS))
    parser.add_argument('--table', default=os.path.join(FOLDER, 'tables', 'digits.csv.gz'),
                        help='file of make_table.py (default: that of the digits)')
    parser.add_argument('--seeds', type=int, default=20)
    parser.add_argument('--trials', type=int, default=200)
    parser.add_argument('--work-dir', default='./work_dirs/scale',
                        help='where costs and tables go (default: work_dirs/scale)')
    parser.set_defaults(sizes=(100, 1000), writing=3.0, ending='')
    return figures.parse(parser, dict(  # the files of a full run stay what they are
        sizes=(50, 100), writing=0.5, processes=[1, 2], seconds=[5.0], workers=[1, 4, 64], seeds=2,
        trials=100, ending='-quick'))


# -- measured ----------------------------------------------------------------------------------
def open_study(folder, storage, seed=0):
    from autokd_mm.study import study as studies
    return studies.open_study(folder, MCTSSampler(seed=seed), dict(scale=1), storage=storage)


def goal(trial):
    for number in range(QUESTIONS):
        trial.suggest_categorical(f'q{number}', tuple(range(OPTIONS)))
    return Random(str(sorted(trial.params.items()))).random()


def steps(folder, storage, sizes):
    """Median seconds of a worker's steps, in a study of so many finished trials, beside others'
    that run: every look reads those anew."""
    from autokd_mm.report import export
    from autokd_mm.study import study as studies
    from autokd_mm.study.patience import one_look
    memory = optuna.create_study(direction='maximize', sampler=MCTSSampler(seed=0))
    memory.optimize(goal, n_trials=max(sizes))
    found, study, there = {}, open_study(folder, storage), 0
    spent = {}
    for _ in range(RUNNING):
        other = study.ask()
        other.set_user_attr(studies.WORKER, studies.worker_name())
        goal(other)

    def look():
        studies.take_up_interrupted(study)
        studies.finished_and_running(study)

    def timed(name, call, *args):
        start = time.perf_counter()
        result = call(*args)
        spent.setdefault(name, []).append(time.perf_counter() - start)
        return result

    for size in sizes:
        study.add_trials(memory.trials[there:size])
        there = size
        spent.clear()
        for _ in range(16):
            with one_look(study):  # as Phases does it
                timed('look', look)
                trial = timed('take', study.ask)
            for number in range(QUESTIONS):
                timed('question', trial.suggest_categorical, f'q{number}', tuple(range(OPTIONS)))
            timed('write', trial.set_user_attr, 'a', 1)
            timed('leaderboard', export.write_leaderboard, os.path.join(folder, 'leaderboard.csv'),
                  studies.finished(study))
            timed('tell', study.tell, trial, 0.0)
            there += 1
        found[str(size)] = {name: statistics.median(values[2:])
                            for name, values in spent.items()}
    return found


def writer(job):
    folder, storage, number, seconds = job
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = open_study(folder, storage)
    trial, spent, end = study.ask(), [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        trial.set_user_attr('heartbeat', len(spent))
        spent.append(time.perf_counter() - start)
    return spent


def measure(args, found):
    why = postgres.missing() if args.postgres else ''
    if why:
        sys.exit(f'skipped: {why}')
    path = os.path.join(args.work_dir, f'costs{args.ending}.json')
    kept = json.load(open(path)) if os.path.isfile(path) else {}
    kind = 'postgresql' if args.postgres else 'journal'
    with postgres.Postgres() if args.postgres else nullcontext() as server, \
            tempfile.TemporaryDirectory(dir=args.work_dir) as folder:
        storage = server.hidden() if server else None
        kept[kind] = dict(load=os.getloadavg()[0], cores=os.cpu_count(),
                          steps=steps(folder, storage, args.sizes), writers={})
        context = multiprocessing.get_context('fork')  # they know the password
        for number in args.processes:
            with context.Pool(number) as pool:
                jobs = [(folder, storage, i, args.writing) for i in range(number)]
                spent = pool.map(writer, jobs, 1)
            flat = [value for values in spent for value in values]
            kept[kind]['writers'][str(number)] = dict(
                median=statistics.median(flat), p95=float(np.quantile(flat, 0.95)),
                per_second=round(len(flat) / args.writing, 1))
    with whole_file(path, 'w') as file:
        json.dump(kept, file, indent=1)
    for size, spent in kept[kind]['steps'].items():
        for name, value in spent.items():
            found.add(f'{kind}, {int(size):,} finished trials: {name}, median', 1e3 * value, 'ms')
    for number, spent in kept[kind]['writers'].items():
        found.add(f'{kind}, {number} writing process{"es" * (number != "1")}: all together',
                  spent['per_second'], 'writes/s')


# -- simulated ---------------------------------------------------------------------------------
def idle(args, found):
    path = os.path.join(args.work_dir, f'costs{args.ending}.json')
    if not os.path.isfile(path):
        sys.exit(f'error: there is no {path}; make it with: scale.py measure'
                 + ' --quick' * args.quick)
    with open(path) as file:
        costs_of = json.load(file)
    rows = []
    for kind in ('journal', 'postgresql'):
        if kind not in costs_of:
            continue
        costs = Costs(costs_of[kind], kind == 'journal')
        for seconds in args.seconds:
            for workers in args.workers:
                share, rate = simulate(workers, max(200, 30 * workers), seconds, costs)
                rows.append(dict(storage=kind, seconds=seconds, workers=workers,
                                 idle=round(share, 4), per_second=round(rate, 2)))
                found.add(f'{kind}, trials of {seconds:g} s, {in_words(workers)}: idle',
                          100 * share, '%', '<= 5' if (seconds, workers) == (5, 64) else None)
    keep(args, 'idle', rows)


class Replay:
    """A study over the table, asked and told by the simulation."""

    def __init__(self, objective, seed):
        self.objective, self.trials, self.places, self.seen = objective, {}, [], []
        self.study = optuna.create_study(
            direction='maximize', sampler=MCTSSampler(seed=seed, shared_name=level_of))

    def ask(self, number):
        trial = self.study.ask()
        self.trials[number] = trial, self.objective.place(trial)

    def tell(self, number):
        trial, place = self.trials.pop(number)
        value = self.objective.value(place, trial.number)
        if np.isfinite(value):
            self.study.tell(trial, value)
        else:
            trial.set_user_attr('reason', 'failed')
            self.study.tell(trial, state=TrialState.FAIL)
        self.places.append(place)
        self.seen.append(value)


def regret(args, found):
    from parts.samplers_report import measure as measure_replay
    warnings.simplefilter('ignore')
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    objective = TabularObjective(Table(args.table))
    nothing = Costs(dict(writers={'1': dict(per_second=1e9)}, steps={str(n): dict.fromkeys(
        ('look', 'take', 'question', 'write', 'leaderboard'), 0.0) for n in (1, 2)}))
    rows, alone = [], None  # the mean regret of one worker behind each trial
    for workers in sorted(args.workers):
        curves, chosen = [], []
        for seed in range(args.seeds):
            objective.seed = seed
            replay = Replay(objective, seed)
            simulate(workers, args.trials, 5.0, nothing, replay.ask, replay.tell, seed)
            result = measure_replay(objective.truth, replay.places, replay.seen)
            curves.append(result['regret'])
            chosen.append(result['chosen'][-1])
        if workers == 1:
            alone = np.mean(curves, 0)
        last = [curve[-1] for curve in curves]
        error = float(np.std(last, ddof=1) / np.sqrt(len(last))) if len(last) > 1 else 0.0
        # The last trial has been chosen by what this many have told.
        informed = args.trials - workers + 1
        rows.append(dict(workers=workers, trials=args.trials, seeds=args.seeds,
                         regret=round(float(np.mean(last)), 4), error=round(error, 4),
                         chosen=round(float(np.mean(chosen)), 4),
                         one_worker_as_informed='' if alone is None or informed < 1 else
                         round(float(alone[informed - 1]), 4)))
        found.add(f'{in_words(workers)}, {args.trials} trials: regret, mean', rows[-1]['regret'],
                  'best - median')
        if alone is not None and workers > 1:
            found.add(f'{in_words(workers)}, {args.trials} trials: regret over that of one worker',
                      float(np.mean(last) / alone[-1]) if alone[-1] else None, 'x',
                      '<= 1.25' if args.trials == 200 else None)
    keep(args, 'regret', rows)


def in_words(workers):
    return f'{workers} worker{"s"[:workers > 1]}'


def keep(args, name, rows):
    """JSON, and a table in Markdown."""
    path = os.path.join(args.work_dir, name + args.ending)
    with whole_file(f'{path}.json', 'w') as file:
        json.dump(rows, file, indent=1)
    with whole_file(f'{path}.md', 'w') as file:
        file.write('| ' + ' | '.join(rows[0]) + ' |\n' + '|---' * len(rows[0]) + '|\n')
        for row in rows:
            file.write('| ' + ' | '.join(map(str, row.values())) + ' |\n')


def main():
    args, found = parse_args(), figures.Figures()
    os.makedirs(args.work_dir, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    dict(measure=measure, idle=idle, regret=regret)[args.what](args, found)
    found.finish(args)


if __name__ == '__main__':
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    import _cli
    _cli.run(main)
