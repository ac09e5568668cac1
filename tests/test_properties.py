"""What holds for every distiller of every space, from the spec to the gradient.

Specs are drawn by ``DistillerSpace.suggest`` itself, with hypothesis in the place of a sampler.
"""
import hypothesis.strategies as st
import torch
from hypothesis import HealthCheck, given, settings
from mmengine.config import Config

from autokd_mm.models.distillers import Layers, distiller_config, feed_teacher, spec_from_config
from autokd_mm.registry import MODELS
from autokd_mm.space import DistillerSpace, Shapes

torch.set_num_threads(1)


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
    """(spec, layers, batch, classes): a legal distiller for tensors of any shape."""
    batch, channels, classes = (draw(st.integers(1, high)) for high in (6, 6, 5))
    height, width = (draw(st.integers(1, 9)) for _ in range(2))
    teacher = (channels, height, width)
    student = teacher
    if draw(st.booleans()):
        student = tuple(draw(st.integers(1, high)) for high in (6, 9, 9))
    shapes = Shapes(batch, channels, height, width, classes, student == teacher, classes > 1,
                    student[1] * student[2])
    layers = Layers.single('backbone.layer3', 'backbone.layer3', 'head.fc', 'head.fc', student,
                           teacher)
    return DistillerSpace(shapes=shapes).suggest(Drawn(draw)), layers, batch, classes


@st.composite
def tensors(draw, layers, batch, classes):
    """Features of student and teacher, with values of any usual size; logits."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    scale, after_relu = draw(st.sampled_from([0.1, 1., 30.])), draw(st.booleans())
    features = [torch.randn(batch, *shape, generator=generator) * scale
                for shape in (layers.pairs[0].student_shape, layers.pairs[0].teacher_shape)]
    if after_relu:
        features = [feature.abs() for feature in features]
    logits = [torch.randn(batch, classes, generator=generator) * 3 for _ in range(2)]
    return dict(feature=features[0], logits=logits[0]), dict(feature=features[1], logits=logits[1])


def losses_of(distiller, student, teacher):
    for name, recorder in distiller.student_recorders.recorders.items():
        recorder.reset_data_buffer()
        recorder.data_buffer.append(student[name])
    feed_teacher(distiller, teacher)
    return distiller.compute_distill_losses()


@bounded(400)
@given(st.data())
def test_finite_losses_and_a_gradient_for_the_student(data):
    spec, layers, batch, classes = data.draw(distillers())
    student, teacher = data.draw(tensors(layers, batch, classes))
    torch.manual_seed(0)
    distiller = MODELS.build(distiller_config(spec, layers))
    student = {name: value.requires_grad_() for name, value in student.items()}
    teacher = {name: value.requires_grad_() for name, value in teacher.items()}
    before = {name: value.detach().clone() for name, value in {**student, **teacher}.items()}
    losses = losses_of(distiller, student, teacher)
    assert set(losses) == ({'loss_feature'} if spec.has_feature else set()) | (
        {'loss_logits'} if spec.has_logits else set())
    for loss in losses.values():
        assert loss.dim() == 0 and loss.isfinite() and loss >= 0
    sum(losses.values()).backward()
    for name, there in (('feature', spec.has_feature), ('logits', spec.has_logits)):
        gradient = student[name].grad
        assert teacher[name].grad is None and torch.equal(teacher[name].detach(), before[name])
        assert (gradient is not None) == there
        if not there:
            continue
        assert gradient.isfinite().all()
        # A mask may hide all of a small map, and a bias hide what batch normalisation leaves.
        hidden = name == 'feature' and (spec.transform == 'random_mask'
                                        or spec.connector == 'conv1x1_bn')
        assert gradient.any() or hidden
    for parameter in distiller.parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all()


@bounded(250)
@given(st.data())
def test_zero_when_the_student_equals_the_teacher(data):
    spec, layers, batch, classes = data.draw(distillers())
    student, _ = data.draw(tensors(layers, batch, classes))
    if spec.transform == 'random_mask':
        return
    distiller = MODELS.build(distiller_config(spec, layers))
    teacher = {name: value.clone() for name, value in student.items()}
    if spec.has_feature and spec.connector != 'identity':  # what it says is the teacher's
        teacher['feature'] = distiller.connectors['feature'](student['feature']).detach()
    losses = losses_of(distiller, student, teacher)
    for name, loss in losses.items():
        weight = spec.feature_weight if name == 'loss_feature' else spec.logits_weight
        assert 0 <= loss.item() <= 1e-6 * weight, (spec, name)


@bounded(400)
@given(distillers())
def test_spec_to_config_to_spec_is_the_identity(drawn):
    spec, layers, _, _ = drawn
    config = distiller_config(spec, layers)
    assert spec_from_config(config) == spec
    assert distiller_config(spec_from_config(config), layers) == config


@bounded(10)
@given(distillers())
def test_spec_to_a_file_to_spec_is_the_identity(drawn):
    spec, layers, _, _ = drawn
    config = distiller_config(spec, layers)
    text = Config(dict(model=dict(distiller=config))).pretty_text
    read = Config.fromstring(text, '.py').model.distiller
    assert read.to_dict() == config and spec_from_config(read) == spec


@bounded(200)
@given(distillers())
def test_what_is_suggested_can_be_enqueued_and_written(drawn):
    spec, layers, batch, classes = drawn
    student, teacher = layers.pairs[0].student_shape, layers.pairs[0].teacher_shape
    space = DistillerSpace(shapes=Shapes(batch, *teacher, classes, student == teacher, classes > 1,
                                         student[1] * student[2]))
    params = space.params(spec)
    assert {name.split('(')[0] for name in params} <= set(spec.to_dict())
    assert type(spec).from_dict(spec.to_dict()) == spec and spec.in_words()
