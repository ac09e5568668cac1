"""CrossKD in a candidate and in a full training: a reference written from the paper, the bank as
the running teacher, and checkpoints that know nothing of it."""
import copy
from pathlib import Path

import dense_tasks
import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from torch.nn import functional as F

from autokd_mm.engine.config import load_config
from autokd_mm.errors import ConfigError
from autokd_mm.layers.find import find_layers
from autokd_mm.models.distillers import Layers, distiller_config, spec_from_config
from autokd_mm.proxy.batches import ProxyBatches
from autokd_mm.registry import MODELS
from autokd_mm.space import DistillerSpec
from autokd_mm.space.handcrafted import handcrafted
from autokd_mm.task.spaces import space_over

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'distill'
HEADS = dict(student='neck', teacher='neck', student_predictions='bbox_head',
             teacher_predictions='bbox_head')
CROSSKD = handcrafted('CrossKD')
SPECS = {
    'CrossKD': CROSSKD,
    'features': DistillerSpec('none', connector='identity', intra='none', inter='none',
                              distance='l2', feature_weight=1, prediction='bce',
                              prediction_weight=1, box='l1', box_by='difference', box_weight=1,
                              prediction_head='cross'),
}


def retinanet(channels, convs=2):
    config = dense_tasks.retinanet(channels)
    config['bbox_head'].update(stacked_convs=convs, norm_cfg=dict(type='BN'))
    return ConfigDict(config)


@pytest.fixture(scope='module')
def task(tmp_path_factory):
    pytest.importorskip('mmdet')
    folder = tmp_path_factory.mktemp('cross')
    dense_tasks.write_coco(folder / 'data')
    made = dense_tasks.task(dense_tasks.built(dense_tasks.detection_datasets(folder / 'data')),
                            retinanet(4), retinanet(6), HEADS, 'mmdet')
    with torch.no_grad():  # a teacher that is sure of something
        made.teacher.bbox_head.retina_cls.weight.normal_(0, 0.5)
        made.teacher.bbox_head.retina_reg.weight.normal_(0, 0.1)
    made.opened = made.banks(folder / 'bank', dtype='float32')
    return made


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


def trained_by(task, spec):
    """The task's networks with a distiller, as a full training has them."""
    model = copy.deepcopy(task.model)
    return MODELS.build(dict(type='mmrazor.FrozenTeacherDistill', architecture=model.student,
                             teacher=task.teacher, distiller=distiller_config(spec, task.layers)))


def batch(seed=0):
    """Images of 64 x 64, with a box each; nothing is padding."""
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData
    torch.manual_seed(seed)
    samples = []
    for label in range(2):
        sample = DetDataSample(metainfo=dict(img_shape=(64, 64), pad_shape=(64, 64)))
        sample.gt_instances = InstanceData(bboxes=torch.tensor([[8., 8., 40., 48.]]),
                                           labels=torch.tensor([label]))
        samples.append(sample)
    return torch.randn(2, 3, 64, 64), samples


def reference(student, teacher, images):
    """Section 3.2: the student's features behind all convolutions of a tower but the last go
    through the rest of the teacher's. Section 3.3: quality focal loss of the classes, 1 - GIoU of
    the boxes weighted by the teacher's confidence; over its sum, where the paper has the number of
    positives."""
    from mmdet.structures.bbox import bbox_overlaps
    own, other = student.bbox_head, teacher.bbox_head
    with torch.no_grad():
        said = other(teacher.extract_feat(images))
    crossed = [[], []]
    for level in student.extract_feat(images):
        for tower, rest, last, found in (
                (own.cls_convs, other.cls_convs, other.retina_cls, crossed[0]),
                (own.reg_convs, other.reg_convs, other.retina_reg, crossed[1])):
            feature = level
            for conv in tower[:-1]:
                feature = conv(feature)
            found.append(last(rest[-1](feature)))

    def rows(maps, numbers):
        return torch.cat([one.permute(0, 2, 3, 1).reshape(len(one), -1, numbers) for one in maps],
                         1).reshape(-1, numbers)

    scores, targets = rows(crossed[0], 3), rows(said[0], 3).sigmoid()
    sure = targets.max(1).values
    classes = ((scores.sigmoid() - targets).abs()
               * F.binary_cross_entropy_with_logits(scores, targets, reduction='none'))
    anchors = torch.cat(own.prior_generator.grid_priors(
        [one.shape[-2:] for one in said[0]], device='cpu')).repeat(len(images), 1)
    boxes = [own.bbox_coder.decode(anchors, rows(maps, 4)) for maps in (crossed[1], said[1])]
    far = 1 - bbox_overlaps(*boxes, mode='giou', is_aligned=True)
    return classes.sum() / sure.sum(), (sure * far).sum() / sure.sum()


