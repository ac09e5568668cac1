"""Candidates of detection and segmentation: images of several sizes, padded to batches."""
import copy

import dense_tasks
import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from autokd_mm.errors import ConfigError, DataError
from autokd_mm.measure.dense_evaluation import evaluate_dense, grid_of, positions
from autokd_mm.measure.losses import total_loss
from autokd_mm.models.distillers import distiller_config
from autokd_mm.proxy.candidate import Candidate
from autokd_mm.proxy.trainer import ProxyTrainer
from autokd_mm.registry import MODELS
from autokd_mm.search.reward import MEASURED
from autokd_mm.space import DistillerSpec
from autokd_mm.space.handcrafted import handcrafted

NAMES = ('held_out_loss', 'gap', 'debiased_gap', 'linear_gap', 'relation_gap')
OPTIM = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01, momentum=0.9))


def made(kind, folder):
    neck = dict(student='neck', teacher='neck')
    if kind == 'segmentation':
        dense_tasks.write_maps(folder / 'data')
        data, model = dense_tasks.segmentation_datasets(folder / 'data'), dense_tasks.fcn
        layers = dict(student='decode_head.convs', teacher='decode_head.convs',
                      student_logits='decode_head.conv_seg',
                      teacher_logits='decode_head.conv_seg')
        scope = 'mmseg'
    else:
        dense_tasks.write_coco(folder / 'data')
        data, scope = dense_tasks.detection_datasets(folder / 'data'), 'mmdet'
        model = getattr(dense_tasks, kind)
        layers = dict(neck, student_logits='bbox_head.retina_cls',
                      teacher_logits='bbox_head.retina_cls') if kind == 'retinanet' else neck
    task = dense_tasks.task(dense_tasks.built(data), ConfigDict(model(4)), ConfigDict(model(6)),
                            layers, scope)
    task.opened = task.banks(folder / 'bank')
    return task


@pytest.fixture(scope='module', params=['retinanet', 'faster_rcnn', 'segmentation'])
def task(request, tmp_path_factory):
    task = made(request.param, tmp_path_factory.mktemp(request.param))
    task.kind = request.param
    return task


@pytest.fixture
def trainer(task):
    return trainer_of(task)


def trainer_of(task, **values):
    settings = copy.copy(task.settings)
    for name, value in dict(dict(epochs=2), **values).items():
        object.__setattr__(settings, name, value)
    return ProxyTrainer(lambda seed: copy.deepcopy(task.student), task.layers,
                        task.opened['train'], task.opened['held_out'], settings, OPTIM, [1.0],
                        torch.device('cpu'))


@pytest.fixture(autouse=True)
def scope(task):
    with DefaultScope.overwrite_default_scope(task.scope):
        yield


def numbers(outcome):
    return [getattr(outcome, name) for name in NAMES]


def test_bit_identical_whatever_ran_before_and_whoever_looks_on(trainer, task):
    spec = handcrafted('MGD')
    first, seen = trainer.run(spec), []
    trainer.run(None)
    torch.rand(17), np.random.rand(3)
    watched = trainer.run(spec, watch=lambda epoch, outcome: seen.append(outcome))
    assert numbers(watched) == numbers(first) and len(seen) == 1
    assert np.isfinite(numbers(first)).all() and 0 <= first.gap <= 1
    assert first.calibrated_loss == first.held_out_loss
    assert 0 <= first.metric <= 1
    assert numbers(trainer.run(None)) != numbers(first)


