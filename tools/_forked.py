"""A function in a forked process of its own, within a limit of its processor's seconds."""
import contextlib
import ctypes
import json
import os
import resource
import signal
import time
import traceback

_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux
_WAIT = 25  # a process may wait for so many times its seconds


def forked(work, seconds, log):
    """What ``work()`` returns in a forked process, as JSON; None when it took more than so many
    ``seconds`` (None: any), an empty dict when it died. What it writes goes to the file ``log``."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setsid()
            # ends with its parent, whatever ends that
            ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)
            if seconds:
                used = time.process_time()
                limit = int(used + seconds) + 1
                resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            for stream in (1, 2):
                os.dup2(output, stream)
            with os.fdopen(writing, 'w') as pipe:
                try:
                    json.dump(work(), pipe)
                except BaseException:  # told before the pipe ends, which is when the parent kills
                    with open(log, 'a') as file:
                        traceback.print_exc(file=file)
        finally:
            os._exit(0)
    os.close(writing)
    os.set_blocking(reading, False)
    start, parts, late = time.monotonic(), [], False
    while not late:
        late = seconds is not None and time.monotonic() - start > _WAIT * seconds
        try:
            part = os.read(reading, 1 << 16)
        except BlockingIOError:
            time.sleep(0.01)
            continue
        if not part:
            break
        parts.append(part)
    os.close(reading)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # and whatever the tests have left running
    status = os.waitpid(child, 0)[1]
    if late or os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU:
        return None
    try:
        return json.loads(b''.join(parts).decode())
    except ValueError:
        return {}
