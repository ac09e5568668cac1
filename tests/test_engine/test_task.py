"""What is found out before anything is written."""
import copy

import pytest
import torch
from mmengine.runner import Runner

from autokd_mm.engine.task import Task
from autokd_mm.space.errors import ConfigError
from autokd_mm.space.handcrafted import handcrafted


@pytest.fixture
def look(parts):
    loader = Runner.build_dataloader(parts.config.train_dataloader, seed=0)

    def look(config=parts.config, space=(), warm_start=(), say=lambda line: None, **values):
        arguments = dict(layers=config.train_cfg.layers, proxy=parts.settings)
        arguments.update(values)
        return Task(config, loader, parts.model, space=dict(space), warm_start=warm_start,
                    say=say, **arguments)

    return look


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
    assert {key for key in found if found[key] != changed[key]} == {
        'student', 'optim_wrapper', 'learning_rate', 'shapes'}


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
    from autokd_mm.engine.proxy_data import choose_images

    class Small:

        def __len__(self):
            return images

    with pytest.raises(ConfigError, match=f'the dataset has {images}'):
        choose_images(parts.settings, Small())
