"""From two names to a dry run and a training, by the tools."""
from pathlib import Path

import pytest
import torch
from mmengine.registry import DefaultScope

from autokd_mm.engine.config import load_config
from autokd_mm.registry import MODELS

DISTILLED = Path(__file__).resolve().parents[2] / 'configs' / 'distill'
PAIR = 'vanilla/resnet8-w32_digits', 'vanilla/resnet8-w4_digits'


@pytest.fixture
def teacher(tmp_path):
    """A checkpoint of a teacher that knows nothing."""
    config = load_config(str(DISTILLED.parent / f'{PAIR[0]}.py'))
    with torch.random.fork_rng(), DefaultScope.overwrite_default_scope('mmpretrain'):
        network = MODELS.build(config.model)
    torch.save(dict(state_dict=network.state_dict()), str(tmp_path / 'teacher.pth'))
    return tmp_path / 'teacher.pth'


def test_two_names_and_a_dry_run(tool, tmp_path):
    out = tmp_path / 'pair.py'
    said = tool('make_pair', *PAIR, '--out', out)
    assert 'features: the last stage of the backbone: backbone.layer3' in said
    assert 'runners-up' in said and f'autokd search {out} --dry-run' in said
    said = tool('search', out, '--dry-run', '--work-dir', tmp_path / 'work')
    assert 'student: backbone.layer3 (16 x 2 x 2), logits head.fc (10)' in said
    assert 'warning: ' not in said


@pytest.mark.timeout(300)
def test_search_and_its_recipe_on_another_pair(tool, tmp_path, teacher):
    """What a search of a pair finds is trained on the same pair the other way."""
    out, work = tmp_path / 'pair.py', tmp_path / 'work'
    tool('make_pair', *PAIR, '--out', out)
    small = ['train_cfg.proxy.images=64', 'train_cfg.proxy.held_out=32', 'train_cfg.proxy.epochs=1',
             'train_cfg.proxy.batch_size=32', 'train_cfg.final_round=None']
    options = ['--cfg-options', f'teacher_ckpt={teacher}', *small]
    tool('search', out, '--trials', 2, '--work-dir', work, *options)
    said = tool('make_pair', PAIR[0], PAIR[0], '--out', tmp_path / 'again.py', '--distiller',
                work / 'best_distiller.py')
    assert 'distiller: ' in said and 'autokd train' in said and 'tried first' not in said
    tool('train', tmp_path / 'again.py', '--work-dir', tmp_path / 'train', '--cfg-options',
         f'teacher_ckpt={teacher}', 'train_cfg.max_epochs=1')
    assert (tmp_path / 'train' / 'epoch_1.pth').is_file()


def test_a_method_of_the_package_by_its_name(tool, tmp_path):
    said = tool('make_pair', *PAIR, '--distiller', 'distill/pkd_resnet56_resnet20_cifar10', '--out',
                tmp_path / 'pkd.py')
    assert 'distiller: feature > channel-wise > pearson via conv1x1 x5' in said
    loss, = load_config(str(tmp_path / 'pkd.py')).model.distiller.distill_losses.values()
    assert loss.distance == 'pearson' and loss.loss_weight == 5


@pytest.mark.parametrize('argv, line', [
    (['resnet18_8xb32_in1', 'resnet18_8xb32_in1k'], "error: TEACHER: 'resnet18_8xb32_in1' is no "
     'file and no config of an installed package; the nearest are resnet18_8xb32_in1k, '),
    ([PAIR[0], 'search/digits'], 'error: STUDENT: its config is of a '
     'mmrazor.FrozenTeacherDistill, which has networks in it'),
    (['weights.pth', PAIR[1]], 'error: TEACHER: Only py/yml/yaml/json type are supported'),
    ([*PAIR, '--distiller', 'weights.pth'], 'error: --distiller: Only py/yml/yaml/json'),
    ([*PAIR, '--distiller', 'nowhere.py'], 'error: --distiller: ')])
def test_mistakes_are_one_line(tool, tmp_path, monkeypatch, argv, line):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'weights.pth').touch()
    with pytest.raises(tool.Ended) as ended:
        tool('make_pair', *argv, '--out', tmp_path / 'pair.py')
    assert ended.value.code == 2 and ended.value.line.startswith(line)
    assert 'CONFIG' not in ended.value.line
    assert 'Traceback' not in ended.value.err and len(ended.value.lines) == 1
