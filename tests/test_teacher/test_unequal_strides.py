"""Maps of unequal stride: in candidates, in the full training and in what is measured."""
import copy

import dense_tasks
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from both_roads import distilled, of_one_size, online
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope

from autokd_mm.layers.find import forward, inputs_for
from autokd_mm.measure.dense_evaluation import positions
from autokd_mm.measure.terms import linear_cka_gap
from autokd_mm.proxy.images import cells
from autokd_mm.space.handcrafted import handcrafted
from autokd_mm.task.factors import weigh

# Student and teacher: the first is finer in the student, the second in the teacher.
LEVELS = dict(student=['neck[0]', 'neck[2]'], teacher=['neck[2]', 'neck[1]'],
              student_logits='bbox_head.retina_cls[1]', teacher_logits='bbox_head.retina_cls[0]')
BLOCK = 'backbone.timm_model.blocks.1'
# Registers and a class token in front; images of any size.
TOKENS = dict(type='mmpretrain.TIMMBackbone', model_name='vit_small_patch14_reg4_dinov2',
              img_size=64, patch_size=16, embed_dim=16, depth=2, num_heads=2,
              dynamic_img_size=True)
CASES = {
    'boxes': dict(feature_0=(8, 32), feature_1=(32, 16), logits=(16, 8)),
    'boxes-2.0': dict(feature_0=(8, 32), feature_1=(32, 16), logits=(16, 8)),
    'tokens': dict(feature_0=(8, 16), feature_1=(32, 16), feature_2=None),
    'tokens-2.0': dict(feature_0=(8, 16), feature_1=(32, 16), feature_2=None),
    'maps': dict(feature=(8, 16), logits=(8, 16)),
    'maps-back': dict(feature=(16, 8), logits=(16, 8)),
}


@pytest.fixture(scope='module', params=CASES)
def task(request, tmp_path_factory):
    folder, arguments = tmp_path_factory.mktemp(request.param), {}
    if request.param.startswith('boxes'):
        dense_tasks.write_coco(folder)
        data, scope, layers = dense_tasks.detection_datasets(folder), 'mmdet', LEVELS
        student, teacher = dense_tasks.retinanet(4), dense_tasks.retinanet(6)
        if '-' in request.param:
            arguments.update(teacher_input=dict(scale=2.0))
    elif request.param.startswith('tokens'):
        pytest.importorskip('timm')
        dense_tasks.write_coco(folder)
        data, scope = dense_tasks.detection_datasets(folder), 'mmdet'
        layers = dict(student=['neck[0]', 'neck[2]', 'neck[1]'], teacher=[BLOCK] * 3)
        student, teacher = dense_tasks.retinanet(4), TOKENS
        if '-' in request.param:
            arguments.update(teacher_input=dict(scale=2.0))
    else:
        dense_tasks.write_maps(folder)
        data, scope = dense_tasks.segmentation_datasets(folder), 'mmseg'
        layers = dict(student='decode_head.convs', teacher='decode_head.convs',
                      student_logits='decode_head.conv_seg', teacher_logits='decode_head.conv_seg')
        back = request.param == 'maps-back'
        student, teacher = (dense_tasks.fcn(4, stride=1 + back),
                            dense_tasks.fcn(6, stride=2 - back))
    task = dense_tasks.task(dense_tasks.built(data), ConfigDict(student), ConfigDict(teacher),
                            layers, scope, **arguments)
    if task.layers.logits:
        head = task.teacher.get_submodule(layers['teacher_logits'].split('[')[0])
        torch.nn.init.normal_(head.weight)
    task.strides, task.scaled = CASES[request.param], bool(arguments)
    assert {pair.name: pair.strides for pair in task.layers.all} == task.strides
    task.trainer = dense_tasks.trainer(task, task.banks(folder / 'bank'))
    return task


@pytest.fixture(autouse=True)
def scope(task):
    with DefaultScope.overwrite_default_scope(task.scope):
        yield


def by_pixels(feature, stride, wanted, image):
    """Means over the pixels of the wanted cells."""
    pixels = feature.repeat_interleave(stride, 2).repeat_interleave(stride, 3)
    return F.avg_pool2d(pixels[:, :, :image[0], :image[1]], wanted, ceil_mode=True)


