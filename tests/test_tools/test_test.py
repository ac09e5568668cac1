"""tools/test.py: any checkpoint of the network, with no teacher about."""
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def trained(tool, search, tmp_path):
    best = search('--trials', 1) / 'best_distiller.py'
    tool('train', best, '--work-dir', tmp_path / 'train')
    return best, tmp_path / 'train' / 'epoch_1.pth'


def test_distilled_checkpoint_and_exported_weights_score_the_same(tool, trained, tmp_path):
    best, checkpoint = trained
    tool('export_student', checkpoint, tmp_path / 'student.pth')
    scores = []
    for number, path in enumerate((checkpoint, tmp_path / 'student.pth')):
        out = tmp_path / f'{number}.json'
        # the teacher's file does not even exist
        tool('test', best, path, '--work-dir', tmp_path / 'test', '--out', out, '--cfg-options',
             'teacher_ckpt=/nowhere.pth')
        scores.append(json.loads(out.read_text()))
    assert scores[0] == scores[1] and 0 <= scores[0]['accuracy/top1'] <= 100


def test_teacher_with_its_own_config(tool, tiny_teacher, tmp_path):
    config = tmp_path / 'teacher.py'
    config.write_text(f'_base_ = {str(ROOT / "configs/vanilla/resnet8-w32_digits.py")!r}\n'
                      'model = dict(backbone=dict(base_channels=8), head=dict(in_channels=32))\n')
    tool('test', config, tiny_teacher, '--work-dir', tmp_path / 'test', '--out',
         tmp_path / 'out.json')
    assert json.loads((tmp_path / 'out.json').read_text())['accuracy/top1'] > 50


@pytest.mark.parametrize('content, words', [
    (None, 'CHECKPOINT: there is no file'), (b'junk', 'CHECKPOINT: .* cannot be read')])
def test_bad_checkpoint(tool, search_config, tmp_path, content, words):
    path = tmp_path / 'bad.pth'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(tool.Ended, match=words) as ended:
        tool('test', search_config, path, '--work-dir', tmp_path / 'test')
    assert ended.value.code == 2 and len(ended.value.lines) == 1


def test_checkpoint_of_another_network(tool, tiny_teacher, search_config, tmp_path):
    with pytest.raises(tool.Ended, match='CHECKPOINT: .* is of another network'):
        tool('test', search_config, tiny_teacher, '--work-dir', tmp_path / 'test')


def test_classes_in_another_order(tool, trained, tmp_path):
    """As of a folder of test images without one of the classes: accuracy would be of others."""
    best, checkpoint = trained
    with pytest.raises(tool.Ended, match="CHECKPOINT: it was trained on classes in another order: "
                                         "'1' is class 1 there and class 0 of Digits") as ended:
        tool('test', best, checkpoint, '--work-dir', tmp_path / 'test', '--cfg-options',
             'test_dataloader.dataset.metainfo.classes=[1,2,3,4,5,6,7,8,9,0]')
    assert ended.value.code == 2 and len(ended.value.lines) == 1
