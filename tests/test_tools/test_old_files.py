"""What an earlier version has left still works: studies, banks, found configs and checkpoints."""
import csv
import hashlib
import shutil
from pathlib import Path

import pytest
from mmpretrain.datasets.transforms import PackInputs

OLD = Path(__file__).resolve().parents[1] / 'data' / 'version_0_1_0'


@pytest.fixture
def old(tmp_path):
    shutil.copytree(str(OLD), str(tmp_path / 'old'))
    return tmp_path / 'old'


# A bank tells the pipeline that filled it, and OneDL's packs more by default than the original one.
of_one_set = pytest.mark.skipif('ori_kp' not in PackInputs.DEFAULT_META_KEYS,
                                reason="its bank was written with OneDL's packages")


def rows(folder):
    with open(str(folder / 'leaderboard.csv'), newline='') as file:
        return {row['trial']: row for row in csv.DictReader(file)}


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob('*')) if path.is_file()}


@of_one_set
def test_a_study_goes_on_with_its_bank(tool, tiny_config, old, tmp_path):
    config = tmp_path / 'tiny.py'
    config.write_text(tiny_config(str(old / 'teacher.pth')))
    before, bank = rows(old / 'search'), digests(old / 'search' / 'bank')
    tool('search', config, '--work-dir', old / 'search', '--resume', '--trials', 4,
         '--cfg-options', 'train_cfg.final_round=None')
    after = rows(old / 'search')
    assert len(after) > len(before) and digests(old / 'search' / 'bank') == bank
    for number, row in before.items():
        for name in ('reward', 'state', 'distance', 'transform', 'gap'):
            assert after[number].get(name) == row.get(name)


@of_one_set
def test_a_found_config_trains_from_a_bank(tool, old, tmp_path):
    best, teacher = old / 'search' / 'best_distiller.py', f'teacher_ckpt={old / "teacher.pth"}'
    bank = digests(old / 'teacher_bank')
    out = tool('train', best, '--work-dir', tmp_path / 'train', '--teacher-bank',
               old / 'teacher_bank', '--cfg-options', teacher)
    assert 'checked in' in out and digests(old / 'teacher_bank') == bank


def test_a_checkpoint_is_read(tool, old, tmp_path):
    best, teacher = old / 'search' / 'best_distiller.py', f'teacher_ckpt={old / "teacher.pth"}'
    out = tool('test', best, old / 'epoch_1.pth', '--work-dir', tmp_path / 'test',
               '--cfg-options', teacher)
    assert 'accuracy/top1: 10.3853' in out  # what that version said of it
    out = tool('export_student', old / 'epoch_1.pth', tmp_path / 'student.pth')
    assert 'tensors' in out and (tmp_path / 'student.pth').is_file()
