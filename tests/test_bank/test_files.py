"""Locks, checksums and room on the disk, one by one."""
import hashlib
import os
import shutil
from collections import namedtuple

import pytest

from autokd_mm.bank.files import (SPARE, check_room, checksum, claim, door, filled, remove_bank,
                                  write_file, write_json)
from autokd_mm.errors import ConfigError

Usage = namedtuple('Usage', 'total used free')


def test_checksum_is_of_all_bytes(tmp_path):
    data = bytes(range(256)) * 9000  # more than two blocks of a mebibyte
    write_file(str(tmp_path / 'file'), [data[:7], data[7:]])
    assert checksum(str(tmp_path / 'file')) == hashlib.blake2b(data, digest_size=16).hexdigest()
    assert checksum(str(tmp_path / 'none')) == ''


def test_json_is_written_for_people(tmp_path):
    write_json(str(tmp_path / 'file'), dict(a=1))
    assert (tmp_path / 'file').read_text() == '{\n "a": 1\n}'


def test_a_claim_is_alone_unless_it_is_shared(tmp_path):
    lock = str(tmp_path / 'lock')
    with claim(lock) as held:
        assert held is not None
        with claim(lock, wait=False) as second:
            assert second is None
        with claim(lock, wait=False, shared=True) as second:
            assert second is None
    with claim(lock, shared=True), claim(lock, wait=False, shared=True) as second:
        assert second is not None
        with claim(lock, wait=False) as third:
            assert third is None


def test_a_claim_ends_though_a_child_has_the_file_open(tmp_path):
    lock = str(tmp_path / 'lock')
    with claim(lock) as held:
        kept = os.dup(held.fileno())
    try:
        with claim(lock, wait=False) as again:
            assert again is not None
    finally:
        os.close(kept)


def test_a_claim_keeps_what_is_in_the_file(tmp_path):
    (tmp_path / 'note').write_text('{}')
    with claim(str(tmp_path / 'note')):
        assert (tmp_path / 'note').read_text() == '{}'


def test_room_to_the_last_byte(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, 'disk_usage', lambda folder: Usage(0, 0, SPARE + (3 << 20)))
    check_room(str(tmp_path), 3 << 20, 'key', 'advice')
    with pytest.raises(ConfigError, match='^key: the feature bank needs 3 MiB and 64 MiB to spare, '
                                          '67 MiB are free at .*; advice$'):
        check_room(str(tmp_path), (3 << 20) + 1, 'key', 'advice')


def test_filled(tmp_path):
    assert not filled(str(tmp_path / 'none')) and not filled(str(tmp_path))
    (tmp_path / 'file').write_text('')
    assert filled(str(tmp_path)) and not filled(str(tmp_path / 'file'))


@pytest.mark.parametrize('name, own', [
    ('manifest.json', True), ('plan.json', True), ('block-00012.json', True),
    ('neck[0].00003.npy', True), ('feature.shape.00000.npy.unfinished-77', True),
    ('manifest.json.bak', False), ('notes.npy', False), ('my_manifest.json', False)])
def test_only_what_a_bank_has_written_is_removed(tmp_path, name, own):
    folder = tmp_path / 'bank'
    folder.mkdir()
    (folder / name).write_text('')
    if own:
        remove_bank(str(folder))
        assert not folder.exists()
    else:
        with pytest.raises(ConfigError, match=f'it holds {name}; name another'):
            remove_bank(str(folder))
        assert (folder / name).exists()


def test_the_door_stands_beside_the_bank(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert door('bank/train') == door('bank/train/') == str(tmp_path / 'bank' / '.train.lock')


def test_the_first_by_name_is_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(os, 'listdir', lambda folder: ['c', 'b', 'manifest.json'])
    with pytest.raises(ConfigError, match='it holds b; name another'):
        remove_bank(str(tmp_path))
