"""A search over where the student starts, end to end, and the training that follows."""
import pytest
import torch
from mmengine.config import Config

from autokd_mm.registry import MODELS
from autokd_mm.report.start import start_levels
from autokd_mm.safe_load import load_weights
from autokd_mm.study.ranking import spec_of


@pytest.fixture
def config(tmp_path, tiny_config):
    """The teacher is deeper than the student, and as wide."""
    path, teacher = tmp_path / 'tiny.py', tmp_path / 'teacher.pth'
    path.write_text(tiny_config(str(teacher)) + """
model['teacher'] = dict(backbone=dict(depth=14, base_channels=4), head=dict(in_channels=16))
train_cfg.update(rejection=True, pruner=None, final_round=None, space=dict(
    transform=['logits_only'], logits=['none', 'kl'], start=['classifier'], start_lr=[0, 0.1]),
    warm_start=[dict(transform='logits_only', start='classifier', start_lr=0)])
""")
    from mmengine.registry import DefaultScope
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        torch.manual_seed(3)
        network = MODELS.build(Config.fromfile(str(path)).model.teacher)
        network.init_weights()
    torch.save(dict(state_dict=network.state_dict()), str(teacher))
    return path


def test_from_the_search_to_the_student(tool, config, tmp_path, study_of):
    folder = tmp_path / 'work'
    out = tool('search', config, '--work-dir', folder, '--trials', 1)
    assert "start=classifier: head as the teacher's (2 tensors)" in out
    trial = study_of(folder).trials[0]
    assert trial.value is not None and "the teacher's classifier (frozen) alone" in out
    found = Config.fromfile(str(folder / 'best_distiller.py'))
    assert start_levels(found) == dict(start='classifier', start_lr=0) == {
        key: value for key, value in spec_of(trial).to_dict().items() if 'start' in key}
    assert not found.model.distiller.distill_losses

    best = folder / 'best_distiller.py'
    tool('train', best, '--work-dir', tmp_path / 'train')
    teacher, trained = (load_weights(str(path))['state_dict'] for path in (
        tmp_path / 'teacher.pth', tmp_path / 'train' / 'epoch_1.pth'))
    assert torch.equal(trained['architecture.head.fc.weight'], teacher['head.fc.weight'])
    tool('export_student', tmp_path / 'train' / 'epoch_1.pth', tmp_path / 'student.pth')
    student = MODELS.build(dict(found.model.architecture, _scope_='mmpretrain'))
    student.load_state_dict(load_weights(str(tmp_path / 'student.pth'))['state_dict'], strict=True)

    # A study from before there were starts goes on in the space that it was begun in.
    old, plain = tmp_path / 'old', 'train_cfg.warm_start=[KD]'
    tool('search', config, '--work-dir', old, '--trials', 1, '--cfg-options', plain,
         'train_cfg.space.start=[own]')
    config.write_text(config.read_text() + "train_cfg['space'].pop('start')\n")
    out = tool('search', config, '--work-dir', old, '--trials', 2, '--resume', '--cfg-options',
               plain)
    assert len(study_of(old).trials) == 2 and 'as the teacher' not in out

    (tmp_path / 'teacher.pth').unlink()
    with pytest.raises(tool.Ended) as info:
        tool('train', best, '--work-dir', tmp_path / 'again')
    assert 'teacher_ckpt: there is no file' in info.value.line
