"""Several teachers at once."""
import copy

import pytest
import torch
from mmengine.registry import DefaultScope
from pretend_device import pretend_cuda

from autokd_mm.errors import CheckpointError, ConfigError
from autokd_mm.models.distillers import feed_teacher
from autokd_mm.registry import MODELS

OTHER_SIDE = dict(type='ClsDataPreprocessor', num_classes=10, mean=[0., 0., 0.],
                  std=[255., 255., 255.], to_rgb=False)


@pytest.fixture
def teachers(configs):
    classifier, _ = configs
    return dict(type='mmrazor.Teachers', teachers=[
        classifier(channels=8), classifier(OTHER_SIDE, channels=4), classifier(None, channels=4)])


def listening(*sources):
    """A distiller with one L2 loss for each (student source, teacher source)."""
    def recorders(which):
        return {f'r{number}': dict(type='mmrazor.ModuleOutputs', source=pair[which])
                for number, pair in enumerate(sources)}

    names = [f'r{number}' for number in range(len(sources))]
    return dict(
        type='mmrazor.ConfigurableDistiller', student_recorders=recorders(0),
        teacher_recorders=recorders(1),
        distill_losses={f'loss_{name}': dict(type='mmrazor.LogitsLoss') for name in names},
        loss_forward_mappings={
            f'loss_{name}': dict(student=dict(recorder=name, from_student=True),
                                 teacher=dict(recorder=name, from_student=False))
            for name in names})


def heard(model, batch):
    """What the teacher's recorders hold behind one pass."""
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    model.run_teacher(data['inputs'], data['data_samples'])
    return {name: recorder.data_buffer[0]
            for name, recorder in model.distiller.teacher_recorders.recorders.items()}


def alone(network, own, student, batch, size=None):
    """The logits of one teacher on raw images that it normalises itself."""
    preprocessor = network.data_preprocessor if own else student.data_preprocessor
    inputs = preprocessor(copy.deepcopy(batch), False)['inputs']
    if size:
        inputs = torch.nn.functional.interpolate(inputs, size, mode='bilinear', antialias=True)
    with torch.no_grad():
        return network.head.fc(network.extract_feat(inputs)[-1])


def test_each_sees_images_as_it_was_trained(build, teachers, batch):
    pairs = [('head.fc', f'{number}.head.fc') for number in range(3)]
    model = build(teacher=teachers, distiller=listening(*pairs),
                  teacher_input=[None, dict(size=8), None])
    found = heard(model, batch)
    for number, (own, size) in enumerate([(True, None), (True, (8, 8)), (False, None)]):
        wanted = alone(model.teacher.networks()[number], own, model.student, batch, size)
        torch.testing.assert_close(found[f'r{number}'], wanted, rtol=1e-4, atol=1e-5)


def test_mean_of_the_logits(build, teachers, batch):
    model = build(teacher=dict(teachers, mean_logits='head.fc'),
                  distiller=listening(('head.fc', 'mean_logits')))
    wanted = sum(alone(network, own, model.student, batch) for network, own in zip(
        model.teacher.networks(), (True, True, False))) / 3
    torch.testing.assert_close(heard(model, batch)['r0'], wanted, rtol=1e-4, atol=1e-5)


def test_losses_and_frozen_weights(build, teachers, batch):
    model = build(teacher=teachers, distiller=listening(
        ('head.fc', '0.head.fc'), ('head.fc', '2.head.fc'))).train()
    assert not any('teacher' in name or name[0].isdigit() for name in model.state_dict())
    before = copy.deepcopy(model.teacher.state_dict())
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    losses = model(**data, mode='loss')
    assert {'distill.loss_r0', 'distill.loss_r1'} <= set(losses)
    sum(losses[name] for name in losses if 'loss' in name).backward()
    assert all(torch.equal(value, before[name])
               for name, value in model.teacher.state_dict().items())
    assert model.student.head.fc.weight.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in model.teacher.parameters())
    assert not any(module.training for module in model.teacher.modules())


def test_the_records_can_be_fed(build, teachers, batch):
    model = build(teacher=teachers, distiller=listening(('head.fc', '1.head.fc')))
    feed_teacher(model.distiller, dict(r0=torch.ones(8, 10)))
    assert model.distiller.teacher_recorders.recorders['r0'].data_buffer[0].sum() == 80


