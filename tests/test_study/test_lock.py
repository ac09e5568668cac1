import subprocess
import sys

import pytest

from autokd_mm.errors import ConfigError
from autokd_mm.study import lock

HOLD = '''import fcntl, sys, time
file = open(sys.argv[1], 'a')
fcntl.flock(file, fcntl.LOCK_EX)
print('held', flush=True)
time.sleep(float(sys.argv[2]))
'''


def hold(path, seconds):
    process = subprocess.Popen([sys.executable, '-SE', '-c', HOLD, str(path), str(seconds)],
                               stdout=subprocess.PIPE)
    assert process.stdout.readline().strip() == b'held'
    return process


def test_waits_for_the_other_and_says_so_once(tmp_path):
    path = tmp_path / 'lock'
    process, said = hold(path, 0.5), []
    with lock.exclusive(str(path), lambda: said.append(process.poll())):
        assert process.wait() == 0
    assert said == [None]
    with lock.exclusive(str(path), lambda: said.append('again')):
        pass
    assert said == [None]
    process.stdout.close()


def test_a_killed_holder_leaves_it_free(tmp_path):
    path = tmp_path / 'lock'
    process = hold(path, 60)
    process.kill()
    process.wait()
    with lock.exclusive(str(path), lambda: pytest.fail('it is free')):
        pass
    process.stdout.close()


def test_free_again_after_an_error(tmp_path):
    for _ in range(2):
        with pytest.raises(KeyError), lock.exclusive(str(tmp_path / 'lock'),
                                                     lambda: pytest.fail('it is free')):
            raise KeyError


@pytest.mark.parametrize('workers, worker, expected', [
    (None, None, (1, 0)), ('', '', (1, 0)), ('4', '3', (4, 3)), ('0', '0', (1, 0))])
def test_which_worker(monkeypatch, workers, worker, expected):
    for name, value in (('AUTOKD_WORKERS', workers), ('AUTOKD_WORKER', worker)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert (lock.workers(), lock.worker()) == expected


def test_nonsense_names_the_variable(monkeypatch):
    monkeypatch.setenv('AUTOKD_WORKERS', 'two')
    with pytest.raises(ConfigError, match="AUTOKD_WORKERS='two'"):
        lock.workers()
