"""A file is there when it is complete, and otherwise as it was."""
import os

import pytest

from autokd_mm.whole_file import put_back, replacing, whole_file


def test_written_whole(tmp_path):
    path = tmp_path / 'a.txt'
    with whole_file(str(path), 'w', newline='') as file:
        file.write('one\n')
        assert not path.exists()
    with replacing(str(path)) as unfinished:
        open(unfinished, 'w').write('two')
        assert path.read_text() == 'one\n'
    assert path.read_text() == 'two' and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize('error', [OSError(28, 'full'), KeyboardInterrupt()])
def test_nothing_changes_where_the_block_raises(tmp_path, error):
    path = tmp_path / 'a.txt'
    path.write_text('old')
    with pytest.raises(type(error)):
        with whole_file(str(path)) as file:
            file.write(b'half')
            raise error
    assert path.read_text() == 'old' and list(tmp_path.iterdir()) == [path]


def test_a_folder_takes_the_place_of_an_empty_one_only(tmp_path):
    path = tmp_path / 'folder'
    path.mkdir()
    with replacing(str(path)) as unfinished:
        os.mkdir(unfinished)
        open(os.path.join(unfinished, 'one'), 'w').close()
    assert [file.name for file in path.iterdir()] == ['one']
    with pytest.raises(OSError):
        with replacing(str(path)) as unfinished:
            os.mkdir(unfinished)
    assert [file.name for file in path.iterdir()] == ['one'] and list(tmp_path.iterdir()) == [path]


def test_put_back_where_the_block_raises_or_always(tmp_path):
    path = tmp_path / 'a.py'
    with put_back(str(path), always=True):
        path.write_text('new')
    assert path.read_text() == 'new'
    for always, error, left in ((False, None, 'changed'), (True, None, 'new'),
                                (False, ValueError(), 'new')):
        path.write_text('new')
        try:
            with put_back(str(path), always):
                path.write_text('changed')
                if error:
                    raise error
        except ValueError as raised:
            assert raised is error
        assert path.read_text() == left