def test_students_inputs_are_those_of_training(trainer, task):
    """Padded together; the teacher's maps in zeros of the student's size; boxes of the batch."""
    candidate = trainer.builder.build(handcrafted('FitNet'), task.student).train()
    rows = next(trainer.batches(0))[0]
    inputs, samples, teacher = trainer.training_batch(candidate, rows)
    with candidate.distiller.student_recorders:
        candidate.student(inputs, samples, mode='loss')
        for name in teacher:
            mapping = candidate.distiller.loss_forward_mappings[f'loss_{name}']['student']
            student = candidate.distiller.get_record(**mapping)
            assert student.shape[2:] == teacher[name].shape[2:]
    for row, sample in zip(rows, samples):
        height, width = sample.img_shape
        pixels = trainer.train_images.bank.rows('pixels', [row])[0]
        assert pixels.shape[1:] == (height, width)
        if task.kind != 'segmentation':
            assert sample.batch_input_shape == tuple(inputs.shape[2:])


def test_distillation_is_the_loss_of_the_online_algorithm(trainer, task):
    """Of images of one size, which the online teacher sees as the bank's did."""
    spec = handcrafted('PKD' if task.kind != 'segmentation' else 'CWD')
    online = MODELS.build(dict(
        type='mmrazor.FrozenTeacherDistill', distiller=distiller_config(spec, task.layers),
        architecture=copy.deepcopy(task.student), teacher=task.teacher)).train()
    online.to_teacher = task.model.to_teacher
    shapes = [tuple(shape) for shape in trainer.train_images.bank.arrays['pixels'].shapes]
    rows = np.array([row for row, shape in enumerate(shapes) if shape == shapes[0]])[:2]
    assert len(rows) == 2
    candidate = trainer.builder.build(spec, task.student).train()
    if task.kind == 'segmentation':  # pads to one size; the teacher in the bank saw no padding
        for student in (candidate.student, online.student):
            student.data_preprocessor.size, student.data_preprocessor.size_divisor = None, 1
    torch.manual_seed(5)
    own, distilled = candidate.losses(*trainer.training_batch(candidate, rows))
    inputs, samples = trainer.train_images.inputs(online.student, rows, True)
    torch.manual_seed(5)
    losses = online.loss(inputs, samples)
    parts = [total_loss({name: value for name, value in losses.items()
                         if name.startswith(prefix)}) for prefix in ('student.', 'distill.')]
    assert own.item() == pytest.approx(parts[0].item(), rel=1e-5)
    assert distilled.item() == pytest.approx(parts[1].item(), rel=1e-4) and distilled.item() > 0


def test_losses_see_the_padding(trainer, task, monkeypatch):
    shown = []
    losses = Candidate.losses

    def look(self, inputs, samples, teacher):
        for loss in self.distiller.distill_losses.values():
            monkeypatch.setattr(loss, 'show_sizes', shown.append)
        return losses(self, inputs, samples, teacher)

    monkeypatch.setattr(Candidate, 'losses', look)
    trainer.run(handcrafted('FitNet'))
    padded = [sizes for sizes in shown if sizes is not None]
    assert padded and all(sizes.padded and len(sizes.images) == 2 for sizes in padded)


def test_every_method_trains(trainer, task):
    names = dict(retinanet=['FGD-focal', 'KD', 'AT', 'SP'], faster_rcnn=['PKD', 'FGD-focal'],
                 segmentation=['KD', 'DIST', 'CWD', 'FKD'])
    for name in names[task.kind]:
        assert np.isfinite(numbers(trainer.run(handcrafted(name)))).all(), name
        steps = trainer.first_step(handcrafted(name))
        assert all(step.depends_on_student and step.distill_gradient_norm > 0
                   for step in steps), name


