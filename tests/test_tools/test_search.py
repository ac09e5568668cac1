"""tools/search.py: every mistake is one clear line, and nothing is left half written."""
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from optuna.trial import TrialState

from autokd_mm.experience import read_whole
from autokd_mm.report import export
from autokd_mm.study.study import worker_name

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ('study.journal', 'bank', 'leaderboard.csv', 'best_distiller.py', 'teacher',
           'teacher.pth')
Usage = namedtuple('Usage', 'total used free')


def results(folder):
    return [name for name in RESULTS if (folder / name).exists()]


@pytest.fixture
def refused(search, tmp_path):
    """Run with options, expect one line on standard error; returns it."""

    def run(*args, left=(), **kwargs):
        with pytest.raises(search.Ended) as ended:
            search(*args, **kwargs)
        assert ended.value.code == 2
        assert len(ended.value.lines) == 1 and 'Traceback' not in ended.value.err
        assert ended.value.err.strip().endswith(ended.value.line)
        assert results(tmp_path / 'work') == list(left)
        return ended.value.line

    return run


# -- bad input ---------------------------------------------------------------------------------
@pytest.mark.parametrize('option, words', [
    ('train_cfg.layers.student=backbone.layer9',
     ['layers.student', "no layer 'backbone.layer9'", 'backbone.layer3', 'backbone.layer1']),
    ('train_cfg.layers.teacher_logits=head.linear', ['layers.teacher_logits', 'head.fc']),
    ('train_cfg.layers.logits=head.fc', ["layers: 'logits' is unknown", 'student_logits']),
    ('train_cfg.sampler.type=MCTSampler', ['sampler.type', "did you mean 'MCTSSampler'"]),
    ('train_cfg.sampler.explore=1', ['sampler.explore', "did you mean 'exploration'"]),
    ('train_cfg.sampler.exploration=-1', ['sampler.exploration', '>= 0']),
    ('train_cfg.space.transform=[spatial_atention]',
     ['space.transform', "did you mean 'spatial_attention'"]),
    ('train_cfg.space.distance=[cosin]', ['space.distance', "did you mean 'cosine'"]),
    ('train_cfg.space.temperatur=[1]', ['space', "did you mean 'temperature'"]),
    ('train_cfg.space.temperature=[0]', ['space.temperature', 'above 0']),
    ('train_cfg.proxy.image=100', ['proxy', "did you mean 'images'"]),
    ('train_cfg.proxy.images=0', ['proxy.images=0', 'at least 2']),
    ('train_cfg.proxy.images=1', ['proxy.images=1', 'at least 2']),
    ('train_cfg.proxy.held_out=1', ['proxy.held_out=1', 'at least 2']),
    ('train_cfg.proxy.images=5000', ['proxy.images=5000', 'the dataset has 1000']),
    ('train_cfg.reward.gaps=1', ['reward', "did you mean 'gap'"]),
    ('train_cfg.sampelr.type=MCTSSampler', ['train_cfg', "did you mean 'sampler'"]),
    ('train_cfg.trials=0', ['train_cfg.trials=0']),
    ('train_cfg.rejection.gradient_ration=1', ['rejection', "did you mean 'gradient_ratio'"]),
    ('train_cfg.rejection.gradient_ratio=[10,1]', ['rejection.gradient_ratio=[10, 1]', 'largest']),
    ('train_cfg.pruner.type=MedianPrunner', ['pruner.type', "did you mean 'MedianPruner'"]),
    ('train_cfg.pruner.patience=1', ['pruner must be a dict', 'SuccessiveHalvingPruner']),
    ('train_cfg.final_round.bests=1', ['final_round', "did you mean 'best'"]),
    ('train_cfg.final_round.length=0', ['final_round.length=0', 'at least 1']),
    ('train_cfg.full_epochs=0', ['train_cfg.full_epochs=0', 'at least 1']),
    ('train_cfg.final_rond.best=1', ['train_cfg', "did you mean 'final_round'"]),
    ('train_cfg.warm_start=[FITNET]', ['warm_start', "'FITNET' is unknown", 'FitNet']),
    ('model.teacher.head.num_classes=12', ['teacher_ckpt', 'head.fc', '12', '10']),
    ('model.teacher.head.num_classes=12 teacher_ckpt=None train_cfg.train_teacher=True',
     ['teacher has 12 classes and the student 10']),
    ('teacher_ckpt=None', ['teacher_ckpt is not set', '--cfg-options teacher_ckpt=FILE']),
    ('train_dataloader.dataset.split=trian', ['split', "did you mean 'train'"]),
])
def test_mistake_in_the_config_is_one_line(refused, option, words):
    line = refused('--cfg-options', *option.split())
    assert [word for word in words if word not in line] == []


