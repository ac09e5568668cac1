"""tools/search.py: mistakes, interruptions, workers."""
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import pytest
from optuna.trial import TrialState

from autokd_mm.engine import export
from autokd_mm.engine import study as studies
from autokd_mm.engine.progress import Display
from autokd_mm.engine.proxy_trainer import ProxyTrainer

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ('study.journal', 'bank', 'leaderboard.csv', 'best_distiller.py', 'teacher',
           'teacher.pth')
Usage = namedtuple('Usage', 'total used free')
# Trials of half a second, long enough to be hit in the middle.
SLOW = ('--trials', '6', '--cfg-options', 'train_cfg.proxy.epochs=12')


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
    ('train_cfg.warm_start=[FITNET]', ['warm_start', "'FITNET' is unknown", 'FitNet']),
    ('model.teacher.head.num_classes=12', ['teacher_ckpt', 'head.fc', '12', '10']),
    ('model.teacher.head.num_classes=12 teacher_ckpt=None train_cfg.train_teacher=True',
     ['teacher has 12 classes and the student 10']),
    ('model.architecture.train_cfg.augments.type=Mixup '
     'model.architecture.train_cfg.augments.alpha=0.2',
     ['model.architecture.train_cfg', 'mixup', 'cached teacher']),
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


def test_work_dir_of_another_search(search, refused, tmp_path):
    folder = search('--trials', 1)
    before = (folder / 'study.journal').read_bytes()
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
    folder = search('--trials', 1, '--cfg-options', 'train_cfg.proxy.images=32')  # what it advised
    assert len(study_of(folder).trials) == 1


def test_disk_that_is_full_in_mid_search(search, study_of, monkeypatch, tmp_path):

    def full(path, text):
        raise OSError(28, 'No space left on device', path)

    with monkeypatch.context() as patch:
        patch.setattr(export, 'write_atomically', full)
        with pytest.raises(search.Ended) as ended:
            search()
    assert ended.value.code == 2 and len(ended.value.lines) == 1
    assert 'No space left on device' in ended.value.line and '--resume' in ended.value.line
    assert len(study_of(tmp_path / 'work').trials) == 1
    assert len(study_of(search('--resume')).trials) == 3


# -- interruptions -----------------------------------------------------------------------------
def finished(study):
    return [(trial.params, trial.value) for trial in studies.finished(study)]


@pytest.fixture
def quiet(search, study_of):
    """What an uninterrupted search does."""
    return finished(study_of(search(*SLOW, work_dir='quiet')))


def start(folder, config, *args):
    log = open(str(folder.parent / 'log'), 'ab')
    return subprocess.Popen(
        [sys.executable, str(ROOT / 'tools' / 'search.py'), str(config), '--work-dir', folder.name,
         *args], cwd=str(folder.parent), stdout=log, stderr=log,
        env=dict(os.environ, OMP_NUM_THREADS='1'))


