"""What is found out before anything is written."""
import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from mmengine.runner import Runner

from autokd_mm.errors import ConfigError
from autokd_mm.space.handcrafted import handcrafted
from autokd_mm.task import task as task_module
from autokd_mm.task.task import Task


@pytest.fixture
def look(parts):
    loader = Runner.build_dataloader(parts.config.train_dataloader, seed=0)

    def look(config=parts.config, space=(), warm_start=(), say=lambda line: None, **values):
        arguments = dict(layers=config.train_cfg.layers, proxy=parts.settings)
        arguments.update(values)
        return Task(config, loader, parts.model, space=dict(space), warm_start=warm_start,
                    say=say, **arguments)

    return look


def without_logits(parts):
    return {key: value for key, value in parts.config.train_cfg.layers.items()
            if 'logits' not in key}


def test_the_student_is_always_the_same(look):
    torch.rand(5)
    one, two = (look().student.state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_space_fits_the_tensors_and_says_what_is_left_out(look):
    said = []
    task = look(say=said.append)
    shapes = task.space.shapes
    assert (shapes.batch, shapes.channels, shapes.height, shapes.classes, shapes.same) == (
        32, 32, 2, 10, False)
    assert f'{task.space.count():,} distillers' in said
    assert sum('a 4x4 grid needs a map of at least 4x4' in line for line in said) == 1


def test_first_distillers_get_the_connector_they_need(look):
    task = look(warm_start=['FitNet', handcrafted('KD').to_dict()])
    assert task.first == [task.space.params(handcrafted('FitNet', same_shape=False)),
                          task.space.params(handcrafted('KD'))]
    assert 'conv1x1' in task.first[0].values()


def test_one_more_that_comes_first(look, parts):
    task = look(warm_start=['AT'])
    kd = task.space.params(handcrafted('KD'))
    assert task.add_first('KD') == kd and task.add_first('KD') == kd
    assert task.first[1:] == [kd]
    assert look(layers=without_logits(parts)).add_first('KD') is None  # nothing to compare


def test_a_metric_that_is_not_measured_is_said_to_be(look, parts):
    layers, said = without_logits(parts), []
    assert not look(layers=layers, say=said.append).has_metric
    lines = [line for line in said if "train_cfg.metric='accuracy/top1'" in line]
    assert len(lines) == 1
    assert look(layers=layers, say=said.append, metric='accuracy/top1').has_metric
    assert look(say=said.append).has_metric
    assert [line for line in said if 'train_cfg.metric' in line] == lines


def test_every_layer_has_a_space_for_its_own_tensors(look, parts):
    import json
    stages = [f'backbone.layer{i}' for i in (1, 2, 3)]
    layers = dict(parts.config.train_cfg.layers, student=stages, teacher=stages)
    said = []
    task = look(layers=dict(layers, shared=False), warm_start=['KD', 'ReviewKD-pooling'],
                say=said.append)
    assert [(name, shapes.channels, shapes.height, shapes.student_positions)
            for name, shapes in task.space.shapes.items()] == [
        ('feature_0', 8, 8, 64), ('feature_1', 16, 4, 16), ('feature_2', 32, 2, 4)]
    assert f'{task.space.count():,} distillers' in said and task.space.count() > 1e12
    assert task.first[0]['feature_1/transform'] == 'left_out'
    assert [task.first[1][f'feature_{i}/intra'] for i in range(3)] == ['multi_scale'] * 3
    found, shared = (json.loads(json.dumps(one.description(one.curve(dict(max_epochs=3)))))
                     for one in (task, look(layers=layers)))
    assert found['space'] == dict(shared['space'], transform=[
        name.replace('logits_only', 'left_out') for name in shared['space']['transform']])
    assert set(found['shapes']) == set(task.space.shapes)
    assert found['shapes']['feature_0'] == dict(shared['shapes'], channels=8, height=8, width=8)


@pytest.mark.parametrize('values, words', [
    (dict(warm_start=['FitNett']), "warm_start: 'FitNett' is unknown, did you mean 'FitNet'"),
    (dict(warm_start=['CRD']), 'CRD is not in the space'),
    (dict(warm_start=[dict(transfrom='none')]), "'transfrom' is unknown.*mean 'transform'"),
    (dict(space=dict(distnce=['l2'])), "space: level 'distnce' is unknown.*mean 'distance'"),
    (dict(space=dict(distance=['l3'])), "space.distance: 'l3' is unknown"),
    (dict(space=dict(transform=['attention'])), "space.transform: 'attention' is unknown"),
    (dict(space=dict(transform=['logits_only'], logits=['none'])), 'space.transform: none of'),
])
def test_mistakes(look, values, words):
    with pytest.raises(ConfigError, match=words):
        look(**values)


def test_description_is_json_and_tells_tasks_apart(look, parts):
    import json
    task = look()
    found = json.loads(json.dumps(task.description(task.curve(dict(max_epochs=30)))))
    other = copy.deepcopy(parts.config)
    other.model.architecture.backbone.base_channels = 8
    other.model.architecture.head.in_channels = 32
    other.optim_wrapper.optimizer.lr = 0.3
    task = look(other)
    changed = json.loads(json.dumps(task.description(task.curve(dict(max_epochs=40)))))
    # As wide as the teacher, the student may begin with its classifier.
    assert {key for key in found if found[key] != changed[key]} == {
        'student', 'optim_wrapper', 'learning_rate', 'shapes', 'space'}
    assert changed['shapes']['starts'] == ['classifier'] and 'starts' not in found['shapes']


def test_curve_of_a_loop_that_counts_iterations(look, parts):
    config = copy.deepcopy(parts.config)
    config.param_scheduler = dict(type='MultiStepLR', by_epoch=False, milestones=[50], gamma=0.1)
    curve = look(config).curve(dict(type='IterBasedTrainLoop', max_iters=100))
    assert curve == pytest.approx([1.0] * 50 + [0.1] * 50)


def test_held_out_images_have_no_augmentation(look, parts):
    datasets = look().datasets()
    assert len(datasets['train']) == len(datasets['held_out']) == 1000
    assert [type(step).__name__ for step in datasets['held_out'].pipeline.transforms] == [
        'PackInputs']


@pytest.mark.parametrize('images', [0, 1])
def test_dataset_that_is_too_small(look, parts, images):
    from autokd_mm.proxy.choice import choose_images

    class Small:

        def __len__(self):
            return images

    with pytest.raises(ConfigError, match=f'the dataset has {images}'):
        choose_images(parts.settings, Small())


def test_first_stages_are_frozen_in_every_student(look, parts):
    task = look(proxy=replace(parts.settings, frozen=('backbone.conv1', 'backbone.layer1')))
    assert task.frozen == ('backbone.conv1', 'backbone.layer1', 'backbone.bn1')
    for student in (task.student, task.fresh_student(7)):
        frozen = {name.split('.')[1] for name, parameter in student.named_parameters()
                  if not parameter.requires_grad}
        assert frozen == {'conv1', 'bn1', 'layer1'}
    assert all(parameter.requires_grad for parameter in parts.model.architecture.parameters())


@pytest.mark.parametrize('values, words', [
    (dict(frozen=('backbone.layr1', )), "proxy.frozen: .* has no layer 'backbone.layr1'"),
    (dict(frozen=('backbone.layer1', )), 'proxy.frozen: trainable layers run before'),
    (dict(frozen=('backbone', )), "everything up to layers.student='backbone.layer3' is frozen"),
    (dict(images=0.9, held_out=0.2), 'proxy.images=900 and proxy.held_out=200 need 1100'),
    (dict(images=0.9, held_out=0.2, select='teacher_entropy'), 'proxy.images=900'),
])
def test_proxy_that_does_not_fit(look, parts, values, words):
    with pytest.raises(ConfigError, match=words):
        look(proxy=replace(parts.settings, **values))


def test_layers_are_looked_at_in_the_proxys_size(look, parts):
    task = look(proxy=replace(parts.settings, input_size=16))
    assert task.layers.pairs[0].teacher_shape == (32, 4, 4)
    assert task.layers.pairs[0].student_shape[1:] == (4, 4)
    assert task.space.shapes.height == 4


@pytest.fixture
def by_entropy(look, parts, tmp_path):
    config = copy.deepcopy(parts.config)
    config.work_dir = str(tmp_path)
    settings = replace(parts.settings, select='teacher_entropy', images=48, held_out=600)
    return lambda **values: look(config, **{**dict(proxy=settings), **values})


def test_images_chosen_by_the_teachers_entropy(by_entropy, parts, tmp_path, monkeypatch):
    said = []
    task = by_entropy(say=said.append)
    assert not (tmp_path / 'bank').exists()  # a teacher may still have to be trained
    images = task.images
    assert len(images['train']) == 48 and not set(images['train']) & set(images['held_out'])
    assert "the teacher's entropy on 400 images decides which are taken" in said
    # The strata of all candidates are met by hand: 400 / 48 of them each.
    with np.load(str(tmp_path / 'bank' / 'entropy.npz'), allow_pickle=False) as found:
        pool, values = found['indices'], found['entropy']
    assert len(pool) == 400 and not set(pool) & set(images['held_out'])
    ranks = np.sort(np.searchsorted(np.sort(values), values[np.isin(pool, images['train'])]))
    assert np.all(np.abs(ranks - (np.arange(48) + 0.5) * 400 / 48) <= 400 / 48 + 1)

    def again(*args, **values):
        raise AssertionError('computed again')

    monkeypatch.setattr(task_module, 'teacher_entropy', again)
    other = by_entropy().images
    assert all(np.array_equal(images[name], other[name]) for name in images)


def test_another_teacher_is_asked_again(by_entropy, parts, monkeypatch):
    assert len(by_entropy().images) == 2
    asked = []
    monkeypatch.setattr(task_module, 'teacher_entropy',
                        lambda *args: asked.append(args) or np.zeros(len(args[3])))
    with torch.no_grad():
        parts.teacher.head.fc.bias += 1
    try:
        assert len(by_entropy().images) == 2
    finally:
        with torch.no_grad():
            parts.teacher.head.fc.bias -= 1
    assert len(asked) == 1


def test_entropy_needs_the_teachers_logits(by_entropy, parts):
    layers = {key: name for key, name in parts.config.train_cfg.layers.items()
              if not key.endswith('logits')}
    with pytest.raises(ConfigError, match='proxy.select: .* needs layers.teacher_logits'):
        by_entropy(layers=layers)


def test_a_student_that_goes_to_the_cpu_goes_alone(look, parts):
    """With the preprocessor of all networks a teacher on a GPU would get images on the CPU."""
    own = parts.model.data_preprocessor
    assert look().fresh_student(0).data_preprocessor is not own
