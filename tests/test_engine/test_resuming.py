"""Where an interrupted training goes on."""
import os

import pytest
import torch
from mmengine.config import Config

from autokd_mm.engine.resuming import (TRAINED, latest_checkpoint, refuse_another_training,
                                       remember_training)
from autokd_mm.errors import ConfigError


@pytest.fixture
def work(tmp_path):
    folder = tmp_path / 'a [b]'
    folder.mkdir()
    for number in (9, 10):
        (folder / f'epoch_{number}.pth').touch()
        os.utime(str(folder / f'epoch_{number}.pth'), (number, number))
    (folder / 'best_top1_epoch_9.pth').touch()
    return folder


@pytest.mark.parametrize('noted, wanted', [
    ('/moved/away/epoch_9.pth', 'epoch_9.pth'), ('work_dirs/x/epoch_10.pth', 'epoch_10.pth'),
    ('', 'epoch_10.pth'), ('/nowhere/epoch_99.pth', 'epoch_10.pth'), (b'\xff\xfe', 'epoch_10.pth')])
def test_a_note_that_leads_nowhere(work, noted, wanted):
    assert latest_checkpoint(str(work)) is None
    (work / 'last_checkpoint').write_bytes(noted if isinstance(noted, bytes) else noted.encode())
    assert latest_checkpoint(str(work)) == str(work / wanted)


def test_a_copy_goes_on_with_its_own_and_other_storages_are_believed(work, tmp_path):
    note = work / 'last_checkpoint'
    (tmp_path / 'epoch_9.pth').touch()
    note.write_text(str(tmp_path / 'epoch_9.pth'))
    assert latest_checkpoint(str(work)) == str(work / 'epoch_9.pth')
    (work / 'epoch_9.pth').unlink()
    assert latest_checkpoint(str(work)) == str(tmp_path / 'epoch_9.pth')
    note.write_text('s3://bucket/epoch_11.pth')
    assert latest_checkpoint(str(work)) == 's3://bucket/epoch_11.pth'


def test_a_torn_checkpoint_is_not_the_last_one(work):
    note, last, before = (work / name
                          for name in ('last_checkpoint', 'epoch_10.pth', 'epoch_9.pth'))
    note.write_text(str(last))
    torch.save(dict(weights=torch.zeros(3)), str(before))
    torch.save(dict(weights=torch.zeros(3)), str(last))
    assert latest_checkpoint(str(work)) == str(last)
    last.write_bytes(last.read_bytes()[:-100])
    assert latest_checkpoint(str(work)) == str(before)
    before.write_bytes(b'')
    assert latest_checkpoint(str(work)) == str(last)  # the error names it


def function():
    return lambda: 0


def training(folder, **model):
    return Config(dict(work_dir=str(folder), model=dict(type='X', teacher_ckpt='a.pth', **model)))


def test_the_work_dir_of_another_distillation(tmp_path):
    """Every search writes `best_distiller.py`, and the work dir is called after that."""
    weight = dict(distiller=dict(losses=dict(loss=dict(loss_weight=1.0, distance=dict))))
    refuse_another_training(training(tmp_path))  # of an earlier version: nobody knows
    remember_training(training(tmp_path, **weight))
    again = training(tmp_path, **weight)
    again.model.teacher_ckpt = 'moved/a.pth'
    refuse_another_training(again)
    again.model.distiller.losses.loss.loss_weight = 0.0
    with pytest.raises(ConfigError) as info:
        refuse_another_training(again)
    assert str(info.value) == (
        f'--work-dir: {tmp_path} holds the training of another config '
        '(model.distiller.losses.loss.loss_weight: 1.0 there, 0.0 here); name another --work-dir, '
        'or go on from it with --resume FILE')
    remember_training(training(tmp_path, act=function()))
    refuse_another_training(training(tmp_path, act=function()))  # at another address in memory
    (tmp_path / TRAINED).write_text('{"model": ')
    refuse_another_training(again)  # torn