def test_one_checkpoint_for_each(build, teachers, configs, tmp_path):
    classifier, _ = configs
    paths = []
    for number, channels in enumerate((8, 4, 4)):
        torch.manual_seed(number)
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            network = MODELS.build(classifier(channels=channels))
        paths.append(str(tmp_path / f'{number}.pth'))
        torch.save(dict(state_dict=network.state_dict()), paths[-1])
    model = build(teacher=teachers, teacher_ckpt=paths, distiller=listening())
    for network, path in zip(model.teacher.networks(), paths):
        weights = torch.load(path, weights_only=True)['state_dict']
        assert torch.equal(network.head.fc.weight, weights['head.fc.weight'])
    kept = model.teacher.networks()[1].head.fc.weight.clone()
    model.init_weights()
    assert torch.equal(model.teacher.networks()[1].head.fc.weight, kept)
    with pytest.raises(ConfigError, match='3 teachers need a list of 3'):
        build(teacher=teachers, teacher_ckpt=paths[0], distiller=listening())
    with pytest.raises(CheckpointError, match=r'teacher_ckpt\[0\].*another network'):
        build(teacher=teachers, teacher_ckpt=paths[::-1], distiller=listening())
    with pytest.raises(ConfigError, match='one teacher has one checkpoint'):
        build(teacher_ckpt=paths)


def test_who_has_no_checkpoint_is_initialised(build, teachers, tmp_path):
    model = build(teacher=teachers, distiller=listening())
    first = model.teacher.networks()[0]
    path = str(tmp_path / 'first.pth')
    torch.save(first.state_dict(), path)
    model = build(teacher=teachers, teacher_ckpt=[path, None, None], distiller=listening())
    other = model.teacher.networks()[1].backbone.conv1.weight
    with torch.no_grad():
        other.zero_()
    model.init_weights()
    assert torch.equal(model.teacher.networks()[0].head.fc.weight, first.head.fc.weight)
    assert other.abs().sum() > 0


@pytest.mark.parametrize('change, words', [
    (dict(teachers=[]), 'one config or more'), (dict(teachers=None), 'one config or more'),
    (dict(mean_logits=['head.fc']), 'mean_logits: there are 3 teachers.*got 1')])
def test_mistakes(build, teachers, change, words):
    with pytest.raises(ConfigError, match=f'model.teacher.*{words}'):
        build(teacher=dict(teachers, **change), distiller=listening())


@pytest.mark.parametrize('config', [dict(scale=2), [None, dict(scale=0.5), None]])
def test_a_scale_is_for_one_teacher(build, teachers, config):
    with pytest.raises(ConfigError, match='^model.teacher_input.scale: it is for one teacher'):
        build(teacher=teachers, teacher_input=config, distiller=listening())


def test_mistakes_in_names_and_shapes(build, teachers, configs, batch):
    with pytest.raises(ConfigError, match='teacher_input: there are 3 teachers.*got 2'):
        build(teacher=teachers, teacher_input=[None, None], distiller=listening())
    model = build(teacher=dict(teachers, mean_logits='head.fcc'), distiller=listening())
    with pytest.raises(ConfigError, match=r"mean_logits: teacher 0 .*no module 'head.fcc'"):
        heard(model, batch)
    model = build(teacher=dict(teachers, mean_logits=['head.fc', 'neck', 'head.fc']),
                  distiller=listening())
    with pytest.raises(ConfigError, match='mean_logits: the teachers must give one tensor'):
        heard(model, batch)


def test_a_gpu_is_not_waited_for_by_each_of_them(build, teachers, batch):
    found = []
    with pretend_cuda() as device:
        for count in (1, 3):
            pairs = [('head.fc', f'{number}.head.fc') for number in range(count)]
            model = build(teacher=dict(teachers, teachers=teachers['teachers'][:count]),
                          distiller=listening(*pairs)).to('cuda')
            data = model.data_preprocessor(copy.deepcopy(batch), True)
            with device.counted() as waits:
                losses = model(**data, mode='loss')
                sum(losses.values()).backward()
            found.append([wait for wait in waits if wait.ours])
    assert len(losses) == 4 and found == [[], []]
