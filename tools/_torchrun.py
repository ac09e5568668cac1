#!/usr/bin/env python3
"""``python -m torch.distributed.run`` for the ranks of a training or of one worker of a search.

What has ended the ranks stands in their own messages, so there is one line in place of its
traceback, and the exit code is that of the first to end. And it would die of SIGUSR1, which is for
the ranks of a search: they have sessions of their own (see autokd_mm/study/time_limit.py).
"""
import os
import signal
import sys


def pass_on(number, frame):
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/stat') as file:
                parent = file.read().rpartition(')')[2].split()[1]
            if parent == str(os.getpid()):
                os.kill(int(pid), number)
        except OSError:  # it has ended meanwhile
            pass


if __name__ == '__main__':
    signal.signal(signal.SIGUSR1, pass_on)
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main
    try:
        main()
    except ChildFailedError as failed:
        rank, failure = failed.get_first_failure()
        print(f'rank {rank} ended with exit code {failure.exitcode}', file=sys.stderr)
        sys.exit(max(failure.exitcode, 1))
    except SignalException as ended:
        sys.exit(128 + ended.sigval)