def torn(path, teacher, tmp_path):
    path.write_bytes(teacher.read_bytes()[:2000])


def junk(path, teacher, tmp_path):
    path.write_bytes(b'not a checkpoint at all')


def missing(path, teacher, tmp_path):
    pass


def of_another_network(path, teacher, tmp_path):
    import torch
    weights = torch.load(str(teacher), weights_only=True)['state_dict']
    torch.save({name: value.reshape(-1)[:1] for name, value in weights.items()}, str(path))


def evil(path, teacher, tmp_path):
    import torch

    class Evil:

        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'evil'), )

    torch.save(dict(state_dict=Evil()), str(path))


@pytest.mark.parametrize('damage, words', [
    (missing, 'there is no file'), (junk, 'cannot be read'), (torn, 'cannot be read'),
    (of_another_network, 'is of another network'), (evil, 'cannot be read')])
def test_bad_teacher_checkpoint(refused, tiny_teacher, tmp_path, damage, words):
    path = tmp_path / 'bad.pth'
    damage(path, tiny_teacher, tmp_path)
    line = refused('--cfg-options', f'teacher_ckpt={path}')
    assert 'teacher_ckpt' in line and str(path) in line and words in line
    assert not (tmp_path / 'evil').exists()


@pytest.mark.parametrize('args', [
    ('--resume', ), ('--cfg-options', 'train_cfg.layers.student=backbone.layer9'),
    ('--cfg-options', 'train_cfg.proxy.images=995'), ('--cfg-options', 'train_cfg.warm_start=[X]')])
def test_no_teacher_is_trained_for_a_search_that_cannot_be(refused, args):
    """The shipped default, whose teacher takes a while."""
    refused(*args, config=ROOT / 'configs' / 'search' / 'digits.py')


def test_config_is_missing_or_no_search(refused, tool, tmp_path):
    assert 'CONFIG' in refused(config=tmp_path / 'nowhere.py')
    line = refused(config=ROOT / 'configs' / 'vanilla' / 'resnet8-w4_digits.py')
    assert 'is not a search config' in line and 'tools/train.py' in line


def test_option_that_is_no_key_and_value(search):
    with pytest.raises(search.Ended) as ended:
        search('--cfg-options', 'data_root')
    assert ended.value.code == 2 and 'data_root: must be KEY=VALUE' in ended.value.err


def test_option_that_is_a_dict(search):
    with pytest.raises(search.Ended) as ended:
        search('--cfg-options', 'train_cfg.final_round=dict(best=2,length=2)')
    assert ended.value.code == 2 and 'name each key, KEY.a=1 KEY.b=2' in ended.value.err
    assert 'Traceback' not in ended.value.err


def test_work_dir_of_another_search(search, refused, search_config):
    folder = search('--trials', 1, '--cfg-options', 'train_cfg.rejection=None')
    before = (folder / 'study.journal').read_bytes()
    config = (folder / search_config.name).read_bytes()
    left = ['study.journal', 'bank', 'leaderboard.csv', 'best_distiller.py']
    line = refused('--cfg-options', 'train_cfg.space.temperature=[1,4]', '--resume', left=left)
    assert 'space.temperature: [1, 4, 8, 16] there, [1, 4] here' in line
    assert '--work-dir' in line
    line = refused('--cfg-options', 'model.teacher.data_preprocessor.mean=[1.0]', '--resume',
                   left=left)
    assert 'teacher_config' in line
    line = refused('--trials', 2, left=left)
    assert '1 trials' in line and '--resume' in line
    assert (folder / 'study.journal').read_bytes() == before
    search('--dry-run', '--trials', 2)
    assert (folder / search_config.name).read_bytes() == config


@pytest.mark.parametrize('network', ['architecture', 'teacher'])
def test_a_file_that_gives_a_backbone_nothing_is_seen_first(refused, search_config, tmp_path,
                                                            network):
    torch.save({'stem.weight': torch.rand(3, 3)}, str(tmp_path / 'other.pth'))
    with search_config.open('a') as file:
        file.write(f"""
teacher_ckpt = None
model.update(teacher_ckpt=None)
train_cfg.update(train_teacher=True)
model.setdefault({network!r}, dict()).setdefault('backbone', dict()).update(init_cfg=dict(
    type='Pretrained', checkpoint={str(tmp_path / 'other.pth')!r}))
""")
    line = refused()
    assert f'model.{network}.backbone.init_cfg.checkpoint: 0% of the values' in line


