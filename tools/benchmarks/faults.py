#!/usr/bin/env python3
"""Kill the workers of a search at random moments, and look whether anything was lost.

    python tools/benchmarks/faults.py --kills 500
    python tools/benchmarks/faults.py --kills 500 --postgres
    python tools/benchmarks/faults.py --away 20 [--postgres]

The workers run the loop of a real search on the real space (two phases, study, locks, heartbeat,
leaderboard), with a function of the distiller in place of its training. Half of them pass for
other hosts, so that only their heartbeat tells whether they live. Exit code 0: nothing was lost.
"""
import argparse
import glob
import os
import random
import signal
import sys
import tempfile
import time
from contextlib import nullcontext

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
os.environ.setdefault('OMP_NUM_THREADS', '1')

import optuna  # noqa: E402
from parts import figures, postgres  # noqa: E402
from parts.nothing_lost import check  # noqa: E402
from parts.workers import LOG, Crowd, set_clock_back, work  # noqa: E402

from autokd_mm.study import time_limit  # noqa: E402


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--kills', type=int, default=0)
    parser.add_argument('--away', type=float, default=0, metavar='SECONDS',
                        help='take the storage away for so long, once')
    parser.add_argument('--workers', type=int, default=4)
    parser.add_argument('--seconds', type=float, default=0.03, help='that a trial takes')
    parser.add_argument('--postgres', action='store_true', help='a server of its own, or a journal')
    parser.add_argument('--clock', action='store_true',
                        help='every worker sets its clock back by an hour, now and then')
    parser.add_argument('--seed', type=int, default=0, help='of the moments')
    return figures.parse(parser, dict(kills=10, away=3.0))


def disturb(args, work_dir, storage, server=None):
    """Run ``args.workers`` workers, kill ``args.kills`` of them, take the storage away."""
    rng = random.Random(args.seed)

    def start(slot):
        if args.clock:
            set_clock_back(slot)
        work(work_dir, storage, 10**6, args.seconds, f'host-{slot}' if slot % 2 else None,
             log=os.path.join(work_dir, f'{LOG}{slot}'))

    crowd = Crowd(args.workers, start)
    try:
        harass(args, rng, crowd, work_dir, server)
        crowd.end()
    finally:
        crowd.end(signal.SIGKILL)


def harass(args, rng, crowd, work_dir, server):
    for number in range(args.kills):
        # The search goes on under the killing, and any moment of a trial is hit.
        wait_for(lambda: told(work_dir), number // 2)
        time.sleep(rng.uniform(0.0, 0.2))
        crowd.kill(rng.randrange(args.workers))
    if args.away:
        for slot in range(args.workers):  # all are at work: one that begins now would give up
            wait_for(lambda slot=slot: told(work_dir, slot), told(work_dir, slot) + 1)
        if server:
            server.stop()
            time.sleep(args.away)
            server.start()
        else:
            os.rename(work_dir, work_dir + '-away')
            time.sleep(args.away)
            os.rename(work_dir + '-away', work_dir)
        wait_for(lambda: told(work_dir), told(work_dir) + 10)
    if args.clock:
        wait_for(lambda: told(work_dir), 60)


def told(work_dir, slot='*'):
    """How many trials the workers have told."""
    count = 0
    for path in glob.glob(os.path.join(work_dir, f'{LOG}{slot}')):
        with open(path) as file:
            count += file.read().count('\n')
    return count


def wait_for(count, number):
    deadline = time.monotonic() + 120
    while count() < number:
        assert time.monotonic() < deadline, f'{count()} of {number} trials'
        time.sleep(0.02)


def tell(found, args, numbers, seconds):
    """Nothing is told where something was lost: ``check`` has raised then."""
    found.add('workers killed', args.kills, 'kills')
    found.add('storage away', args.away, 's')
    found.add('trials finished', numbers['finished'], 'trials')
    found.add('trials told by disturbed workers', numbers['told'], 'trials')
    found.add('trials interrupted and run again', numbers['interrupted'], 'trials')
    found.add('trials given up behind three deaths', numbers['given_up'], 'trials')
    found.add('finished trials lost or told twice', 0, 'trials', '<= 0')
    found.add('kills, check and final round', seconds, 's')


def main():
    args, found = parse_args(), figures.Figures()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    time_limit.listen()  # workers inherit it: they may be asked to end at once
    why = postgres.missing() if args.postgres else ''
    if why:
        sys.exit(f'skipped: {why}')
    with tempfile.TemporaryDirectory() as folder, (
            postgres.Postgres() if args.postgres else nullcontext()) as server:
        work_dir = os.path.join(folder, 'work')
        os.mkdir(work_dir)
        storage = server.hidden() if server else None
        start = time.monotonic()
        disturb(args, work_dir, storage, server)
        numbers = check(work_dir, storage)
        tell(found, args, numbers, time.monotonic() - start)
    found.finish(args)


if __name__ == '__main__':
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    import _cli
    _cli.run(main)
