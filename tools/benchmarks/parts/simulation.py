"""Workers of a search as discrete events: who waits for whom, and for how long."""
import heapq
from random import Random

QUESTIONS, HEARTBEAT = 10, 20.0  # of a trial; seconds between two beats


class Resource:
    """So many at a time, first come, first served."""

    def __init__(self, capacity=1):
        self.free, self.waiting = capacity, []


class Events:
    """Processes in the order of a clock that jumps from one event to the next.

    A process is a generator of what it does: ``('wait', seconds)``, ``('get', resource)``,
    ``('put', resource)``.
    """

    def __init__(self):
        self.queue, self.count, self.clock = [], 0, 0.0

    def push(self, at, process):
        self.count += 1
        heapq.heappush(self.queue, (at, self.count, process))

    def __iter__(self):
        """Yields before each event, and plays it."""
        while self.queue:
            self.clock, _, process = heapq.heappop(self.queue)
            yield
            self.play(process)

    def play(self, process):
        """Until it has to wait."""
        for what, value in process:
            if what == 'wait':
                self.push(self.clock + value, process)
                return
            if what == 'get':
                if not value.free:
                    value.waiting.append(process)
                    return
                value.free -= 1
            elif value.waiting:
                self.push(self.clock, value.waiting.pop(0))
            else:
                value.free += 1


class Costs:
    """Seconds of a worker's steps as straight lines over the number of finished trials.

    A write takes what it took when most processes wrote, whatever the number of trials.

    Args:
        found: what ``measure`` has kept of a storage.
        exclusive: one write at a time; otherwise as many as there were processes.
    """

    def __init__(self, found, exclusive=True):
        (low, one), (high, two) = sorted((int(n), c) for n, c in found['steps'].items())
        self.lines = {name: (one[name], (two[name] - one[name]) / (high - low), low)
                      for name in one}
        self.lines.setdefault('tell', (0.0, 0.0, 0))  # was not measured once
        processes, most = max((int(n), w) for n, w in found['writers'].items())
        self.at_once = 1 if exclusive else processes
        self.lines['write'] = self.at_once / most['per_second'], 0.0, 0

    def __call__(self, name, n):
        value, slope, low = self.lines[name]
        return max(value + max(slope, 0.0) * (n - low), 0.0)


class Search:
    """What workers do to a study, as ``Phases`` has it, and how far they are.

    Args:
        trials: so many are asked for.
        seconds: that one trains, in the mean.
        ask, tell: called with the number of a trial; None: nobody learns.
    """

    def __init__(self, events, trials, seconds, costs, ask, tell, rng):
        self.events, self.trials, self.seconds, self.costs = events, trials, seconds, costs
        self.on_ask, self.on_tell, self.rng = ask, tell, rng
        self.turn, self.disk = Resource(), Resource(costs.at_once)
        self.asked, self.told, self.busy, self.written = 0, 0, 0.0, -1e9

    def worker(self):
        while self.asked < self.trials:
            yield 'get', self.turn
            if self.asked >= self.trials:
                yield 'put', self.turn
                return
            n, number = self.told, self.asked
            yield 'wait', self.costs('look', n) + self.costs('take', n)
            self.asked += 1
            yield from self.write(n)
            yield 'put', self.turn
            yield from self.trial(n, number)
            yield from self.tell(n, number)
            yield from self.leaderboard()

    def heart(self):
        while self.asked < self.trials:
            yield 'wait', HEARTBEAT
            yield from self.write(self.told)

    def write(self, n):
        yield 'get', self.disk
        yield 'wait', self.costs('write', n)
        yield 'put', self.disk

    def trial(self, n, number):
        """Questions, then training."""
        if self.on_ask:
            self.on_ask(number)
        for _ in range(QUESTIONS):
            yield 'wait', max(self.costs('question', n) - self.costs('write', n), 0.0)
            yield from self.write(n)
        spent = self.seconds * (0.5 + self.rng.random())
        yield 'wait', spent
        self.busy += spent

    def tell(self, n, number):
        yield from self.write(n)
        yield 'get', self.turn
        yield 'wait', max(self.costs('tell', n) - self.costs('write', n), 0.0)
        yield from self.write(n)
        if self.on_tell:
            self.on_tell(number)
        self.told += 1
        yield 'put', self.turn

    def leaderboard(self):
        cost = self.costs('leaderboard', self.told)
        if self.events.clock - self.written > 20 * cost:  # as Results.fresh says
            yield 'get', self.turn
            yield 'wait', cost
            yield 'put', self.turn
            self.written = self.events.clock


def simulate(workers, trials, seconds, costs, ask=None, tell=None, seed=0):
    """Play ``workers`` until ``trials`` are told.

    Args:
        ask, tell: called when a worker has its turn, with a number from 0; None: nobody learns.

    Returns:
        Share of the workers' time in which they do not train, between the first and the last
        start of a trial; trials per second.
    """
    rng, events = Random(seed), Events()
    search = Search(events, trials, seconds, costs, ask, tell, rng)
    for _ in range(workers):
        events.push(rng.random() * 0.1, search.worker())
        events.push(rng.random() * HEARTBEAT, search.heart())
    paid, window = 0.0, None
    for _ in events:
        if window is None and search.asked >= trials:
            window, paid = events.clock, search.busy  # the last run out: nobody is idle in that
    # What is under way at the end of the window counts half, as at its beginning.
    idle = 1 - (paid + workers * seconds / 2) / (workers * window)
    return max(0.0, idle), trials / window
