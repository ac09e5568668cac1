"""The layers that are compared, and their shapes."""
import pytest
import torch
from mmengine.model import BaseModel
from torch import nn

from autokd_mm.errors import ConfigError
from autokd_mm.layers.find import find_layers, forward, inputs_for

PIXELS = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)


def test_layers_and_shapes(parts):
    pair, = parts.layers.pairs
    assert pair.student_shape == (16, 2, 2) and pair.teacher_shape == (32, 2, 2)
    assert parts.layers.classes == 10 and not parts.layers.same_shape
    layers = find_layers(parts.model, parts.student,
                         dict(student='neck', teacher='backbone.layer3'), PIXELS)
    assert layers.pairs[0].student_shape == (16, 1, 1) and layers.classes == 0 and not layers.logits


@pytest.mark.parametrize('change, words', [
    (dict(student='backbone.layer4'), "layers.student: ImageClassifier has no layer "
     "'backbone.layer4'; the nearest are backbone.layer"),
    (dict(teacher_logits='head.fd'), 'layers.teacher_logits: .*head.fc'),
    (dict(studnet='neck'), "layers: 'studnet' is unknown, did you mean 'student'"),
    (dict(student=None), 'layers.student is missing'),
    (dict(teacher_logits=None), 'layers.teacher_logits is missing'),
])
def test_bad_layers(parts, change, words):
    with pytest.raises(ConfigError, match=words):
        find_layers(parts.model, parts.student, {**parts.config.train_cfg.layers, **change},
                    PIXELS)


def test_missing_layer_key(parts):
    with pytest.raises(ConfigError, match='layers.teacher is missing'):
        find_layers(parts.model, parts.student, dict(student='neck'), PIXELS)


def test_different_classes(parts):
    with pytest.raises(ConfigError, match='teacher has 32 classes and the student 10'):
        find_layers(parts.model, parts.student,
                    {**parts.config.train_cfg.layers, 'teacher_logits': 'neck'}, PIXELS)


def test_each_network_gets_its_images_as_in_training(parts):
    """A teacher with statistics of its own, and one whose config says nothing of images."""
    import copy

    from autokd_mm.registry import MODELS
    pixels = torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8)
    config = copy.deepcopy(parts.config.model)
    config.teacher.data_preprocessor.update(mean=[10.0], std=[20.0])
    model = MODELS.build(config)
    expected = (pixels.float() - 10) / 20
    assert torch.allclose(inputs_for(model, pixels, teacher=True), expected, atol=1e-5)
    expected = (pixels.float() - 78.35) / 95.95
    assert torch.allclose(inputs_for(model, pixels, teacher=False), expected, atol=1e-5)
    config.teacher.pop('data_preprocessor')
    model = MODELS.build(config)
    assert torch.allclose(inputs_for(model, pixels, teacher=True), expected, atol=1e-5)


def test_forward_leaves_the_teacher_alone(parts):
    before = {name: value.clone() for name, value in parts.teacher.state_dict().items()}
    pixels = torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8)
    out = forward(parts.teacher.train(), dict(feature='backbone.layer3'),
                  inputs_for(parts.model, pixels, teacher=True))
    assert out['feature'].shape == (4, 32, 2, 2) and not out['feature'].requires_grad
    assert all(torch.equal(value, before[name])
               for name, value in parts.teacher.state_dict().items())


# ---------------------------------------------------------------------- several tensors
class Pyramid(BaseModel):
    """A backbone, a neck with ``levels`` outputs, a head called once for each level."""

    def __init__(self, levels=3, classes=5, fails=False, width=4, first=0):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.neck, self.one = Levels(levels, first), Levels(1)
        self.cls = nn.Conv2d(width, classes, 1)
        self.rows = nn.Linear(1, 1)
        self.ran, self.fails = [], fails

    def forward(self, inputs, data_samples=None, mode='tensor'):
        found = self.neck(self.one(self.stem(inputs))[0])
        self.rows(torch.zeros(7, 1))
        self.ran.append('neck')
        if self.fails:
            raise TypeError('a head that wants data samples')
        outputs = [self.cls(level) for level in found]
        self.ran.append('head')
        return outputs


class Levels(nn.Module):

    def __init__(self, levels, first=0):
        super().__init__()
        self.levels = range(first, first + levels)

    def forward(self, x):
        return tuple(nn.functional.avg_pool2d(x, 2**i, ceil_mode=True) for i in self.levels)


def pair_of(student=None, teacher=None):
    network = teacher or Pyramid(width=6)
    model = nn.Linear(1, 1)
    model.teacher, model.to_teacher, model.data_preprocessor = network, None, Raw()
    return model, student or Pyramid()


class Raw(nn.Module):

    def forward(self, data, training=False):
        return dict(data, inputs=data['inputs'].float())


CLS = dict(student_logits='cls', teacher_logits='cls')
COLOURS = torch.randint(0, 256, (2, 3, 16, 24), dtype=torch.uint8)


