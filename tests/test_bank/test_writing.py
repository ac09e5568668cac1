"""Writers that are killed, that are several, and that have no room."""
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple

import numpy as np
import pytest

import autokd_mm
from autokd_mm.bank import FeatureBank, Plan, writing
from autokd_mm.bank.files import claim
from autokd_mm.errors import ConfigError

Usage = namedtuple('Usage', 'total used free')

# Writes 8 shards of 2 rows, each with its process's id, and says so; `pause` seconds for each.
# Row i of `grown` has i rows.
# Without the package's own __init__, which takes seconds: a bank needs NumPy only.
WRITER = '''
import os, sys, time, types
sys.modules['autokd_mm'] = types.ModuleType('autokd_mm')
sys.modules['autokd_mm'].__path__ = [sys.argv[4]]
import numpy as np
from autokd_mm.bank import FeatureBank, Plan
path, pause, share = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
plan = Plan(dict(a=1), dict(row=((16, ), 'int64'), writer=((16, ), 'int64'),
                            grown=((16, None, 2), 'float16')), 2, dict(grown=15))
def make(start, stop):
    time.sleep(pause)
    print('making', start, flush=True)
    rows = np.arange(start, stop)
    return dict(row=rows, writer=np.full(len(rows), os.getpid()),
                grown=[np.full((row, 2), row) for row in rows])
bank = FeatureBank.open_or_build(path, plan, make, print, share=share)
assert bank.arrays['row'][:].tolist() == list(range(16))
assert [part.shape for part in bank.rows('grown', np.arange(16))] == [(i, 2) for i in range(16)]
'''


@pytest.fixture
def writer(path):
    """Start a writer; its lines are read from ``stdout``."""
    started = []

    def start(pause, share=0.0):
        started.append(subprocess.Popen(
            [sys.executable, '-W', 'ignore', '-c', WRITER, str(path), str(pause), str(share),
             os.path.dirname(autokd_mm.__file__)],
            stdout=subprocess.PIPE, universal_newlines=True))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_what_a_killed_writer_has_finished_is_kept(writer, path):
    first = writer(0.15)
    lines = [first.stdout.readline() for _ in range(4)]
    assert lines == [f'making {start}\n' for start in (0, 2, 4, 6)]
    os.kill(first.pid, signal.SIGKILL)  # while it makes the fourth or fifth
    first.wait()
    assert not path.exists()
    second = writer(0)
    out, _ = second.communicate(timeout=60)
    assert second.returncode == 0
    begun = int(out.split()[1])
    assert 4 <= begun <= 8 and len(out.splitlines()) == (16 - begun) // 2
    writers = FeatureBank(str(path)).arrays['writer'][:].tolist()
    assert writers == [first.pid] * begun + [second.pid] * (16 - begun)
    assert not list(path.glob('*unfinished*')) and len(list(path.iterdir())) == 33


def test_several_writers_share_the_shards(writer, path):
    writers = [writer(0.1, 0.0), writer(0.1, 0.5)]
    outs = [process.communicate(timeout=60)[0] for process in writers]
    assert [process.returncode for process in writers] == [0, 0]
    made = sorted(int(line.split()[1]) for out in outs for line in out.splitlines())
    assert made == list(range(0, 16, 2))  # each shard once
    assert set(FeatureBank(str(path)).arrays['writer'][:]) <= {p.pid for p in writers}


def test_one_takes_over_from_one_that_dies(writer, path):
    slow = writer(60)
    while not list(path.parent.glob('train.unfinished/block-*')):
        time.sleep(0.02)
    quick = writer(0, 0.5)
    while len(list(path.parent.glob('train.unfinished/row.*.npy'))) < 7:
        time.sleep(0.02)
    assert quick.poll() is None and not path.exists()  # it waits for the first shard
    slow.kill()
    slow.wait()
    quick.communicate(timeout=60)
    assert quick.returncode == 0
    assert set(FeatureBank(str(path)).arrays['writer'][:]) == {quick.pid}


def test_damage_of_the_time_of_writing_is_found(path, plan, make, warnings):
    """A shard that was complete and is cut when the writer comes back."""

    def stop(start, end):
        if start == 8:
            raise KeyboardInterrupt
        return make(start, end)

    with pytest.raises(KeyboardInterrupt):
        writing.write(str(path), plan(), stop)
    shard = path.parent / 'train.unfinished' / 'feature.00000.npy'
    shard.write_bytes(shard.read_bytes()[:-1])
    make.spans.clear()
    bank = FeatureBank.open_or_build(str(path), plan(), make, warnings.append)
    assert make.spans == [(8, 10), (0, 4)] and len(warnings) == 1
    assert bank.arrays['feature'][0, 1, 2] == 5


def test_half_a_note_is_none(path, plan, make):
    """Of a writer that was killed while it wrote the note: the block is made again."""

    def stop(start, end):
        if start:
            raise KeyboardInterrupt
        return make(start, end)

    with pytest.raises(KeyboardInterrupt):
        writing.write(str(path), plan(), stop)
    note = path.parent / 'train.unfinished' / 'block-00000.json'
    note.write_text(note.read_text()[:9])
    bank = FeatureBank.open_or_build(str(path), plan(), make, pytest.fail)
    assert make.spans == [(0, 4), (0, 4), (4, 8), (8, 10)]
    assert bank.arrays['labels'][:].tolist() == list(range(10))


