"""What is a mistake of the user's and what is none, by what raises it."""
import errno
import socket
from types import SimpleNamespace

import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.hooks import CheckpointHook, EMAHook, Hook
from mmengine.model import PretrainedInit
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Dataset

from autokd_mm.engine.mistakes import innermost, mistake
from autokd_mm.errors import (CandidateFailed, CheckpointError, ConfigError, DataError,
                              StudyError, UserError)
from autokd_mm.proxy.ranks import RankLost
from autokd_mm.safe_load import use_everywhere
from autokd_mm.study.patience import StorageAway


def raised(make):
    with pytest.raises(BaseException) as info:
        make()
    return info.value


def test_those_of_the_family():
    for cls in (ConfigError, DataError, CheckpointError, StudyError, StorageAway):
        error = cls('key: words')
        assert mistake(error) is error
    for error in (CandidateFailed('x'), RankLost('x')):
        assert mistake(error) is None


def test_raised_again_with_more_words():
    def build(quiet):
        try:
            raise ConfigError('key: words')
        except ConfigError as error:
            if quiet:
                raise ConfigError(f'levels: {error}') from None
            raise ConfigError(f'class A in a.py: {error}')  # noqa: B904  as builders do

    assert str(innermost(raised(lambda: build(False)))) == 'key: words'
    assert str(mistake(raised(lambda: build(True)))) == 'levels: key: words'


def test_of_a_dataloaders_worker():
    text = ('Caught ConfigError in DataLoader worker process 0.\nOriginal Traceback (most recent '
            'call last):\n  File "x.py", line 1, in f\nautokd_mm.errors.ConfigError: key: words\n')
    assert str(mistake(ConfigError(text))) == 'key: words'
    text = text.replace('autokd_mm.errors.ConfigError: key: words', 'KeyError: 1')
    assert mistake(KeyError(text)) is None


def test_a_prefix_that_no_weight_of_a_file_has(tmp_path):
    path = str(tmp_path / 'backbone.pth')
    torch.save(dict(state_dict={'conv1.weight': torch.ones(2)}), path)
    error = raised(lambda: PretrainedInit(path, prefix='backbone')(torch.nn.Linear(1, 1)))
    found = mistake(error)
    assert isinstance(found, CheckpointError)
    assert str(found) == (f"init_cfg.prefix='backbone.' of Linear: no name in {path} begins so, "
                          'the first is conv1.weight; prefix=None takes all')


def test_a_file_that_a_network_should_begin_with_and_that_is_not_there(tmp_path):
    path = str(tmp_path / 'gone.pth')
    use_everywhere()
    error = raised(lambda: PretrainedInit(path)(torch.nn.Linear(1, 1)))
    assert str(mistake(error)) == (f'init_cfg of Linear: checkpoint: {path} cannot be read ({path} '
                                   'can not be found.); init_cfg=None does without')


class NeedsMasks(BaseTransform):

    def transform(self, results):
        return results['masks']


class Images(Dataset):

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return NeedsMasks()(dict(index=index))


@pytest.mark.parametrize('workers', [0, 1])
def test_a_step_of_the_pipeline_that_misses_something(workers):
    found = mistake(raised(lambda: list(DataLoader(Images(), num_workers=workers))))
    assert isinstance(found, DataError) and str(found).startswith('dataset.pipeline')
    assert str(found).endswith("KeyError: 'masks'")
    assert workers or 'NeedsMasks' in str(found)


def test_memory():
    for error in (MemoryError(), raised(lambda: torch.empty(1 << 50)),
                  torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 2 GiB')):
        line = str(mistake(error))
        assert 'has not enough memory' in line and 'batch_size' in line and '\n' not in line
    assert 'the GPU' in line


def test_a_port_in_use(monkeypatch):
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv('MASTER_PORT', str(port))
        error = raised(lambda: torch.distributed.TCPStore('127.0.0.1', port, is_master=True))
    assert str(mistake(error)).startswith(f'MASTER_PORT={port}: another program listens')


def test_the_disk():
    for error in (OSError(errno.ENOSPC, 'No space left on device', '/x'),
                  RuntimeError('[enforce fail at inline_container.cc:1] . PytorchStreamWriter '
                               'failed writing file data/0: file write failed')):
        assert '--resume' in str(mistake(error))
    assert str(mistake(PermissionError(13, 'Permission denied', '/x'))) == '/x: Permission denied'


@pytest.mark.parametrize('error', [
    KeyError('x'), TypeError('x'), ValueError('x'), AssertionError('failed to load image: x'),
    RuntimeError('x'), FileNotFoundError(2, 'No such file', '/x'), ZeroDivisionError()])
def test_a_type_alone_makes_no_mistake(error):
    def fails():
        raise error

    assert mistake(raised(fails)) is None
    assert not isinstance(error, UserError)


class OfAnotherPackage(Hook):
    __module__ = 'mmdet.engine.hooks'

    def before_train_epoch(self, runner):
        runner.model.set_epoch(1)


@pytest.mark.parametrize('hook, point, values, words', [
    (OfAnotherPackage(), 'before_train_epoch', {},
     "custom_hooks.OfAnotherPackage: it cannot be used here (before_train_epoch: 'Linear' object "
     "has no attribute 'set_epoch')"),
    (CheckpointHook(save_best='coco/bbox_mAP_05', rule='greater'), 'after_val_epoch',
     dict(metrics={'coco/bbox_mAP': 1.0, 'coco/bbox_mAP_50': 1.0}),
     "default_hooks.checkpoint.save_best: 'coco/bbox_mAP_05' is unknown, did you mean "
     "'coco/bbox_mAP_50'?"),
    (EMAHook(begin_epoch=9), 'before_train', {}, 'custom_hooks.EMAHook: it cannot be used here')])
def test_hooks_of_others(hook, point, values, words):
    runner = SimpleNamespace(_hooks=[hook], model=torch.nn.Linear(1, 1), epoch=0, iter=0,
                             max_epochs=2)
    if point == 'after_val_epoch':
        hook.by_epoch = True
    line = str(mistake(raised(lambda: Runner.call_hook(runner, point, **values))))
    assert line.startswith(words), line


def test_a_fault_in_the_usual_hooks_is_ours():
    class Broken(EMAHook):
        __module__ = 'mmengine.hooks'

        def before_train(self, runner):
            raise AttributeError('x')

    runner = SimpleNamespace(_hooks=[Broken()])
    assert mistake(raised(lambda: Runner.call_hook(runner, 'before_train'))) is None


@pytest.mark.parametrize('target, words', [
    (torch.tensor([1, 200]), 'is 200, and the head has fewer classes'),
    (torch.zeros(2, 3, 3, 3, dtype=torch.long), 'several channels')])
def test_labels_that_no_head_can_count(target, words):
    scores = torch.randn(2, 11, *target.shape[1:][:2])
    error = mistake(raised(lambda: torch.nn.functional.cross_entropy(scores, target)))
    assert isinstance(error, DataError) and words in str(error)
    assert str(error).startswith('dataset: ')


def test_the_same_words_from_elsewhere_are_no_mistake():
    def fails():
        raise IndexError('Target 3 is out of bounds.')

    assert mistake(raised(fails)) is None