def looked(**names):
    return find_layers(*pair_of(), names, COLOURS)


def test_every_level_of_a_pyramid_is_a_pair():
    layers = looked(student='neck', teacher='neck', **CLS)
    assert [pair.name for pair in layers.all] == [
        'feature_0', 'feature_1', 'feature_2', 'logits_0', 'logits_1', 'logits_2']
    assert [pair.student for pair in layers.pairs] == ['neck[0]', 'neck[1]', 'neck[2]']
    assert [pair.student_shape for pair in layers.pairs] == [(4, 16, 24), (4, 8, 12), (4, 4, 6)]
    assert [pair.teacher_shape[0] for pair in layers.pairs] == [6] * 3 and layers.classes == 5
    assert [pair.factor for pair in layers.all] == [1 / 3] * 6
    assert not any(pair.student_calls or pair.teacher_calls for pair in layers.pairs)
    assert [pair.teacher for pair in layers.logits] == ['cls[0]', 'cls[1]', 'cls[2]']
    assert all(pair.student_calls and pair.teacher_calls for pair in layers.logits)
    assert not layers.same_shape


def test_one_set_of_options_for_all_pairs_or_one_for_each():
    assert looked(student='neck', teacher='neck').shared
    assert looked(student='neck', teacher='neck', shared=True).shared
    assert not looked(student='neck', teacher='neck', shared=False).shared


def test_one_set_of_options_for_the_levels_of_each_name():
    layers = looked(student=['neck', 'stem'], teacher=['neck', 'stem'], shared='levels')
    levels = [pair.name for pair in layers.pairs if pair.student.startswith('neck')]
    assert not layers.shared and len(levels) > 1
    assert layers.groups == (tuple(levels), (layers.pairs[-1].name, ))


@pytest.mark.parametrize('names, words', [
    (dict(student='stem', teacher='stem', shared=False),
     'layers.shared=False means something only for several pairs'),
    (dict(student='neck', teacher='neck', shared='levels'),
     "layers.shared='levels' means something only for several names of layers"),
    (dict(student='neck', teacher='neck', shared='no'),
     "layers.shared='no': must be True, False or 'levels'"),
    (dict(student='neck', teacher='neck', shared=False, factors=[1, 0, 1]),
     r"layers.factors: 0 at 'neck\[1\]' leaves nothing to choose"),
])
def test_layers_without_options_to_choose(names, words):
    with pytest.raises(ConfigError, match=words):
        looked(**names)


def test_lists_and_single_levels():
    layers = looked(student=['stem', 'neck[2]'], teacher=['neck[0]', 'neck[1]'])
    assert [(pair.student, pair.teacher) for pair in layers.pairs] == [
        ('stem', 'neck[0]'), ('neck[2]', 'neck[1]')]
    single = looked(student='neck[1]', teacher=['neck[1]'], student_logits='cls[1]',
                    teacher_logits='cls[1]')
    assert [pair.name for pair in single.all] == ['feature', 'logits']
    assert single.pairs[0].factor == 1 and single.logits[0].student_calls
    alone = looked(student='one', teacher='stem')  # a tuple of one
    assert alone.pairs[0].student == 'one[0]' and not alone.pairs[0].student_calls
    assert alone.pairs[0].name == 'feature'


@pytest.mark.parametrize('names, words', [
    (dict(student='neck', teacher='stem'),
     r"^layers.teacher: 1 tensors \(stem\) and layers.student: 3 tensors \(neck\); name those"),
    (dict(student=['neck'], teacher=['stem', 'neck']),
     r'^layers.teacher: 2 names \(stem, neck\) and layers.student: 1 names \(neck\)'),
    (dict(student='neck[3]', teacher='neck[0]'),
     r"^layers.student: 'neck\[3\]' is out of range, 'neck' gives 3 tensors, the last is 'neck"),
    (dict(student='stem', teacher='stem[1]'), r"^layers.teacher: 'stem\[1\]' is out of range"),
    (dict(student='stem', teacher='stem', student_logits='cls', teacher_logits='cls[7]'),
     r"^layers.teacher_logits: 'cls\[7\]' is out of range, 'cls' gives 3 tensors"),
    (dict(student='stem', teacher='stem', student_logits='cls', teacher_logits='cls[0]'),
     r'^layers.teacher_logits: 1 tensors .* layers.student_logits: 3 tensors'),
    (dict(student='rows', teacher='stem'), r"^layers.student: 'rows' gives .* for 2 images"),
    (dict(student='neck[a]', teacher='stem'), r"^layers.student: .* no layer 'neck\[a\]'"),
])
def test_layers_that_do_not_fit(names, words):
    with pytest.raises(ConfigError, match=words):
        looked(**names)


