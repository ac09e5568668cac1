"""Workers of a search as discrete events: who waits for whom, and for how long."""
import heapq
from random import Random

QUESTIONS, HEARTBEAT = 10, 20.0  # of a trial; seconds between two beats


class Resource:
    """So many at a time, first come, first served."""

    def __init__(self, capacity=1):
        self.free, self.waiting = capacity, []


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


def simulate(workers, trials, seconds, costs, ask=None, tell=None, seed=0):
    """Play ``workers`` until ``trials`` are told.

    Args:
        ask, tell: called when a worker has its turn, with a number from 0; None: nobody learns.

    Returns:
        Share of the workers' time in which they do not train, between the first and the last
        start of a trial; trials per second.
    """
    turn, disk = Resource(), Resource(costs.at_once)
    queue, count, clock, rng = [], 0, 0.0, Random(seed)
    state = dict(asked=0, told=0, busy=0.0, written=-1e9)

    def write(n):
        yield 'get', disk
        yield 'wait', costs('write', n)
        yield 'put', disk

    def worker():
        while state['asked'] < trials:
            yield 'get', turn
            if state['asked'] >= trials:
                yield 'put', turn
                return
            n = state['told']
            yield 'wait', costs('look', n) + costs('take', n)
            number = state['asked']
            state['asked'] += 1
            yield from write(n)
            yield 'put', turn
            if ask:
                ask(number)
            for _ in range(QUESTIONS):
                yield 'wait', max(costs('question', n) - costs('write', n), 0.0)
                yield from write(n)
            spent = seconds * (0.5 + rng.random())
            yield 'wait', spent
            state['busy'] += spent
            yield 'get', turn
            yield from write(n)
            yield 'wait', max(costs('tell', n) - costs('write', n), 0.0)
            yield from write(n)
            if tell:
                tell(number)
            state['told'] += 1
            yield 'put', turn
            cost = costs('leaderboard', state['told'])
            if clock - state['written'] > 20 * cost:  # as Results.fresh says
                yield 'get', turn
                yield 'wait', cost
                yield 'put', turn
                state['written'] = clock

    def heart():
        while state['asked'] < trials:
            yield 'wait', HEARTBEAT
            yield from write(state['told'])

    def push(at, process):
        nonlocal count
        count += 1
        heapq.heappush(queue, (at, count, process))

    for _ in range(workers):
        push(rng.random() * 0.1, worker())
        push(rng.random() * HEARTBEAT, heart())
    paid, window = 0.0, None
    while queue:
        clock, _, process = heapq.heappop(queue)
        if window is None and state['asked'] >= trials:
            window, paid = clock, state['busy']  # the last ones run out: nobody is idle in that
        for what, value in process:
            if what == 'wait':
                push(clock + value, process)
                break
            if what == 'get':
                if value.free:
                    value.free -= 1
                    continue
                value.waiting.append(process)
                break
            if value.waiting:
                push(clock, value.waiting.pop(0))
            else:
                value.free += 1
    # What is under way at the end of the window counts half, as at its beginning.
    idle = 1 - (paid + workers * seconds / 2) / (workers * window)
    return max(0.0, idle), trials / window
