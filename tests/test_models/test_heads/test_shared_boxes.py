"""A RoI head that judges the teacher's boxes is otherwise the head that it was."""
import copy

import dense_tasks
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from autokd_mm.errors import ConfigError
from autokd_mm.models.heads import share_boxes
from autokd_mm.registry import MODELS


@pytest.fixture
def detector():
    with DefaultScope.overwrite_default_scope('mmdet'):
        torch.manual_seed(0)
        model = MODELS.build(ConfigDict(dense_tasks.faster_rcnn()))
        model.init_weights()
        yield model.eval()


def samples(boxes=2, images=2):
    from mmdet.structures import DetDataSample
    made = []
    for _ in range(images):
        sample = DetDataSample(metainfo=dict(img_shape=(60, 50), ori_shape=(60, 50),
                                             scale_factor=(1.0, 1.0),
                                             batch_input_shape=(64, 64), pad_shape=(64, 64)))
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor([[4., 4., 30., 40.], [10., 20., 45., 55.]])[:boxes],
            labels=torch.tensor([0, 2])[:boxes])
        sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4),
                                                labels=torch.zeros(0, dtype=torch.long))
        made.append(sample)
    return made


INPUTS = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def heard(model):
    found = []
    model.roi_head.shared_logits.register_forward_hook(lambda _, args, out: found.append(out))
    return found


def test_weights_keep_their_names(detector):
    plain = copy.deepcopy(detector)
    shared = share_boxes(detector, 3)
    assert list(shared.state_dict()) == list(plain.state_dict())
    plain.load_state_dict(shared.state_dict())


def test_the_first_proposals_are_judged(detector):
    with torch.no_grad():
        plain = detector(INPUTS, samples(), mode='tensor')[0][0]  # all proposals of both images
        proposals = detector.rpn_head.predict(detector.extract_feat(INPUTS), samples(),
                                              rescale=False)
        share_boxes(detector, 3)
        found, given = heard(detector), samples()
        output = detector(INPUTS, given, mode='tensor')[0][0]
    assert torch.equal(output, plain)
    first = len(proposals[0].bboxes)
    assert first > 3
    torch.testing.assert_close(found[0], torch.cat([plain[:3], plain[first:first + 3]]))
    for sample, own in zip(given, proposals):
        assert torch.equal(sample.teacher_boxes, own.bboxes[:3])


@pytest.mark.parametrize('mode', ['loss', 'predict'])
def test_nothing_else_changes(detector, mode):
    """Losses and predictions are those of the plain head, whether it has boxes to judge or not."""

    def run(given):
        torch.manual_seed(3)
        with torch.no_grad():
            output = detector(INPUTS, given, mode=mode)
        if mode == 'loss':
            return {name: torch.as_tensor(sum(value) if isinstance(value, list) else value)
                    for name, value in output.items()}
        return {str(at): sample.pred_instances.scores for at, sample in enumerate(output)}

    plain = run(samples())
    share_boxes(detector, 4)
    found, given = heard(detector), samples()
    torch.testing.assert_close(run(given), plain, rtol=0, atol=0)
    assert not found
    given = samples()
    for sample in given:
        sample.teacher_boxes = torch.tensor([[0., 0., 20., 20.]])
    torch.testing.assert_close(run(given), plain, rtol=0, atol=0)
    assert [tuple(logits.shape) for logits in found] == [(2, 4)]


def test_an_image_without_proposals_is_one_box(detector):
    share_boxes(detector, 4)
    found, given = heard(detector), samples(boxes=0)
    x = detector.extract_feat(INPUTS)
    proposals = [InstanceData(bboxes=torch.tensor([[1., 2., 30., 40.]] * 6)),
                 InstanceData(bboxes=torch.zeros(0, 4))]
    detector.roi_head.forward(x, proposals, given)
    assert found[0].shape == (5, 4)
    assert given[1].teacher_boxes.tolist() == [[0, 0, 50, 60]]


def test_copies_judge_too(detector):
    twin = copy.deepcopy(share_boxes(detector, 2))
    found = heard(twin)
    with torch.no_grad():
        twin(INPUTS, samples(), mode='tensor')
    assert found[0].shape == (4, 4)
    assert share_boxes(twin, 3) is twin and twin.roi_head.count == 3  # once is enough


@pytest.mark.parametrize('count', [0, -1, 2.0, True, '64'])
def test_numbers_that_are_none(detector, count):
    with pytest.raises(ConfigError, match='model.shared_boxes=.*must be a number of boxes'):
        share_boxes(detector, count)


def test_boxes_of_a_file_are_no_ones(detector):
    """A Fast R-CNN reads them for each image and makes none."""
    del detector.rpn_head
    with pytest.raises(ConfigError, match='model.shared_boxes: .* makes no boxes but reads'):
        share_boxes(detector, 3)


def test_scores_of_several_objects_for_a_box_are_refused(detector):
    """CrowdDet's stand side by side."""
    detector.roi_head.bbox_head.num_instance = 2
    with pytest.raises(ConfigError, match='model.shared_boxes: .* the scores of 2 objects for a'):
        share_boxes(detector, 3)


def test_scores_that_are_no_softmax_over_the_classes_are_refused():
    """Seesaw's have two of objectness behind the classes."""
    config = dense_tasks.faster_rcnn()
    config['roi_head']['bbox_head']['loss_cls'] = dict(type='mmdet.SeesawLoss', num_classes=3)
    with DefaultScope.overwrite_default_scope('mmdet'):
        detector = MODELS.build(ConfigDict(config))
    with pytest.raises(ConfigError, match='^model.shared_boxes: the RoI head of FasterRCNN has a '
                                          'SeesawLoss, which reads more'):
        share_boxes(detector, 3)


def algorithm(**changes):
    return MODELS.build(ConfigDict(dict(
        type='mmrazor.FrozenTeacherDistill', architecture=dense_tasks.faster_rcnn(),
        teacher=dense_tasks.faster_rcnn(), shared_boxes=4,
        distiller=dict(type='mmrazor.ConfigurableDistiller')), **changes))


@pytest.mark.parametrize('changes, words', [
    (dict(teacher=dense_tasks.retinanet()), 'RetinaNet has no RoI head'),
    (dict(architecture=dense_tasks.retinanet()), 'RetinaNet has no RoI head'),
    (dict(teacher_input=dict(scale=2)), 'images of one size'),
    (dict(teacher=dict(type='mmrazor.Teachers', teachers=[dense_tasks.faster_rcnn()] * 2)),
     'Teachers has no RoI head')])
def test_networks_that_share_no_boxes(changes, words):
    with DefaultScope.overwrite_default_scope('mmdet'), \
            pytest.raises(ConfigError, match=f'^model.shared_boxes: .*{words}'):
        algorithm(**changes)
