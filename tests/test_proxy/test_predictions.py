"""Candidates that learn what a dense head says: from the bank as from the running teacher."""
import dense_tasks
import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope

from autokd_mm.errors import ConfigError
from autokd_mm.layers.find import find_layers
from autokd_mm.models.distillers import Layers, distiller_config, for_bank, spec_from_config
from autokd_mm.proxy.batches import ProxyBatches
from autokd_mm.proxy.candidate import Candidate
from autokd_mm.registry import MODELS
from autokd_mm.space import DistillerSpec, LayerwiseSpec
from autokd_mm.task.spaces import space_over

HEADS = dict(student_predictions='bbox_head', teacher_predictions='bbox_head')
ALL = dict(prediction='weighted_bce', prediction_weight=1, box='giou', box_by='difference',
           box_weight=4)
SPECS = {
    'alone': DistillerSpec('logits_only', **ALL),
    'foreground': DistillerSpec('logits_only', prediction='bce', prediction_weight=0.5, box='l1',
                                box_by='foreground', box_weight=1),
    'boxes': DistillerSpec('logits_only', prediction='bce', prediction_weight=4, box='giou',
                           box_by='confidence', box_weight=4),
    'features': DistillerSpec('none', connector='conv1x1', intra='none', inter='none',
                              distance='l2', feature_weight=1, **ALL),
}


@pytest.fixture(scope='module')
def task(tmp_path_factory):
    folder = tmp_path_factory.mktemp('predictions')
    dense_tasks.write_coco(folder / 'data')
    made = dense_tasks.task(dense_tasks.built(dense_tasks.detection_datasets(folder / 'data')),
                            ConfigDict(dense_tasks.retinanet(4)),
                            ConfigDict(dense_tasks.retinanet(6)),
                            dict(student='neck', teacher='neck', **HEADS), 'mmdet')
    made.opened = made.banks(folder / 'bank', dtype='float32')
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield made


FEW = dict(transform=('logits_only', 'none'), region=('all', ), intra=('none', ),
           distance=('l2', 'cosine'), inter=('none', ))


def space(layers):
    return space_over(layers, 'boxes', 2, FEW, lambda line: None)


def test_the_space_has_their_levels_and_the_specs_are_points_of_it(task):
    levels = [level for level, _ in space(task.layers).levels()]
    assert levels[-5:] == ['prediction', 'prediction_weight', 'box', 'box_by', 'box_weight']
    # 2 class losses of 3 weights, or none; 2 distances of boxes, of 3 kinds and 3 weights, or none.
    # Of connectors, distances and weights of features there are:
    branches, heads = 4 * 2 * 4, (2 * 3 + 1) * (2 * 3 * 3 + 1)
    assert space(Layers(task.layers.pairs)).count() == branches
    assert space(task.layers).count() == branches * heads + heads - 1
    for spec in SPECS.values():
        space(task.layers).validate(spec)


@pytest.mark.parametrize('name', SPECS)
def test_what_the_bank_says_is_what_the_teacher_says(name, task):
    """The losses of one image, which is padded alike for both."""
    spec = SPECS[name]
    config = distiller_config(spec, task.layers)
    images = ProxyBatches(task.opened['train'], torch.device('cpu'))
    torch.manual_seed(0)
    candidate = Candidate(task.student, MODELS.build(for_bank(config)))
    candidate.distiller.prepare_from_student(task.student)
    for row in (0, 1):
        rows = np.array([row])
        inputs, samples = images.inputs(task.student, rows, True)
        names = candidate.distiller.teacher_recorders.recorders
        _, banked = candidate.losses(inputs, samples,
                                     images.of_teacher(names, rows, inputs, samples))
        model = task.model
        model.distiller = MODELS.build(config)
        model.distiller.load_state_dict(candidate.distiller.state_dict())
        model.distiller.prepare_from_student(model.student)
        model.distiller.prepare_from_teacher(model.teacher)
        found = model.loss(inputs, images.inputs(task.student, rows, True)[1])
        running = sum(sum(loss) if isinstance(loss, list) else loss
                      for key, loss in found.items() if key.startswith('distill.'))
        torch.testing.assert_close(running, banked, rtol=1e-4, atol=1e-5)
        assert float(banked.detach()) > 0


def test_a_candidate_learns_them(task):
    """In batches of images of several sizes."""
    outcome = dense_tasks.trainer(task, task.opened).run(SPECS['foreground'])
    assert np.isfinite(outcome.held_out_loss) and np.isfinite(outcome.gap)
    steps = dense_tasks.trainer(task, task.opened).first_step(SPECS['features'])
    assert all(np.isfinite(step.distill_loss) for step in steps)


@pytest.mark.parametrize('name', SPECS)
def test_a_config_is_read_back(name, task):
    config = distiller_config(SPECS[name], task.layers)
    assert spec_from_config(config) == SPECS[name]
    assert 'loss_classes' in config['distill_losses']
    mapping = config['loss_forward_mappings']['loss_classes']
    assert list(mapping) == [f'{who}_classes_{level}' for who in ('student', 'teacher')
                             for level in range(5)]


def test_through_the_file_of_a_found_config(task, tmp_path):
    file = tmp_path / 'found.py'
    Config(dict(distiller=distiller_config(SPECS['features'], task.layers))).dump(str(file))
    config = Config.fromfile(str(file)).distiller
    assert spec_from_config(config) == SPECS['features'] and MODELS.build(config)


def test_layers_with_options_of_their_own(task):
    layers = Layers(task.layers.pairs, shared=False, predictions=task.layers.predictions)
    left_out = DistillerSpec('left_out')
    first, *rest = [pair.name for pair in layers.pairs]
    spec = LayerwiseSpec(((first, SPECS['features'].feature_branch),
                          *((name, left_out) for name in rest)), **ALL)
    assert spec_from_config(distiller_config(spec, layers), layers) == spec


def test_what_the_heads_do_not_have_is_one_line(task):
    with pytest.raises(ConfigError, match='layers.student_predictions'):
        distiller_config(SPECS['alone'], Layers(task.layers.pairs))


def test_logits_of_sigmoids_are_spoken_of(task):
    said = []
    pixels = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    found = find_layers(task.model, task.student, dict(
        student='neck', teacher='neck', student_logits='bbox_head.retina_cls',
        teacher_logits='bbox_head.retina_cls'), pixels, dense=True, say=said.append)
    assert len(found.logits) == 5 and found.predictions is None
    line, = said
    assert line == (
        "layers.student_logits: the classes of 'bbox_head.retina_cls' are sigmoids, and are read "
        "as one softmax; layers.student_predictions='bbox_head' and layers.teacher_predictions "
        'compare them as they are')


def test_in_words(task):
    assert SPECS['features'].in_words() == (
        'feature > l2 via conv1x1 x1 + classes weighted bce x1 + boxes giou by difference x4')
    assert task.layers.predictions.in_words() == (
        '5 levels of 1 x 3 classes by sigmoid, boxes as deltas')
