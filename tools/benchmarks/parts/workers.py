"""Workers that do what those of a search do, with a function of the distiller in place of its
training: forked, killed, and begun anew."""
import hashlib
import json
import os
import signal
import socket
import sys
import time
from types import SimpleNamespace

from autokd_mm.engine import phases
from autokd_mm.engine.final_round import FinalRound
from autokd_mm.engine.final_settings import FinalSettings
from autokd_mm.engine.one_trial import TrialRunner
from autokd_mm.report.results import Results
from autokd_mm.search import MCTSSampler
from autokd_mm.search.reward import Outcome, Reward
from autokd_mm.space import DistillerSpace
from autokd_mm.study import lock, patience
from autokd_mm.study import study as studies
from autokd_mm.study import time_limit
from autokd_mm.study.heartbeat import Heartbeat

SEED, BEAT = 3, 0.25
LOG = 'told-'  # a worker's file in the work dir, with each trial it has told


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


def open_search(work_dir, storage):
    return studies.open_study(work_dir, MCTSSampler(seed=SEED), dict(faults=1), storage=storage)


def work(work_dir, storage, trials, seconds, place, final=False, log=None):
    """What a worker does, as SearchLoop does it.

    Args:
        seconds: that a trial takes.
        place: the name of another host, for which this process passes.
        final: with a final round.
        log: a file that gets number and reward of each trial it has told.
    """
    if place:
        socket.gethostname = lambda: place
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
    results = Results(work_dir, {}, {}, None, 'teacher.pth', 'MCTSSampler', {})  # no best config
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
