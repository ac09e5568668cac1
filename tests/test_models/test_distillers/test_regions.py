import copy

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.structures import InstanceData

from autokd_mm.errors import ConfigError
from autokd_mm.models.distillers import (Layers, clear_records, distiller_config, feed_teacher,
                                         show_samples, spec_from_config)
from autokd_mm.models.distillers.regions import batch_boxes
from autokd_mm.registry import MODELS
from autokd_mm.space import DistillerSpace, DistillerSpec, Shapes
from autokd_mm.space.handcrafted import handcrafted

INPUTS = torch.zeros(2, 3, 40, 60)


def sample(boxes, img_shape=(40, 50), box_type=torch.as_tensor):
    result = DetDataSample()
    if img_shape:
        result.set_metainfo(dict(img_shape=img_shape))
    boxes = torch.tensor(boxes, dtype=torch.float32).view(-1, 4)
    result.gt_instances = InstanceData(bboxes=box_type(boxes),
                                       labels=torch.zeros(len(boxes), dtype=torch.long))
    return result


def samples(**options):
    return [sample([[0, 0, 30, 20], [30, 10, 45, 40]], **options), sample([], **options)]


def distiller_of(spec, shape=(3, 8, 12)):
    layers = Layers.single('neck', 'neck', None, None, shape, shape)
    return MODELS.build(distiller_config(spec, layers))


def losses_of(distiller, student, teacher):
    distiller.student_recorders.recorders['feature'].data_buffer.append(student)
    feed_teacher(distiller, dict(feature=teacher))
    return distiller.compute_distill_losses()


# ---------------------------------------------------------------- what is read from the samples
@pytest.mark.parametrize('box_type', [torch.as_tensor, HorizontalBoxes])
def test_boxes_of_mmdetection(box_type):
    boxes = batch_boxes(samples(box_type=box_type), INPUTS)
    assert [item.tolist() for item in boxes.boxes] == [[[0, 0, 30, 20], [30, 10, 45, 40]], []]
    assert boxes.images == ((40, 50), (40, 50)) and boxes.batch == (40, 60)


def test_without_a_shape_the_image_fills_the_batch():
    assert batch_boxes(samples(img_shape=None), INPUTS).images == ((40, 60), (40, 60))
    assert batch_boxes(samples(img_shape=(30, 50, 3)), INPUTS).images == ((30, 50), ) * 2


def test_boxes_of_a_preprocessed_batch():
    """Through MMDetection's own preprocessor, which pads and may keep boxes as objects."""
    preprocessor = MODELS.build(dict(type='mmdet.DetDataPreprocessor', pad_size_divisor=32,
                                     boxtype2tensor=False))
    data = dict(inputs=[torch.zeros(3, 40, 50), torch.zeros(3, 20, 70)],
                data_samples=[sample([[0, 0, 5, 5]], (40, 50), HorizontalBoxes),
                              sample([], (20, 70), HorizontalBoxes)])
    data = preprocessor(data, True)
    boxes = batch_boxes(data['data_samples'], data['inputs'])
    assert boxes.batch == (64, 96) and boxes.images == ((40, 50), (20, 70))
    assert [len(item) for item in boxes.boxes] == [1, 0]


@pytest.mark.parametrize('data_samples, message', [
    (None, 'FeatureLoss.region needs the boxes of 2 images, but there are 0 data_samples'),
    ([sample([])], 'FeatureLoss.region needs the boxes of 2 images, but there are 1 data_samples'),
    ([sample([]), DetDataSample()], 'FeatureLoss.region needs boxes (R x 4) in data_samples[1].'
                                    "gt_instances.bboxes, got none; use region='all'"),
    ([DetDataSample(gt_instances=InstanceData(bboxes=torch.zeros(2, 5)))] * 2,
     'data_samples[0].gt_instances.bboxes, got shape (2, 5)'),
])
def test_samples_without_boxes(data_samples, message):
    distiller = distiller_of(handcrafted('FGD-focal'))
    with pytest.raises(ConfigError) as error:
        show_samples(distiller, data_samples, INPUTS)
    assert message in str(error.value) and '\n' not in str(error.value)
    # Who looks at no boxes needs none.
    show_samples(distiller_of(handcrafted('FitNet')), data_samples, INPUTS)


