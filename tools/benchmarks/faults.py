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
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from contextlib import nullcontext
from types import SimpleNamespace

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
os.environ.setdefault('OMP_NUM_THREADS', '1')

import optuna  # noqa: E402
from optuna.trial import TrialState  # noqa: E402
from parts import postgres  # noqa: E402

from autokd_mm.engine import phases
from autokd_mm.engine.final_round import FinalRound  # noqa: E402
from autokd_mm.engine.final_settings import FinalSettings  # noqa: E402
from autokd_mm.engine.one_trial import TrialRunner  # noqa: E402
from autokd_mm.report import export
from autokd_mm.report.results import Results  # noqa: E402
from autokd_mm.search import MCTSSampler, StudyTree  # noqa: E402
from autokd_mm.search.reward import Outcome, Reward  # noqa: E402
from autokd_mm.space import DistillerSpace  # noqa: E402
from autokd_mm.study import lock, patience  # noqa: E402
from autokd_mm.study import study as studies  # noqa: E402
from autokd_mm.study import time_limit
from autokd_mm.study.heartbeat import Heartbeat  # noqa: E402

SEED, BEAT = 3, 0.25


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
    return parser.parse_args()


class Trainer:
    """Takes ``seconds``, and measures a number that depends on the distiller and the seed."""
    settings = SimpleNamespace(seed=SEED)

    def __init__(self, seconds):
        self.seconds = seconds

    def run(self, spec, watch=None, seed=SEED, length=1, looks=None):
        time.sleep(self.seconds * length)
        loss = 1.0
        if spec is not None:
            text = json.dumps([spec.to_dict(), seed], sort_keys=True)
            loss = int(hashlib.md5(text.encode()).hexdigest(), 16) % 9973 / 9973 + 0.3
        return Outcome(loss, loss, 0.5, 0.5, self.seconds * length)


class Leaderboard(Results):
    def __init__(self, work_dir):
        self.leaderboard, self._cost = os.path.join(work_dir, export.LEADERBOARD), 0.0


def open_search(work_dir, storage):
    return studies.open_study(work_dir, MCTSSampler(seed=SEED), dict(faults=1), storage=storage)


def work(work_dir, storage, trials, seconds, place, final=False, log=None):
    """What a worker does, as SearchLoop does it. Writes each trial it has told into ``log``."""
    if place:
        studies._place = lambda: place
    patience.PAUSE = 0.2
    phases.POLL = 0.05

    def turn(name='.turn.lock'):
        return lock.exclusive(os.path.join(work_dir, name))

    with turn('.lock'):
        study = open_search(work_dir, storage)
    trainer, reward = Trainer(seconds), Reward(dict(calibrated_loss=1.0))
    baseline = trainer.run(None)

    def note(values, number):
        if log:
            with open(log, 'a') as file:
                file.write(f'{number} {values["reward"]!r}\n')

    runner = TrialRunner(study, DistillerSpace(), trainer, reward, baseline, None, 1,
                         lambda line: None, note, turn)
    last = FinalRound(FinalSettings(best=2, handcrafted=0, length=1), study, trainer, reward,
                      []) if final else None
    display = SimpleNamespace(show=lambda *args: None)
    heartbeat = Heartbeat(BEAT)
    results = Leaderboard(work_dir)
    flow = phases.Phases(study, runner, last, results, display, turn, lambda line: None,
                         trials, 0, heartbeat, time_limit.TimeLimit())
    with heartbeat:
        flow.search()
        flow.final_round()
    with turn():
        results.write_leaderboard(studies.finished(study), flow.finals())
    return study, last


class Crowd:
    """Forked workers, each again as soon as it has ended."""

    def __init__(self, number, start):
        self.start, self.children = start, {}
        for slot in range(number):
            self.fork(slot)

    def fork(self, slot):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                self.start(slot)
                code = 0
            except BaseException as error:
                print(f'worker {slot}: {error!r} {error.__cause__!r}', file=sys.stderr)
            finally:
                os._exit(code)
        self.children[slot] = pid

    def kill(self, slot):
        """SIGKILL, and another one takes its place."""
        os.kill(self.children[slot], signal.SIGKILL)
        status = os.waitpid(self.children[slot], 0)[1]
        assert os.WIFSIGNALED(status), 'it had ended by itself'
        self.fork(slot)

    def end(self, number=signal.SIGUSR1):
        """Ask all to end, and wait for them."""
        children, self.children, codes = set(self.children.values()), {}, []
        while children:  # again and again: Python drops what comes in the middle of a fork
            for pid in sorted(children):
                found, status = os.waitpid(pid, os.WNOHANG)
                if found:
                    children.remove(pid)
                    codes.append(status)
                else:
                    os.kill(pid, number)
            time.sleep(0.05)
        assert number == signal.SIGKILL or not any(codes), f'workers ended with {codes}'