@pytest.mark.parametrize('name', ['FGD-focal', 'PKD', 'instances'])
@pytest.mark.parametrize('without', [1, 2])
def test_images_without_boxes_and_boxes_outside(trainer, task, name, without):
    """Some of a batch, and all of it: finite losses, nothing to learn from no instances."""
    if task.kind == 'segmentation':
        pytest.skip('it has no boxes')
    spec = DistillerSpec('none', connector='identity', region='instances', intra='none',
                         inter='none', distance='l2', feature_weight=1) \
        if name == 'instances' else handcrafted(name)
    candidate = trainer.builder.build(spec, task.student).train()
    numbers_of_boxes = trainer.train_images.bank.arrays['boxes'].shapes[:, 0]
    rows = np.flatnonzero(numbers_of_boxes > 1)[:2]
    inputs, samples, teacher = trainer.training_batch(candidate, rows)
    for at, sample in enumerate(samples):
        boxes = sample.gt_instances.bboxes
        boxes = getattr(boxes, 'tensor', boxes)
        if at < without:
            sample.gt_instances = sample.gt_instances[:0]
        else:  # over the border, and beside the image
            boxes[0] = torch.tensor([-9., -5., 12., 500.])
            boxes[1:] = torch.tensor([500., 500., 520., 530.])
    own, distilled = candidate.losses(inputs, samples, teacher)
    (own + distilled).backward()
    assert own.isfinite() and distilled.isfinite()
    assert (distilled == 0) == (name == 'instances' and without == 2)
    assert all(parameter.grad.isfinite().all() for parameter in candidate.student.parameters()
               if parameter.grad is not None)


def test_a_run_of_iterations(task):
    trainer = trainer_of(task, iterations=7)
    batches = list(trainer.batches(0))
    assert [len(part) for part in batches] == [3, 3] and trainer.images == 6
    every = np.concatenate(sum(trainer_of(task, iterations=0).batches(0), []))
    assert (np.concatenate(sum(batches, [])) == every).all()
    ten = list(trainer_of(task, iterations=10).batches(0))
    assert [len(part) for part in ten] == [5, 5]
    assert np.isfinite(numbers(trainer_of(task, iterations=2).run(None))).all()


def test_measured_by_hand(trainer, task):
    """Loss and gap of one image after the other."""
    held_out, student = trainer.held_out, copy.deepcopy(task.student).eval()
    terms = trainer.measure(student)
    assert set(terms) == set(MEASURED)
    found = {pair.name: [] for pair in task.layers.pairs}
    for rows in held_out._rows:
        for row in rows:
            inputs, samples = held_out.images.inputs(student, np.array([row]), False)
            height, width = samples[0].img_shape
            from autokd_mm.layers.find import forward
            maps = forward(student, {pair.name: pair.student for pair in task.layers.pairs},
                           inputs)
            for name, feature in maps.items():
                cells = tuple(-(-side * count // whole) for side, count, whole in zip(
                    (height, width), feature.shape[2:], inputs.shape[2:]))
                found[name].append(positions(feature, cells, 4))
    from autokd_mm.measure.terms import linear_cka_gap
    gaps = [pair.factor * linear_cka_gap(torch.cat(found[pair.name]), held_out.teacher[pair.name])
            for pair in task.layers.pairs]
    assert terms['gap'] == pytest.approx(sum(gaps), abs=1e-5)


def test_positions():
    feature = torch.arange(2 * 3 * 6 * 8).float().view(2, 3, 6, 8)
    found = positions(feature, (4, 4), 2)
    assert found.shape == (8, 3)
    assert torch.equal(found[1], feature[0, :, :2, 2:4].mean((1, 2)))
    assert torch.equal(found[6], feature[1, :, 2:4, :2].mean((1, 2)))
    assert [grid_of(n) for n in (3, 256, 257, 1024, 1025, 9999)] == [4, 4, 2, 2, 1, 1]


def test_mean_iou_of_a_student(task):
    """A student whose logits are known; ignored pixels do not count."""
    if task.kind != 'segmentation':
        pytest.skip('one of the tasks is enough')
    trainer = trainer_of(task)
    student = copy.deepcopy(task.student)
    with torch.no_grad():
        student.decode_head.conv_seg.weight.zero_()
        student.decode_head.conv_seg.bias.copy_(torch.tensor([0., 9., 0.]))
    held_out, truth = trainer.held_out, []
    for rows in held_out._rows:
        truth += [held_out.images.bank.rows('segmentation', [row])[0].ravel() for row in rows]
    truth = np.concatenate(truth)
    # All pixels are said to be of class 1: its IoU is its share, that of the other classes is 0.
    share, classes = (truth == 1).sum() / (truth != 255).sum(), len({*truth.tolist(), 1} - {255})
    assert trainer.measure(student)['metric'] == pytest.approx(share / classes, rel=1e-6)
    terms = evaluate_dense(student, held_out.batches(student), task.layers, held_out.teacher, 4,
                           None)
    assert np.isnan(terms['metric'])