# ---------------------------------------------------------------- shown and forgotten
@pytest.mark.parametrize('region', ['foreground_background', 'instances'])
def test_a_step(region):
    spec = DistillerSpec('none', None, 'identity', region, None if region == 'instances' else 0.5,
                         'none', None, 'none', 'l2', None, 5)
    distiller = distiller_of(spec)
    student = torch.randn(2, 3, 8, 12, requires_grad=True)
    teacher = torch.randn(2, 3, 8, 12)
    with pytest.raises(ConfigError, match='FeatureLoss.region needs the boxes'):
        losses_of(distiller, student, teacher)
    clear_records(distiller)
    show_samples(distiller, samples(), INPUTS)
    loss, = losses_of(distiller, student, teacher).values()
    loss.backward()
    # The second image has no boxes: all background, or no instance.
    assert student.grad[0].any() and student.grad[1].any() == (region != 'instances')
    assert not student.grad[..., 11:].any()  # padding
    clear_records(distiller)
    assert distiller.distill_losses['loss_feature'].region._boxes is None
    copy.deepcopy(distiller)
    with pytest.raises(ConfigError, match='FeatureLoss.region needs the boxes'):
        losses_of(distiller, student, teacher)


# ---------------------------------------------------------------- specs with a region
def bounded(examples):
    return settings(derandomize=True, deadline=None, max_examples=examples,
                    suppress_health_check=list(HealthCheck))


class Drawn:
    """A trial that hypothesis decides."""

    def __init__(self, draw):
        self.draw = draw

    def suggest_categorical(self, name, choices):
        return self.draw(st.sampled_from(choices))


@st.composite
def distillers(draw):
    """(spec, layers) of a task with boxes."""
    n, c = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    h, w = (draw(st.integers(1, 9)) for _ in range(2))
    same = draw(st.booleans())
    space = DistillerSpace(dict(background_weight=[0, 0.5, 1]),
                           Shapes(n, c, h, w, 0, same, False, boxes=True))
    spec = space.suggest(Drawn(draw))
    student = (c, h, w) if same else (2, h, w)
    return spec, Layers.single('neck', 'neck', None, None, student, (c, h, w)), n, space


@bounded(150)
@given(distillers())
def test_spec_to_config_to_spec_is_the_identity(drawn):
    spec, layers, _, space = drawn
    config = distiller_config(spec, layers)
    assert spec_from_config(config) == spec == DistillerSpec.from_dict(spec.to_dict())
    assert distiller_config(spec_from_config(config), layers) == config
    space.params(spec)
    loss = config['distill_losses']['loss_feature']
    assert loss.get('region') == spec.region and ('region' in loss) == (spec.region is not None)


@bounded(150)
@given(distillers(), st.integers(0, 999))
@pytest.mark.filterwarnings('ignore:.*the loss of such a batch is 0')
def test_every_offered_distiller_runs(drawn, seed):
    """Finite, not below 0, for the student only; 0 without instances."""
    spec, layers, n, _ = drawn
    generator = torch.Generator().manual_seed(seed)
    images = []
    for number in range(n):
        corners = torch.rand(int(torch.randint(0, 4, (), generator=generator)), 2, 2,
                             generator=generator).mul(50).sort(1).values
        images.append(sample(corners.view(-1, 4).tolist(), (40, 30 + 5 * number)))
    torch.manual_seed(seed)
    distiller = MODELS.build(distiller_config(spec, layers))
    pair, = layers.pairs
    student = torch.randn(n, *pair.student_shape, generator=generator, requires_grad=True)
    teacher = torch.randn(n, *pair.teacher_shape, generator=generator, requires_grad=True)
    before = teacher.detach().clone()
    show_samples(distiller, images, torch.zeros(n, 3, 40, 60))
    loss, = losses_of(distiller, student, teacher).values()
    loss.backward()
    assert loss.isfinite() and loss >= 0 and student.grad.isfinite().all()
    assert teacher.grad is None and torch.equal(teacher.detach(), before)
    if spec.region == 'instances' and not any(len(image.gt_instances) for image in images):
        assert loss == 0 and not student.grad.any()
    elif spec.distance == 'l2' and spec.inter == 'none' and spec.region != 'instances' \
            and spec.transform in ('none', 'attention_mask') and spec.connector == 'identity' \
            and spec.background_weight != 0:
        assert loss > 0 and student.grad.any()


def test_a_config_by_hand_may_say_all():
    loss = dict(type='mmrazor.FeatureLoss', region='all', distance='l2')
    assert spec_from_config(dict(distill_losses=dict(loss_feature=loss))) == handcrafted('FitNet')
