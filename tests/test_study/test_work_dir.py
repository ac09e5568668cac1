import multiprocessing

import pytest

from autokd_mm.study.work_dir import WorkDir


def hold(path, name, held, end):
    with getattr(WorkDir(path), name)():
        held.set()
        end.wait(30)


@pytest.mark.parametrize('name, other', [('alone', 'turn'), ('turn', 'alone')])
def test_one_worker_at_a_time(tmp_path, name, other):
    """A lock keeps other processes out of itself, and lets them into the other one."""
    context = multiprocessing.get_context('fork')
    held, end, second = context.Event(), context.Event(), context.Event()
    process = context.Process(target=hold, args=(str(tmp_path), name, held, end))
    waiting = context.Process(target=hold, args=(str(tmp_path), name, second, end))
    process.start()
    try:
        assert held.wait(30)
        with getattr(WorkDir(str(tmp_path)), other)():
            pass
        waiting.start()
        assert not second.wait(0.5)
        end.set()
        assert second.wait(30)
    finally:
        end.set()
        process.join(30)
        waiting.join(30)
    assert process.exitcode == waiting.exitcode == 0


def test_halves_of_files_are_swept(tmp_path):
    folder = tmp_path / 'a[b]'
    folder.mkdir()
    for name in ('leaderboard.csv', 'leaderboard.csv.unfinished-3', 'x.py.unfinished-abc'):
        (folder / name).write_text('')
    WorkDir(str(folder)).sweep()
    assert sorted(path.name for path in folder.iterdir()) == ['.turn.lock', 'leaderboard.csv']