def set_clock_back(slot):
    """time.time() of this process jumps back by an hour every now and then."""
    real, start = time.time, time.monotonic()
    time.time = lambda: real() - 3600 * int((time.monotonic() - start) / 0.3) - 977 * slot


def disturb(args, work_dir, storage, server=None):
    """Run ``args.workers`` workers, kill ``args.kills`` of them, take the storage away."""
    rng = random.Random(args.seed)

    def start(slot):
        if args.clock:
            set_clock_back(slot)
        work(work_dir, storage, 10**6, args.seconds, f'host-{slot}' if slot % 2 else None,
             log=os.path.join(work_dir, f'told-{slot}'))

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
    for path in glob.glob(os.path.join(work_dir, f'told-{slot}')):
        with open(path) as file:
            count += file.read().count('\n')
    return count


def wait_for(count, number):
    deadline = time.monotonic() + 120
    while count() < number:
        assert time.monotonic() < deadline, f'{count()} of {number} trials'
        time.sleep(0.02)


def check(work_dir, storage):
    """Nothing is lost, nothing there twice, and the tree is that of an undisturbed run.

    One more worker first runs again what the others left, and a final round. Returns numbers.
    """
    left = len(studies.finished(open_search(work_dir, storage))) + 5
    study, last = work(work_dir, storage, left, 0.0, None, final=True)
    trials = open_search(work_dir, storage).trials
    assert [trial.number for trial in trials] == list(range(len(trials)))
    assert not [trial for trial in trials if not trial.state.is_finished()]

    known = {}
    for name in os.listdir(work_dir):
        if name.startswith('told-'):
            with open(os.path.join(work_dir, name)) as file:
                for number, value in (line.split() for line in file if line.endswith('\n')):
                    assert int(number) not in known, f'trial {number} was told twice'
                    known[int(number)] = float(value)
    for number, value in known.items():
        assert (trials[number].state, trials[number].value) == (TrialState.COMPLETE, value), number

    done = studies.finished(study)
    interrupted = [trial for trial in trials if trial.user_attrs.get(studies.INTERRUPTED)]
    assert len(done) == left and len(done) + len(interrupted) == len(trials)
    retries = [trial.user_attrs[studies.RETRY_OF] for trial in trials
               if studies.RETRY_OF in trial.user_attrs]
    assert sorted(retries) == sorted(trial.number for trial in interrupted), 'run again, once each'
    for trial in trials:  # a retry asks for what was asked for before
        first = trial.user_attrs.get(studies.RETRY_OF)
        if first is not None:
            wanted = {**trial.system_attrs.get('fixed_params', {}), **trial.params}
            before = trials[first].params
            assert {name: wanted.get(name) for name in before} == before
    failed = [trial for trial in done if trial.state == TrialState.FAIL]
    assert all(trial.user_attrs[studies.DEATHS] <= studies.RETRIES and 'died 3 times' in
               trial.user_attrs[studies.REASON] for trial in failed)

    quiet = optuna.create_study(direction='maximize', sampler=MCTSSampler(seed=SEED))
    quiet.add_trials([optuna.trial.create_trial(
        state=trial.state, value=trial.value, params=trial.params,
        distributions=trial.distributions) for trial in done])
    assert StudyTree.of(study).describe(None) == StudyTree.of(quiet).describe(None)
    asked = [item.ask() for item in (open_search(work_dir, storage), quiet)]
    proposals = [DistillerSpace().suggest(trial) for trial in asked]
    assert proposals[0] == proposals[1], 'the next proposal is that of an undisturbed search'

    with open(os.path.join(work_dir, export.LEADERBOARD)) as file:
        assert len(file.readlines()) == 1 + len(done)
    runs = [(run.user_attrs['candidate'], run.user_attrs['seed'])
            for run in last.study.trials if run.state == TrialState.COMPLETE]
    assert len(runs) == len(set(runs)) == 6 and len(last.rewards()) == 2
    return dict(finished=len(done), told=len(known), interrupted=len(interrupted),
                given_up=len(failed))


def main():
    args = parse_args()
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
        print(json.dumps(dict(check(work_dir, storage), kills=args.kills,
                              seconds=round(time.monotonic() - start, 1))))


if __name__ == '__main__':
    main()
