"""Logits of RoI heads: the student's on the boxes of the teacher, out of a bank and online."""

import dense_tasks
import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope

from autokd_mm.errors import ConfigError
from autokd_mm.measure.losses import total_loss
from autokd_mm.models.distillers import clear_records, distiller_config
from autokd_mm.registry import MODELS
from autokd_mm.space.handcrafted import handcrafted
from autokd_mm.visualization.compared_maps import compare

LAYERS = dict(student='neck', teacher='neck', student_logits='roi_head.shared_logits',
              teacher_logits='roi_head.shared_logits')
BOXES = 5


@pytest.fixture(scope='module')
def task(tmp_path_factory):
    folder = tmp_path_factory.mktemp('boxes')
    dense_tasks.write_coco(folder)
    data = dense_tasks.built(dense_tasks.detection_datasets(folder))
    task = dense_tasks.task(data, *networks(), LAYERS, 'mmdet', shared_boxes=BOXES)
    task.trainer = dense_tasks.trainer(task, task.banks(folder / 'bank'))
    return task


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


def networks(classes=3):
    student, teacher = dense_tasks.faster_rcnn(4), dense_tasks.faster_rcnn(6)
    teacher['roi_head']['bbox_head']['num_classes'] = classes
    return ConfigDict(student), ConfigDict(teacher)


def online(task, spec):
    """What trains with the exported config: the student's config is that of a plain detector."""
    model = MODELS.build(dict(
        type='mmrazor.FrozenTeacherDistill', distiller=distiller_config(spec, task.layers),
        architecture=networks()[0], teacher=task.teacher, shared_boxes=BOXES)).train()
    model.to_teacher = task.model.to_teacher
    model.architecture.load_state_dict(task.student.state_dict())
    return model


def rows_of_one_size(trainer):
    shapes = [tuple(shape) for shape in trainer.train_images.bank.arrays['pixels'].shapes]
    return np.array([row for row, shape in enumerate(shapes) if shape == shapes[0]])[:2]


def test_the_pair(task):
    pair, = task.layers.logits
    assert pair.name == 'logits' and pair.student == pair.teacher == 'roi_head.shared_logits'
    assert pair.student_shape == pair.teacher_shape == (4, 1, 1)  # background counts
    assert task.layers.classes == 4


def test_the_bank_holds_what_the_online_teacher_says(task):
    """Of each image alone, and boxes that lie inside."""
    model, images = online(task, handcrafted('KD')), task.trainer.train_images
    bank = images.bank
    assert bank.made_from['shared_boxes'] == dict(logits=BOXES)
    assert 'logits' not in images.strides
    for row, (_, height, width) in enumerate(bank.arrays['pixels'].shapes):
        inputs, samples = images.inputs(model.student, np.array([row]), True)
        model.run_teacher(inputs, samples)
        said, = model.distiller.teacher_recorders.recorders['logits'].data_buffer
        clear_records(model.distiller)
        logits, boxes = (bank.rows(name, [row])[0] for name in ('logits', 'logits_boxes'))
        assert logits.shape == (len(boxes), 4) and 1 <= len(boxes) <= BOXES
        assert np.allclose(logits, said.numpy(), atol=1e-5)
        assert np.allclose(boxes, samples[0].teacher_boxes.numpy(), atol=1e-3)
        assert (boxes >= 0).all() and (boxes <= [width, height, width, height]).all()
    assert len(np.unique(bank.arrays['logits'].shapes[:, 0])) >= 1


def test_candidates_and_the_full_training_have_one_loss(task):
    spec, trainer = handcrafted('KD'), task.trainer
    model, candidate = online(task, spec), trainer.builder.build(spec, task.student).train()
    rows = rows_of_one_size(trainer)
    torch.manual_seed(5)
    own, distilled = candidate.losses(*trainer.training_batch(candidate, rows))
    inputs, samples = trainer.train_images.inputs(model.student, rows, True)
    torch.manual_seed(5)
    losses = model.loss(inputs, samples)
    parts = [total_loss({name: value for name, value in losses.items()
                         if name.startswith(prefix)}) for prefix in ('student.', 'distill.')]
    assert own.item() == pytest.approx(parts[0].item(), rel=1e-5)
    assert distilled.item() == pytest.approx(parts[1].item(), rel=1e-4) and distilled.item() > 0