def test_mean_iou_is_of_what_the_segmentor_predicts(task):
    """Not of an earlier head's scores, as a cascade has them, that are compared."""
    if task.kind != 'segmentation':
        pytest.skip('one of the tasks is enough')
    trainer = trainer_of(task)
    student = copy.deepcopy(task.student)
    head = student.decode_head
    first = head.forward
    with torch.no_grad():
        head.conv_seg.weight.zero_()
        head.conv_seg.bias.copy_(torch.tensor([0., 9., 0.]))
    whole = trainer.measure(student)['metric']
    assert trainer.held_out._judged == task.layers.logits[0].name

    def second(inputs):
        """A head behind the compared one: says class 0 everywhere."""
        return first(inputs) * torch.tensor([0., -1., 0.]).view(3, 1, 1)

    head.forward = second
    trainer = trainer_of(task)
    found = trainer.measure(student)['metric']
    assert trainer.held_out._judged == '' and found != pytest.approx(whole)
    with torch.no_grad():
        head.conv_seg.bias.copy_(torch.tensor([9., 0., 0.]))
    head.forward = first
    assert trainer_of(task).measure(student)['metric'] == pytest.approx(found)


def test_map_of_a_student(task):
    """One whose boxes are the annotated ones, in its own pixels; then with every second lost."""
    if task.kind == 'segmentation':
        pytest.skip('it has no boxes')
    trainer = trainer_of(task)
    student, lost = copy.deepcopy(task.student), []

    def predict(inputs, samples, rescale):
        assert not rescale and not student.training
        for sample in samples:
            truth = sample.gt_instances
            kept = truth[::2] if lost else truth
            sample.pred_instances = InstanceData(bboxes=kept.bboxes, labels=kept.labels,
                                                 scores=torch.ones(len(kept)))
        return samples

    student.predict = predict
    assert trainer.measure(student)['metric'] == pytest.approx(1)
    lost.append(True)
    assert 0 < trainer.measure(student)['metric'] < 1
    student.predict = lambda *args, **kwargs: task.student.eval().predict(*args, **kwargs)
    assert 0 <= trainer.measure(student)['metric'] < 1


def test_held_out_images_without_boxes(task, monkeypatch):
    if task.kind == 'segmentation':
        pytest.skip('it has no boxes')
    monkeypatch.setattr(task.opened['held_out'].arrays['boxes'], 'shapes', np.zeros((3, 2), int))
    with pytest.raises(DataError, match='^proxy.held_out: none of the 3 images has a box'):
        trainer_of(task)


def test_a_student_made_for_images_of_one_size(trainer, task):
    """It is told in a line before anything is trained, and is not changed."""
    student = copy.deepcopy(task.student).train()
    before = [module.training for module in student.modules()]
    trainer.held_out.try_out(student)
    assert [module.training for module in student.modules()] == before
    sizes = []

    def only_of_one_size(module, args):
        sizes.append(tuple(args[0].shape[2:]))
        raise RuntimeError('The size of tensor a (65) must match b (17)\nand more')

    student.backbone.register_forward_pre_hook(only_of_one_size)
    with pytest.raises(ConfigError, match=r'^val_dataloader.dataset.pipeline: \w+ cannot take a '
                                          r'held-out image of \d+ x \d+ pixels \(The size of '
                                          r'tensor a \(65\) must match b \(17\)\); ') as refused:
        trainer.held_out.try_out(student)
    assert f'{sizes[0][0]} x {sizes[0][1]} pixels' in str(refused.value)
    assert [module.training for module in student.modules()] == before