@pytest.mark.parametrize('dense', [False, True])
def test_levels_of_equal_stride_are_pairs_and_others_are_left_out(dense):
    said = []
    names = dict(student='neck', teacher='neck', **CLS)
    layers = find_layers(*pair_of(teacher=Pyramid(4)), names, COLOURS, None, dense, said.append)
    assert [(pair.student, pair.teacher) for pair in layers.pairs] == [
        ('neck[0]', 'neck[0]'), ('neck[1]', 'neck[1]'), ('neck[2]', 'neck[2]')]
    assert [pair.factor for pair in layers.all] == [1 / 3] * 6
    assert said == [f'layers.{key}: {name}[3] left out, nothing of the other network has an equal '
                    'stride' for key, name in (('teacher', 'neck'), ('teacher_logits', 'cls'))]
    assert not any(pair.strides for pair in layers.all)
    later = find_layers(*pair_of(Pyramid(3, first=1), Pyramid(2)),
                        dict(student='neck', teacher='neck'), COLOURS, None, dense, said.append)
    assert [(pair.student, pair.teacher) for pair in later.all] == [('neck[0]', 'neck[1]')]
    assert said[2:] == ['layers.student: neck[1], neck[2] left out, nothing of the other network '
                        'has an equal stride', 'layers.teacher: neck[0] left out, nothing of the '
                        'other network has an equal stride']


def test_as_many_levels_of_other_strides():
    """By their strides where images differ in size, else as ever by their places."""
    networks, names = pair_of(Pyramid(3, first=1), Pyramid(3)), dict(student='neck', teacher='neck')
    layers = find_layers(*networks, names, COLOURS, None, True)
    assert [(pair.student, pair.teacher) for pair in layers.pairs] == [
        ('neck[0]', 'neck[1]'), ('neck[1]', 'neck[2]')]
    layers = find_layers(*networks, names, COLOURS)
    assert [(pair.student, pair.teacher) for pair in layers.pairs] == [
        (f'neck[{level}]', ) * 2 for level in range(3)]
    far = find_layers(*pair_of(Pyramid(2, first=2), Pyramid(2)), names, COLOURS, None, True)
    assert [pair.strides for pair in far.pairs] == [(4, 1), (8, 2)]


def test_strides_are_those_of_a_large_image():
    """On 16 x 24 pixels the last levels are one cell each."""
    names = dict(student=['neck[4]', 'neck[1]'], teacher=['neck[5]', 'neck[1]'])
    layers = find_layers(*pair_of(Pyramid(6), Pyramid(6)), names, COLOURS, None, True)
    assert [pair.strides for pair in layers.pairs] == [(16, 32), None]
    assert layers.pairs[0].compared == (4, 1, 1) and layers.same_shape
    layers = find_layers(*pair_of(Pyramid(6, width=5), Pyramid(6)), names, COLOURS, None, True)
    assert not layers.same_shape
    swapped = find_layers(*pair_of(Pyramid(6), Pyramid(6)),
                          dict(student='neck[2]', teacher='neck[0]', student_logits='cls[2]',
                               teacher_logits='cls[1]'), COLOURS, None, True)
    assert [pair.strides for pair in swapped.all] == [(4, 1), (4, 2)]
    assert swapped.pairs[0].compared == (4, 4, 6)


def test_pyramids_of_other_levels_and_heads_of_other_classes():
    with pytest.raises(ConfigError, match=r'layers.teacher: 4 tensors .* layers.student: 3 tens'):
        find_layers(*pair_of(Pyramid(3, first=4), Pyramid(4)),
                    dict(student='neck', teacher='neck'), COLOURS)
    with pytest.raises(ConfigError, match='the teacher has 7 classes and the student 5'):
        find_layers(*pair_of(teacher=Pyramid(classes=7)),
                    dict(student='neck', teacher='neck', **CLS), COLOURS)


def test_a_head_that_nobody_listens_to_may_fail():
    model, student = pair_of(teacher=Pyramid(fails=True))
    names = dict(student='neck', teacher='neck')
    assert len(find_layers(model, student, names, COLOURS).pairs) == 3
    with pytest.raises(ConfigError, match='^model.teacher .Pyramid.: .* wants data samples'):
        find_layers(model, student, dict(names, **CLS), COLOURS)


def test_forward_runs_only_what_is_recorded():
    net = Pyramid(fails=True)
    net.ran.clear()
    found = forward(net, dict(feature_0='neck[2]', feature_1='neck[0]'), COLOURS.float())
    assert net.ran == [] and not any(module._forward_hooks for module in net.modules())
    levels = net.neck(net.stem(COLOURS.float()))
    assert torch.equal(found['feature_0'], levels[2])
    assert torch.equal(found['feature_1'], levels[0])
    net = Pyramid()
    found = forward(net, dict(logits_0='cls[0]', logits_1='cls[2]'), COLOURS.float())
    assert net.ran == ['neck'] and [len(found[name][0]) for name in found] == [5, 5]
    assert found['logits_1'].shape[2:] == (4, 6)
    for source in ('cls[3]', 'neck[3]'):
        with pytest.raises(ConfigError, match=r'layers.logits: .*\[3\]'):
            forward(net, dict(logits=source), COLOURS.float())
