import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from autokd_mm.errors import ConfigError
from autokd_mm.registry import MODELS
from autokd_mm.teacher import checkpoint as teachers


def test_identity_is_of_the_weights(parts):
    own = copy.deepcopy(parts.teacher)
    assert teachers.teacher_id(own) == teachers.teacher_id(parts.teacher)
    own.backbone.bn1.running_mean += 1e-3
    assert teachers.teacher_id(own) != teachers.teacher_id(parts.teacher)


def test_made_from_knows_what_a_state_dict_does_not(parts):
    found = teachers.made_from(parts.teacher, parts.config)
    other = copy.deepcopy(parts.config)
    other.model.teacher.data_preprocessor.std = [1.0]
    assert teachers.made_from(parts.teacher, other)['teacher_config'] != found['teacher_config']
    other = copy.deepcopy(parts.config)
    other.model.teacher.init_cfg = dict(type='Pretrained', checkpoint='moved.pth')
    assert teachers.made_from(parts.teacher, other) == found


def test_teacher_that_says_nothing_of_images_is_trained_on_the_students(parts):
    config = copy.deepcopy(parts.config)
    config.model.teacher.pop('data_preprocessor')
    config.model.architecture.data_preprocessor.mean = [1.5]
    assert teachers.own_configs(config)[0].data_preprocessor.mean == [1.5]
    assert teachers.own_configs(parts.config)[0].data_preprocessor.mean == [78.35]


@pytest.fixture
def setting(parts, tmp_path):
    config = copy.deepcopy(parts.config)
    config.model.teacher_ckpt = config.teacher_ckpt = None
    config.work_dir = str(tmp_path)
    return config, dict(by_epoch=True, max_epochs=1, val_interval=1), str(tmp_path)


class Model:

    def __init__(self, teacher):
        self.teacher = copy.deepcopy(teacher)
        torch.nn.init.zeros_(self.teacher.head.fc.weight)
        self.student, self.to_teacher = self.teacher, None


def test_trained_once_and_kept(parts, setting, monkeypatch, tmp_path):
    config, full, folder = setting
    model = Model(parts.teacher)
    assert teachers.find_checkpoint(model.teacher, config, folder, True) is None
    path = teachers.ensure_teacher(model, config, full, folder, True)
    assert path == str(tmp_path / 'teacher.pth')
    assert model.teacher.head.fc.weight.abs().sum() > 0
    assert (tmp_path / 'teacher' / 'epoch_1.pth').is_file()
    assert not list(tmp_path.glob('*.unfinished*'))

    monkeypatch.setattr(Runner, 'from_cfg', lambda config: pytest.fail('trained again'))
    again = Model(parts.teacher)
    assert teachers.ensure_teacher(again, config, full, folder, True) == path
    assert teachers.teacher_id(again.teacher) == teachers.teacher_id(model.teacher)
    assert config.model.type == 'mmrazor.FrozenTeacherDistill' and config.work_dir == folder


def test_what_lies_there_is_taken_only_where_teachers_are_trained(parts, setting, tmp_path):
    config, full, folder = setting
    teachers.save_weights(parts.teacher.state_dict(), str(tmp_path / 'teacher.pth'))
    with pytest.raises(ConfigError, match='teacher_ckpt is not set.*teacher_ckpt=FILE'):
        teachers.ensure_teacher(Model(parts.teacher), config, full, folder, False)
    config.model.teacher_ckpt = 'given.pth'
    model = Model(parts.teacher)
    assert teachers.ensure_teacher(model, config, full, folder, True) == 'given.pth'
    assert model.teacher.head.fc.weight.abs().sum() == 0  # the algorithm has loaded it already


def test_torn_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / 'teacher.pth'
    teachers.save_weights(dict(a=torch.ones(1)), str(path))
    before = path.read_bytes()

    def full(value, file):
        open(file, 'wb').write(b'half')
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(torch, 'save', full)
    with pytest.raises(OSError):
        teachers.save_weights(dict(a=torch.zeros(1)), str(path))
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_evaluate(parts):
    from types import SimpleNamespace

    from mmengine.evaluator import Evaluator
    config = parts.config
    loader = Runner.build_dataloader(config.val_dataloader)
    loop = SimpleNamespace(dataloader=loader, evaluator=Evaluator(config.val_evaluator))
    found = teachers.evaluate(parts.model.train(), loop)
    correct = 0
    parts.teacher.eval()
    for index in range(len(loader.dataset)):
        sample = loader.dataset[index]
        data = parts.teacher.data_preprocessor(dict(inputs=[sample['inputs']]), False)
        correct += int(parts.teacher(data['inputs']).argmax()) == int(
            sample['data_samples'].gt_label)
    assert found == {'accuracy/top1': pytest.approx(100 * correct / len(loader.dataset))}
    assert found['accuracy/top1'] > 50

    def compute_metrics(results):
        raise KeyError('segm is not in results')

    metric = loop.evaluator.metrics[0]
    metric.compute_metrics = compute_metrics  # of masks, where the teacher has boxes alone
    assert teachers.evaluate(parts.model, loop) == {} and metric.results == []


