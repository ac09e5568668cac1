"""A teacher that sees the images of a dense task larger or smaller than the student does."""
import copy

import dense_tasks
import numpy as np
import pytest
import torch
from both_roads import distilled, of_one_size, online
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope

from autokd_mm.proxy.images import cells
from autokd_mm.space.handcrafted import handcrafted


@pytest.fixture(scope='module', params=[('boxes', 2.0), ('boxes', 0.5), ('maps', 2.0)],
                ids=lambda param: f'{param[0]}-{param[1]}')
def task(request, tmp_path_factory):
    kind, scale = request.param
    folder = tmp_path_factory.mktemp(kind)
    if kind == 'boxes':
        dense_tasks.write_coco(folder)
        data, model, scope = dense_tasks.detection_datasets(folder), dense_tasks.retinanet, 'mmdet'
        layers = dict(student='neck', teacher='neck', student_logits='bbox_head.retina_cls',
                      teacher_logits='bbox_head.retina_cls')
    else:
        dense_tasks.write_maps(folder)
        data, model, scope = dense_tasks.segmentation_datasets(folder), dense_tasks.fcn, 'mmseg'
        layers = dict(student='decode_head.convs', teacher='decode_head.convs',
                      student_logits='decode_head.conv_seg',
                      teacher_logits='decode_head.conv_seg')
    task = dense_tasks.task(dense_tasks.built(data), ConfigDict(model(4)), ConfigDict(model(6)),
                            layers, scope, teacher_input=dict(scale=scale))
    # As initialised, two heads agree up to the rounding of their divergence.
    torch.nn.init.normal_(task.teacher.get_submodule(layers['teacher_logits']).weight)
    task.trainer = dense_tasks.trainer(task, task.banks(folder / 'bank'))
    return task


@pytest.fixture(autouse=True)
def scope(task):
    with DefaultScope.overwrite_default_scope(task.scope):
        yield


def test_the_bank_has_the_strides_and_cells_of_the_students_maps(task):
    trainer = task.trainer
    strides = trainer.train_images.strides
    assert {name: strides[name] for name in strides if name.startswith('logits')} == (
        dict(logits=8) if task.scope == 'mmseg' else
        {f'logits_{level}': 8 * 2**level for level in range(5)})
    bank = trainer.train_images.bank
    for row, shape in enumerate(bank.arrays['pixels'].shapes):
        for name, stride in strides.items():
            assert bank.rows(name, [row])[0].shape[1:] == cells(shape[1:], stride)


@pytest.mark.parametrize('name', ['FitNet', 'KD'])
def test_candidates_and_the_full_training_have_one_loss(task, name):
    """Of images of one size, which the online teacher sees as the bank's did."""
    spec, trainer = handcrafted(name), task.trainer
    model, candidate = online(task, spec), trainer.builder.build(spec, task.student).train()
    found, wanted = of_one_size(task, candidate, model)
    assert found == pytest.approx(wanted, rel=1e-4)
    assert found > 1e-3


def test_the_scale_matters(task):
    """It is not the loss of the teacher that sees what the student sees."""
    model = online(task, handcrafted('FitNet'))
    inputs, samples = task.trainer.train_images.inputs(model.student, np.array([0, 1]), True)
    found = distilled(model.loss(inputs, copy.deepcopy(samples)))
    model.to_teacher = None
    assert abs(distilled(model.loss(inputs, samples)) / found - 1) > 1e-3


@pytest.mark.parametrize('name', ['FitNet', 'KD'])
def test_padding_stays_masked(task, name, monkeypatch):
    """Whatever the teacher says beside the images."""
    model = online(task, handcrafted(name))
    inputs, samples = task.trainer.train_images.inputs(model.student, np.array([0, 1]), True)
    assert len({tuple(sample.img_shape) for sample in samples}) == 2
    found = distilled(model.loss(inputs, copy.deepcopy(samples)))
    brought = model.to_teacher.as_unscaled
    changed = []

    def loud(feature, size):
        maps = brought(feature, size).clone()
        for at, sample in enumerate(samples):
            stride = inputs.shape[2] / size[0]
            rows, columns = (-(-int(side) // stride) for side in sample.img_shape)
            changed.append(maps[at, :, int(rows):].numel())
            maps[at, :, int(rows):], maps[at, :, :, int(columns):] = 1e3, 1e3
        return maps

    monkeypatch.setattr(model.to_teacher, 'as_unscaled', loud)
    assert distilled(model.loss(inputs, samples)) == pytest.approx(found, rel=1e-5)
    assert sum(changed)


def test_candidates_train(task):
    outcome = task.trainer.run(handcrafted('PKD'))
    assert np.isfinite([outcome.held_out_loss, outcome.gap]).all()