def test_it_is_the_paper(task):
    model = trained_by(task, CROSSKD).train()
    images, samples = batch()
    with torch.no_grad():
        model.student(images, samples, mode='loss')  # other statistics than the first
    parameters = [model.student.bbox_head.cls_convs[0].conv.weight,
                  model.student.backbone.conv1.weight]
    losses = model.loss(images, samples)
    found = losses['distill.loss_classes'], losses['distill.loss_boxes']
    wanted = reference(model.student, task.teacher, images)
    assert wanted[0] > 0.01 and wanted[1] > 0.01
    torch.testing.assert_close(torch.stack(found), torch.stack(wanted), rtol=1e-4, atol=1e-6)
    for mine, theirs in zip(*(torch.autograd.grad(sum(both), parameters, allow_unused=True)
                              for both in (found, wanted))):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-6)
        assert mine.abs().max() > 0


def test_the_teacher_takes_no_gradient_and_no_statistics(task):
    before = {name: value.clone() for name, value in task.teacher.state_dict().items()}
    model = trained_by(task, CROSSKD).train()
    losses = model.loss(*batch())
    (losses['distill.loss_classes'] + losses['distill.loss_boxes']).backward()
    assert all(one.grad is None for one in task.teacher.parameters())
    assert all(torch.equal(value, task.teacher.state_dict()[name])
               for name, value in before.items())
    own = model.student.bbox_head
    assert own.retina_cls.weight.grad is None and own.cls_convs[1].conv.weight.grad is None
    assert own.cls_convs[0].conv.weight.grad is not None


@pytest.mark.parametrize('name', SPECS)
def test_what_the_bank_says_is_what_the_teacher_says(name, task):
    """A candidate's losses, of one image, are those of the full training."""
    trainer = dense_tasks.trainer(task, task.opened)
    candidate = trainer.builder.build(SPECS[name], task.student).eval()
    model = trained_by(task, SPECS[name])
    images = ProxyBatches(task.opened['train'], torch.device('cpu'))
    for row in (0, 1):
        rows = np.array([row])
        inputs, samples = images.inputs(task.student, rows, True)
        names = candidate.distiller.teacher_recorders.recorders
        _, banked = candidate.losses(inputs, samples,
                                     images.of_teacher(names, rows, inputs, samples))
        found = model.eval().loss(inputs, images.inputs(task.student, rows, True)[1])
        running = sum(sum(loss) if isinstance(loss, list) else loss
                      for key, loss in found.items() if key.startswith('distill.'))
        torch.testing.assert_close(running, banked, rtol=1e-4, atol=1e-5)
        assert float(banked.detach()) > 0


def test_a_candidate_learns_it(task):
    outcome = dense_tasks.trainer(task, task.opened).run(CROSSKD)
    assert np.isfinite(outcome.held_out_loss) and np.isfinite(outcome.gap)