@pytest.mark.parametrize('headless', [False, True])
def test_a_dry_run_promises_no_teacher_that_a_search_would_not_train(tool, search_config, headless):
    """Of ``autokd pair`` with two configs of one's own it is the next command."""
    with search_config.open('a') as file:
        file.write('\nteacher_ckpt = None\nmodel.update(teacher_ckpt=None)\n')
        if headless:
            file.write("""
model['teacher'].update(head=None)
train_cfg['layers'] = dict(student='backbone.layer3', teacher='backbone.layer3',
                           student_logits=None, teacher_logits=None)
""")
    for train, words in ((False, 'the search would not begin: teacher_ckpt is not set'),
                         (True, 'the search would not begin: train_cfg.train_teacher: the teacher '
                                'gives features alone' if headless else
                                'not trained yet, the search trains it first')):
        out = tool('search', search_config, '--dry-run', '--cfg-options',
                   f'train_cfg.train_teacher={train}')
        assert out.count(words) == 1 and 'together' in out
        assert ('not trained yet' in out) == (train and not headless)


def test_an_experience_that_cannot_be_added_to_is_seen_first(refused, tmp_path):
    (tmp_path / 'e.json').write_text('{}')
    assert 'e.json is no experience' in refused('--remember', tmp_path / 'e.json')
    assert '--remember: ' in refused('--remember', tmp_path / 'e.json' / 'below')


def test_remembered_by_whoever_ends_last(tool, search_config, study_of, tmp_path, monkeypatch):
    """As what it is about, and not as the file is called, also without worker 0."""
    monkeypatch.setenv('AUTOKD_WORKER', '1')
    monkeypatch.setenv('AUTOKD_WORKERS', '2')
    path, folder = tmp_path / 'e.json', tmp_path / 'work'

    def run(*args):
        return tool('search', search_config, '--work-dir', folder, '--cfg-options',
                    'train_cfg.final_round=None', 'train_cfg.pruner=None', '--remember', path,
                    *args)

    name = 'cifarresnet8-19k_cifarresnet8-5k_digits-1000'
    assert f'remembered as {name} in {path}, which has 1 search now' in run('--trials', 14)
    other = study_of(folder).ask()  # another worker, which lives
    other.set_user_attr('worker', worker_name())
    out = run('--trials', 15, '--resume')
    assert f'not remembered by this worker: trial {other.number} is under way' in out
    study_of(folder).tell(other, state=TrialState.FAIL)
    assert 'remembered as mine in' in run('--trials', 15, '--resume', '--remember-as', 'mine')
    assert [task.name for task in read_whole(str(path))] == ['mine']  # the same search


def test_nothing_to_resume(refused):
    line = refused('--resume')
    assert '--resume' in line and 'there is no study.journal' in line


def test_work_dir_that_cannot_be_written(tool, search, search_config, tmp_path):
    (tmp_path / 'file').write_text('')
    for path in ('file', 'file/below'):
        with pytest.raises(search.Ended) as ended:
            tool('search', search_config, '--work-dir', tmp_path / path)
        assert ended.value.code == 2 and len(ended.value.err.splitlines()) == 1
        assert '--work-dir' in ended.value.line and 'cannot be written' in ended.value.line


def test_disk_too_small_for_the_bank(refused, search, study_of, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr(shutil, 'disk_usage', lambda path: Usage(0, 0, 1 << 20))
        line = refused(left=['bank'])
    assert 'are free at' in line and 'proxy.images' in line
    assert list((tmp_path / 'work' / 'bank').iterdir()) == []
    folder = search('--trials', 1, '--cfg-options', 'train_cfg.proxy.images=32',  # what it advised
                    'train_cfg.rejection=None')
    assert len(study_of(folder).trials) == 1


def test_disk_that_is_full_in_mid_search(search, study_of, monkeypatch, tmp_path):

    def full(path, text):
        raise OSError(28, 'No space left on device', path)

    with monkeypatch.context() as patch:
        patch.setattr(export, 'write_atomically', full)
        with pytest.raises(search.Ended) as ended:
            search('--cfg-options', 'train_cfg.rejection=None')
    assert ended.value.code == 2 and len(ended.value.lines) == 1
    assert 'No space left on device' in ended.value.line and '--resume' in ended.value.line
    assert len(study_of(tmp_path / 'work').trials) == 1
    folder = search('--resume', '--cfg-options', 'train_cfg.rejection=None')
    assert len(study_of(folder).trials) == 3