def test_a_block_of_a_bank_that_was_finished_meanwhile(path, plan, make, monkeypatch):
    """The folder is renamed while this process waits for the block: it makes nothing."""
    from contextlib import contextmanager
    unfinished = path.parent / 'train.unfinished'
    unfinished.mkdir(parents=True)

    @contextmanager
    def waits(note, wait):
        with claim(note, wait) as file:
            unfinished.rename(path)
            yield file

    monkeypatch.setattr(writing, 'claim', waits)
    with pytest.raises(FileNotFoundError):
        writing._block(str(unfinished), plan(), 0, make)
    assert make.spans == []


@pytest.mark.parametrize('error', [RuntimeError, KeyboardInterrupt])
def test_no_bank_is_there_before_it_is_complete(path, plan, error):

    def fail(start, stop):
        raise error

    with pytest.raises(error):
        writing.write(str(path), plan(), fail)
    assert not path.exists()


def test_the_rest_of_another_bank_is_not_gone_on_with(path, plan, make):

    def stop(start, end):
        if start:
            raise KeyboardInterrupt
        return make(start, end)

    with pytest.raises(KeyboardInterrupt):
        writing.write(str(path), plan(dict(teacher='old')), stop)
    bank = FeatureBank.open_or_build(str(path), plan(), make, pytest.fail)
    assert make.spans == [(0, 4), (0, 4), (4, 8), (8, 10)] and bank.made_from['teacher'] == 'abc'


def test_another_bank_under_way_is_left_alone(path, plan, make):
    unfinished = path.parent / 'train.unfinished'
    unfinished.mkdir(parents=True)
    file = unfinished / 'plan.json'
    file.write_text(json.dumps(dict(plan(dict(teacher='other')).to_dict(), versions={})))
    with claim(str(file), shared=True):
        with pytest.raises(ConfigError, match='another process is writing another bank'):
            writing.write(str(path), plan(), make)
    assert file.exists() and make.spans == []


def test_progress(path, plan, make):
    seen = []
    writing.write(str(path), plan(), make, progress=lambda *args: seen.append(args))
    assert seen == [(4, 10), (8, 10), (10, 10)]


def test_a_block_that_somebody_is_at_is_not_there_yet(path, plan, make):
    folder = path.parent
    folder.mkdir()
    assert writing._rows_there(str(folder), plan()) == 0
    (folder / 'block-00000.json').write_text('{}')
    (folder / 'block-00001.json').write_text('')
    assert writing._rows_there(str(folder), plan()) == 4
    (folder / 'block-00002.json').write_text('{}')
    assert writing._rows_there(str(folder), plan()) == 6


def test_a_note_is_whole_before_it_is_on_the_disk(path, plan, make, monkeypatch):
    seen = []

    def fsync(number):
        with open(f'/proc/self/fd/{number}') as file:
            seen.append((os.path.basename(file.name), file.read()))
        sync(number)

    sync = os.fsync
    monkeypatch.setattr(os, 'fsync', lambda number: fsync(number) if os.readlink(
        f'/proc/self/fd/{number}').endswith('00001.json') else sync(number))
    writing.write(str(path), plan(), make)
    (_, text), = seen
    assert set(json.loads(text)) == {'feature', 'labels'}


def test_small_disk_is_refused_before_anything_is_written(path, plan, make, monkeypatch):
    monkeypatch.setattr(shutil, 'disk_usage', lambda folder: Usage(0, 0, 1 << 20))
    with pytest.raises(ConfigError, match='--out: the feature bank needs 0 MiB and 64 MiB to '
                                          'spare, 1 MiB are free at .*; make it smaller'):
        writing.write(str(path), plan(), make, key='--out', advice='make it smaller')
    assert make.spans == [] and not list(path.parent.glob('train*'))


def test_disk_that_fills_up_keeps_what_is_complete(path, plan, make, monkeypatch):

    def full(file):
        if len(make.spans) == 3:
            raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError, match='No space left'):
        writing.write(str(path), plan(), make)
    assert not path.exists() and not list(path.parent.glob('train.unfinished/*.unfinished-*'))
    monkeypatch.setattr(os, 'fsync', lambda file: None)
    make.spans.clear()
    FeatureBank.open_or_build(str(path), plan(), make, pytest.fail)
    assert make.spans == [(8, 10)]


def test_rows_of_another_shape_are_a_fault(path, plan):
    with pytest.raises(ValueError, match='feature: rows of shape .3,., .2, 3. expected'):
        writing.write(str(path), plan(),
                      lambda start, stop: dict(feature=np.zeros((stop - start, 3)), labels=[0]))


@pytest.mark.parametrize('rows, words', [
    ([np.zeros((2, 4)), np.zeros((1, 3))], r'boxes: a row of shape \(1, 3\), \(None, 4\) expected'),
    ([np.zeros(4)] * 2, r'boxes: a row of shape \(4,\), \(None, 4\) expected'),
    ([np.zeros((2, 4))], 'boxes: 1 rows, 2 expected')])
def test_ragged_rows_of_another_shape_are_a_fault(path, rows, words):
    ragged = Plan({}, dict(boxes=((2, None, 4), 'float32')), numbers=dict(boxes=8))
    with pytest.raises(ValueError, match=words):
        writing.write(str(path), ragged, lambda start, stop: dict(boxes=rows))