def test_the_loss_is_that_of_the_student_on_these_boxes(task):
    """By hand, with images of two sizes in one padded batch."""
    from mmdet.structures.bbox import bbox2roi
    trainer = task.trainer
    candidate = trainer.builder.build(handcrafted('KD'), task.student).train()
    inputs, samples, teacher = trainer.training_batch(candidate, np.array([0, 1]))
    assert len({tuple(sample.img_shape) for sample in samples}) == 2
    found = candidate.losses(inputs, samples, teacher)[1]
    student = candidate.student
    boxes = trainer.train_images.bank.rows('logits_boxes', [0, 1])
    logits = student.roi_head._bbox_forward(
        student.extract_feat(inputs), bbox2roi([torch.from_numpy(part) for part in boxes]))
    loss, = candidate.distiller.distill_losses.values()
    said = np.concatenate(trainer.train_images.bank.rows('logits', [0, 1]))
    wanted = loss(logits['cls_score'], torch.from_numpy(said))
    assert found.item() == pytest.approx(wanted.item(), rel=1e-5)


def test_gradients_reach_the_students_roi_head(task):
    candidate = task.trainer.builder.build(handcrafted('KD'), task.student).train()
    batch = task.trainer.training_batch(candidate, np.array([0, 1]))
    candidate.losses(*batch)[1].backward()
    student = candidate.student
    for part in (student.roi_head.bbox_head.fc_cls, student.roi_head.bbox_head.shared_fcs,
                 student.neck.fpn_convs[0], student.backbone.layer4):
        gradients = [parameter.grad for parameter in part.parameters()]
        assert all(gradient.isfinite().all() for gradient in gradients)
        assert any(gradient.any() for gradient in gradients)
    assert all(parameter.grad is None for parameter in student.rpn_head.parameters())
    assert all(parameter.grad is None
               for parameter in student.roi_head.bbox_head.fc_reg.parameters())


def test_images_without_boxes(task):
    """Without ground truth the teacher's boxes are as good as any."""
    bank = task.trainer.train_images.bank
    empty = np.flatnonzero(bank.arrays['boxes'].shapes[:, 0] == 0)[:1]
    assert len(empty)
    candidate = task.trainer.builder.build(handcrafted('KD'), task.student).train()
    own, distilled = candidate.losses(*task.trainer.training_batch(
        candidate, np.concatenate([empty, empty])))
    assert own.isfinite() and distilled.isfinite() and distilled > 0


def test_who_distils_no_logits_judges_nothing(task):
    candidate = task.trainer.builder.build(handcrafted('PKD'), task.student).train()
    calls = []
    candidate.student.roi_head.shared_logits.register_forward_hook(
        lambda *args: calls.append(args))
    inputs, samples, teacher = task.trainer.training_batch(candidate, np.array([0, 1]))
    candidate.losses(inputs, samples, teacher)
    assert not calls and not any('teacher_boxes' in sample for sample in samples)
    model = online(task, handcrafted('PKD'))
    model.teacher.roi_head.shared_logits.register_forward_hook(lambda *args: calls.append(args))
    model.loss(inputs, samples)
    assert not calls


def test_candidates_train_and_are_measured(task):
    outcome = task.trainer.run(handcrafted('KD'))
    assert np.isfinite([outcome.held_out_loss, outcome.gap]).all()
    step = task.trainer.first_step(handcrafted('DIST'))[0]
    assert step.depends_on_student and step.distill_gradient_norm > 0


@pytest.mark.parametrize('classes', [2, 7])
def test_other_classes_are_refused(tmp_path, classes):
    dense_tasks.write_coco(tmp_path)
    with pytest.raises(ConfigError, match=f'the teacher has {classes + 1} classes and the student '
                                          '4'):
        dense_tasks.task(None, *networks(classes), LAYERS, 'mmdet', shared_boxes=BOXES)


def test_they_can_be_drawn(task):
    """The student predicts there, and hears of the teacher's boxes all the same."""
    model, images = online(task, handcrafted('KD')), task.trainer.train_images
    inputs, samples = images.batch(np.array([0]))
    maps, = compare(model, dict(inputs=inputs, data_samples=samples))
    assert 'roi_head.shared_logits' in maps.title
    assert maps.teacher.shape == maps.student.shape and maps.difference.isfinite().all()