def test_a_teacher_that_asks_more_of_images_than_they_have(parts, monkeypatch):
    from types import SimpleNamespace

    from mmengine.evaluator import Evaluator
    loop = SimpleNamespace(dataloader=Runner.build_dataloader(parts.config.val_dataloader),
                           evaluator=Evaluator(parts.config.val_evaluator))

    def predict(*args, **kwargs):
        raise KeyError('border')

    monkeypatch.setattr(parts.teacher, 'forward', predict)
    with pytest.raises(ConfigError, match="^model.teacher: .* cannot predict the images of "
                                          "val_dataloader .KeyError: 'border'.; .*meta_keys"):
        teachers.evaluate(parts.model, loop)


@pytest.fixture
def pair(setting):
    """The setting with two teachers, a wider one and the student's twin."""
    config, full, folder = setting
    other = copy.deepcopy(config.model.architecture)
    other.pop('data_preprocessor')
    config.model.teacher = Config(dict(
        type='mmrazor.Teachers', teachers=[config.model.teacher, other])).to_dict()
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(config.model)
    return model, config, full, folder


def test_several_teachers_are_trained_one_after_another(pair, monkeypatch, tmp_path):
    model, config, full, folder = pair
    made = teachers.ensure_teacher(model, config, full, folder, True)
    assert made == [str(tmp_path / 'teacher_0.pth'), str(tmp_path / 'teacher_1.pth')]
    for network, path in zip(model.teacher.networks(), made):
        weights = torch.load(path, weights_only=True)['state_dict']
        assert all(torch.equal(value, weights[name])
                   for name, value in network.state_dict().items())
    monkeypatch.setattr(Runner, 'from_cfg', lambda config: pytest.fail('trained again'))
    config.model.teacher_ckpt = [made[1], None]  # one is given, the other lies there
    assert teachers.find_checkpoint(pair[0].teacher, config, folder, False) is None
    with pytest.raises(ConfigError, match=r'teacher_ckpt\[1\] is not set'):
        teachers.ensure_teacher(model, config, full, folder, False)


def test_several_teachers_are_identified_together(pair):
    model, config, _, _ = pair
    found = teachers.made_from(model.teacher, config)
    assert found['teacher_config'].count('ImageClassifier') == 2
    config.model.teacher.mean_logits = 'head.fc'
    assert teachers.made_from(model.teacher, config) != found
    config.model.teacher.pop('mean_logits')
    config.model.teacher_input = dict(size=16)
    assert teachers.made_from(model.teacher, config) != found


def test_a_teacher_with_its_own_resolution_is_not_trained_on_the_students(setting):
    config, full, folder = setting
    config.model.teacher_input = dict(size=16)
    with pytest.raises(ConfigError, match='model.teacher_input'):
        teachers.train_teacher(config, full, folder)


@pytest.mark.parametrize('hook, averaged', [
    (dict(type='EMAHook', momentum=0.5), True),
    (dict(type='mmpretrain.EMAHook', momentum=0.5), True),
    (dict(type='mmpretrain.EMAHook', momentum=0.5, evaluate_on_ema=False,
          evaluate_on_origin=True), False)])
def test_the_weights_that_were_validated_are_kept(setting, monkeypatch, hook, averaged):
    config, full, folder = setting
    config.custom_hooks = [hook]
    runners, from_cfg = [], Runner.from_cfg
    monkeypatch.setattr(Runner, 'from_cfg',
                        lambda config: runners.append(from_cfg(config)) or runners[-1])
    path = teachers.train_teacher(config, full, folder)
    runner = runners[0]
    ema = next(hook for hook in runner.hooks if hasattr(hook, 'ema_model'))
    last, mean = runner.model.state_dict(), ema.ema_model.module.state_dict()
    assert not torch.equal(last['head.fc.weight'], mean['head.fc.weight'])
    kept = torch.load(path, weights_only=True)['state_dict']
    wanted = mean if averaged else last
    assert list(kept) == list(last)
    assert all(torch.equal(value, wanted[name]) for name, value in kept.items())