def test_the_bank_has_the_teacher_on_the_coarser_grid(task):
    images = task.trainer.train_images
    for name, strides in task.strides.items():
        strides = strides or (16, 16)
        assert images.strides[name] == max(strides)
        for row, shape in enumerate(images.bank.arrays['pixels'].shapes):
            assert images.bank.rows(name, [row])[0].shape[1:] == cells(shape[1:], max(strides))
    if task.scaled:
        return
    pixels = images.bank.rows('pixels', [0])[0]
    height, width = pixels.shape[1:]
    batch = inputs_for(task.model, torch.from_numpy(pixels)[None], teacher=True)
    heard = forward(task.teacher, task.layers.sources('teacher'), batch,
                    layouts=task.layers.layouts('teacher'))
    for name, strides in task.strides.items():
        strides = strides or (16, 16)
        expected = by_pixels(heard[name], strides[1], max(strides), (height, width))
        np.testing.assert_allclose(images.bank.rows(name, [0])[0], expected[0].numpy(),
                                   rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('name', ['FitNet', 'KD', 'CWD'])
def test_candidates_and_the_full_training_have_one_loss(task, name):
    if name == 'KD' and not task.layers.logits:
        return
    spec, trainer = handcrafted(name, task.layers.same_shape), task.trainer
    model, candidate = online(task, spec), trainer.builder.build(spec, task.student).train()
    model.distiller.load_state_dict(candidate.distiller.state_dict())
    found, wanted = of_one_size(task, candidate, model)
    # Halved, a map of the last cells is not the map of half the image to the last pixel.
    assert found == pytest.approx(wanted, rel=1e-3 if task.scaled else 1e-4)
    assert found > 1e-3


def test_no_padding_in_what_is_compared(task):
    """Whatever both say beside the images, of images of several sizes in a batch."""
    if not task.layers.logits:
        return
    spec = handcrafted('KD')
    model = online(task, spec)
    if task.scope == 'mmseg':
        model.student.data_preprocessor.size = (96, 96)
    inputs, samples = task.trainer.train_images.inputs(model.student, np.array([0, 1]), True)
    found = distilled(model.loss(inputs, copy.deepcopy(samples)))
    assert found > 1e-3 and len({tuple(sample.img_shape) for sample in samples}) == 2
    source, changed = task.layers.sources('teacher')['logits'].split('[')[0], []

    def loud(module, args, output):
        stride = task.strides['logits'][1] / (2 if task.scaled else 1)
        output = output.clone()
        for at, sample in enumerate(samples):
            rows, columns = (-(-int(side) // stride) for side in sample.img_shape)
            if task.scaled:  # a cell at the border is interpolated
                rows, columns = rows + 2, columns + 2
            changed.append(output[at, :, int(rows):].numel())
            output[at, :, int(rows):] = output[at, :, :, int(columns):] = 1e3
        return output

    handle = model.teacher.get_submodule(source).register_forward_hook(
        lambda module, args, output: loud(module, args, output)
        if output.shape[-1] == max_width(task, inputs) else output, prepend=True)
    try:
        assert distilled(model.loss(inputs, samples)) == pytest.approx(found, rel=1e-4)
    finally:
        handle.remove()
    assert sum(changed)


def max_width(task, inputs):
    """Columns of the teacher's logits that are compared."""
    return -(-inputs.shape[-1] * (2 if task.scaled else 1) // task.strides['logits'][1])


def test_what_is_measured_is_on_the_coarser_grid(task):
    held_out = task.trainer.held_out
    student = copy.deepcopy(task.student)
    terms = held_out.measure(student)
    assert all(np.isfinite(terms[name]) for name in ('held_out_loss', 'gap', 'linear_gap'))
    gaps = []
    for pair in task.layers.pairs:
        strides = pair.strides or (16, 16)
        own, wanted = strides[0], max(strides)
        found = []
        for inputs, samples in held_out.batches(student):
            heard = forward(student, dict(feature=pair.student), inputs)['feature']
            image = samples[0].img_shape[:2]
            heard = by_pixels(heard, own, wanted, image)[
                :, :, :-(-image[0] // wanted), :-(-image[1] // wanted)]
            found.append(positions(heard, heard.shape[2:], 4))
        gaps.append(linear_cka_gap(torch.cat(found), held_out.teacher[pair.name]))
    assert terms['gap'] == pytest.approx(float(np.mean(gaps)), abs=1e-4)


def test_factors_are_computed(task):
    if len(task.layers.pairs) == 1:
        return
    layers = weigh(task.layers, dict(factors='cka'), task.student, task.trainer.train_images, 2, 0)
    assert sum(pair.factor for pair in layers.pairs) == pytest.approx(1)