def test_a_teacher_that_is_initialised_late(task):
    """A teacher without a checkpoint gets its weights from ``init_weights``."""
    model = MODELS.build(dict(
        type='mmrazor.FrozenTeacherDistill', architecture=retinanet(4), teacher=retinanet(6),
        distiller=distiller_config(CROSSKD, task.layers)))
    model.init_weights()
    images, samples = batch()
    losses = model.train().loss(images, samples)
    wanted, _ = reference(model.student, model.teacher, images)
    torch.testing.assert_close(losses['distill.loss_classes'], wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('name', SPECS)
def test_a_config_is_read_back(name, task, tmp_path):
    config = distiller_config(SPECS[name], task.layers)
    Config(dict(distiller=config)).dump(str(tmp_path / 'found.py'))
    config = Config.fromfile(str(tmp_path / 'found.py')).distiller
    assert spec_from_config(config) == SPECS[name]
    assert config.connectors.cross_classes.to_dict() == dict(
        type='mmrazor.CrossHeadConnector',
        modules=['bbox_head.cls_convs.1', 'bbox_head.retina_cls'])
    other = distiller_config(DistillerSpec.from_dict({
        level: value for level, value in SPECS[name].to_dict().items()
        if level != 'prediction_head'}), task.layers)
    assert spec_from_config(other).prediction_head is None


@pytest.mark.parametrize('name', ['digit_scenes_retinanet_room', 'retinanet_r101_r50_coco'])
def test_shipped_configs_are_the_point_of_the_space(name):
    config = load_config(str(CONFIGS / f'crosskd_{name}.py'))
    assert spec_from_config(config.model.distiller) == CROSSKD


def test_checkpoints_and_copies_know_nothing_of_the_teacher(task):
    model = trained_by(task, CROSSKD)
    model.loss(*batch())
    assert list(model.state_dict()) == [f'architecture.{name}'
                                        for name in model.architecture.state_dict()]
    twin = copy.deepcopy(model)
    found, wanted = (one.eval().loss(*batch())['distill.loss_classes'] for one in (twin, model))
    assert torch.equal(found, wanted)


FEW = dict(transform=('logits_only', 'none'), region=('all', ), intra=('none', ),
           distance=('l2', ), inter=('none', ), connector=('identity', ), start=('own', ))


def space(layers, said=None, **options):
    return space_over(layers, 'boxes', 2, dict(FEW, **options),
                      (lambda line: None) if said is None else said.append)


def test_it_is_a_level_where_a_config_asks_for_it(task):
    plain, cross = space(task.layers), space(task.layers, prediction_head=['own', 'cross'])
    assert plain.shapes.predictions == ('sigmoid', 'boxes')
    assert cross.levels() == [*plain.levels(), ('prediction_head', ('own', 'cross'))]
    branches = (2 * 3 + 1) * (2 * 3 * 3 + 1)
    assert plain.count() == 4 * branches + branches - 1
    assert cross.count() == plain.count() + 5 * (branches - 1)
    for spec in SPECS.values():
        cross.validate(spec)
        with pytest.raises(ConfigError, match=r"prediction_head='cross' is not offered here; "
                                              r"space.prediction_head=\['own', 'cross'\] does"):
            plain.validate(spec)
    assert CROSSKD.in_words() == ('cross-head classes weighted bce x1 + cross-head boxes giou by '
                                  'confidence x1')


def test_heads_that_do_not_fit_are_said_and_leave_the_space_as_it_is(task):
    student = MODELS.build(retinanet(4, convs=1))
    layers = find_layers(task.model, student, HEADS, torch.zeros(1, 3, 64, 64, dtype=torch.uint8),
                         dense=True)
    said = []
    found = space(layers, said, prediction_head=['own', 'cross'])
    assert found.levels() == space(layers).levels() and found.count() == space(layers).count()
    assert said[0] == ("prediction_head=cross left out: the way to classes is cls_convs.1 > "
                       "retina_cls in the teacher's RetinaHead and cls_convs.0 > retina_cls in the "
                       "student's RetinaHead")
    with pytest.raises(ConfigError, match="space.prediction_head: .*did you mean 'own'"):
        space(layers, prediction_head=['cross'])
    with pytest.raises(ConfigError, match='prediction_head=.cross. cannot be used: the way to'):
        distiller_config(CROSSKD, layers)
    with pytest.raises(ConfigError, match="'crosss' is unknown, did you mean 'cross'"):
        space(layers, prediction_head=['crosss'])
    with pytest.raises(ConfigError, match='layers.student_predictions'):
        distiller_config(CROSSKD, Layers(task.layers.pairs))