@pytest.mark.timeout(300)
def test_kill_9_and_resume(search, study_of, quiet, search_config, tmp_path):
    folder = tmp_path / 'killed'
    process = start(folder, search_config, *SLOW)
    journal = folder / 'study.journal'
    deadline = time.monotonic() + 200
    # The third trial has its distiller: it trains.
    while not journal.exists() or journal.read_bytes().count(b'"spec"') < 3:
        assert process.poll() is None, (tmp_path / 'log').read_text()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(random.random() * 0.2)
    process.kill()
    assert process.wait() == -signal.SIGKILL

    killed = study_of(folder)
    before = finished(killed)
    assert before == quiet[:len(before)] and len(before) >= 2
    running = [trial for trial in killed.trials if trial.state == TrialState.RUNNING]
    assert len(running) <= 1

    search('--resume', *SLOW, work_dir='killed')
    resumed = study_of(folder)
    assert finished(resumed) == quiet
    assert finished(resumed)[:len(before)] == before
    for trial in running:
        told = resumed.trials[trial.number]
        assert told.state == TrialState.FAIL and told.user_attrs['interrupted'] is True
        again = [other for other in resumed.trials
                 if other.user_attrs.get('retry_of') == trial.number]
        assert len(again) == 1 and again[0].state == TrialState.COMPLETE
        assert dict(again[0].params, **trial.params) == again[0].params
    assert len((folder / 'leaderboard.csv').read_text().splitlines()) == 7


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signal_and_resume(search, study_of, quiet, tmp_path, monkeypatch, number):
    train, calls = ProxyTrainer._loss, []

    def loss(self, *args):
        calls.append(1)
        if len(calls) == 24 * 3 + 9:  # the third trial, behind the baseline
            os.kill(os.getpid(), number)
        return train(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(ProxyTrainer, '_loss', loss)
        with pytest.raises(search.Ended) as ended:
            search(*SLOW)
    assert ended.value.code == 130 and len(ended.value.lines) == 1
    assert '--resume' in ended.value.line and 'Traceback' not in ended.value.err
    study = study_of(tmp_path / 'work')
    assert finished(study) == quiet[:2]
    assert study.trials[2].user_attrs['interrupted'] is True
    assert not (tmp_path / 'work' / 'best_distiller.py').exists()
    assert finished(study_of(search('--resume', *SLOW))) == quiet


def test_torn_journal_and_unfinished_files(search, study_of, tmp_path):
    folder = search('--trials', 2)
    with open(str(folder / 'study.journal'), 'ab') as file:
        file.write(b'{"op_code":5,"trial_id":1,"va')
    for name in ('bank/train.unfinished-1', 'bank/held_out.unfinished-2'):
        (folder / name).mkdir()
    for name in ('leaderboard.csv.unfinished-1', 'teacher.pth.unfinished-1'):
        (folder / name).write_text('half')
    (folder / 'bank' / 'train' / 'feature.npy').write_bytes(b'torn')
    search('--resume', '--trials', 4)
    assert len(finished(study_of(folder))) == 4
    assert not list(folder.glob('**/*unfinished*'))


def test_resume_of_a_finished_search_writes_the_results_again(search, study_of):
    folder = search('--trials', 2)
    best = (folder / 'best_distiller.py').read_text()
    (folder / 'best_distiller.py').unlink()
    search('--trials', 2, '--resume')
    assert (folder / 'best_distiller.py').read_text() == best
    assert len(study_of(folder).trials) == 2


# -- workers and places ------------------------------------------------------------------------
def test_only_the_first_worker_draws(search, monkeypatch):
    drawn = []
    init = Display.__init__

    def note(self, enabled=True, console=None):
        drawn.append(enabled)
        init(self, enabled, console)

    monkeypatch.setattr(Display, '__init__', note)
    monkeypatch.setenv('AUTOKD_WORKERS', '2')
    for worker in '01':
        monkeypatch.setenv('AUTOKD_WORKER', worker)
        search('--trials', 1)
    assert drawn == [True, False]


def test_worker_that_comes_when_all_is_under_way(search, study_of, monkeypatch, tmp_path):
    """It leaves in peace, and nothing is done twice."""
    folder = search('--trials', 1)
    study = study_of(folder)
    trial = study.ask()
    trial.set_user_attr(studies.WORKER, 'another-host:1:1')
    monkeypatch.setenv('AUTOKD_WORKERS', '2')
    search('--trials', 2)
    assert [item.state for item in study_of(folder).trials] == [
        TrialState.COMPLETE, TrialState.RUNNING]


@pytest.mark.timeout(300)
def test_two_workers_finish_exactly_as_many_trials(search_config, study_of, tmp_path):
    process = subprocess.run(
        [str(ROOT / 'tools' / 'dist_search.sh'), str(search_config), '2', '--work-dir', 'work',
         '--trials', '7', '--cfg-options', 'train_cfg.proxy.epochs=4'],
        cwd=str(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        universal_newlines=True, timeout=280,
        env=dict(os.environ, PYTHON=sys.executable, OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='-1'))
    assert process.returncode == 0, process.stdout
    trials = study_of(tmp_path / 'work').trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 7
    assert len({str(sorted(trial.params.items())) for trial in trials}) == 7
    lines = (tmp_path / 'work' / 'leaderboard.csv').read_text().splitlines()
    assert len(lines) == 8 and (tmp_path / 'work' / 'best_distiller.py').exists()
    assert {path.name for path in (tmp_path / 'work' / 'bank').iterdir()} == {'train', 'held_out'}
