"""The losses of the regions: FGD's feature loss, compositions, degenerate batches, precisions."""
import copy
import itertools

import numpy as np
import pytest
import references as ref
import region_references as regions
import torch
from torch import nn

from autokd_mm.errors import ConfigError, DegenerateBatchWarning
from autokd_mm.models.losses import FeatureLoss
from autokd_mm.models.losses.operations import DISTANCES, INTERS, INTRAS, TRANSFORMS
from autokd_mm.models.transforms import BatchBoxes
from autokd_mm.registry import MODELS


@MODELS.register_module()
class _WeightedAbsoluteForTests(nn.Module):

    def forward(self, student, teacher):
        return (student - teacher).abs().mean()


def batch_of(seed, n, **options):
    """The boxes for the package and, as plain values, for the references."""
    boxes, images, batch = regions.random_batch(seed, n, **options)
    return BatchBoxes(tuple(boxes), tuple(images), batch), (boxes, images, batch)


def build(boxes, **arguments):
    if arguments.get('transform') == 'random_mask':
        arguments['channels'] = 4
    torch.manual_seed(0)
    loss = FeatureLoss(**arguments)
    loss.region.show(boxes)
    return loss


def features(seed=0, shape=(4, 4, 9, 10)):
    return ref.random_pair(seed, shape, (0, ) * 4)


def legal():
    """All arguments of a loss with a region."""
    found = []
    for names in itertools.product(('foreground_background', 'instances'), TRANSFORMS, INTRAS,
                                   INTERS, DISTANCES):
        arguments = dict(zip(('region', 'transform', 'intra', 'inter', 'distance'), names))
        try:
            loss = build(batch_of(0, 4)[0], **arguments)
            loss(*features())
        except ConfigError:
            continue
        found.append(arguments)
    return found


LEGAL = legal()
# What a region does is the same for all of them; those with one thing beside it, and all distances.
FEW = [item for item in LEGAL if item['transform'] == 'none' and item['intra'] == 'none'
       or item['inter'] == 'none' and item['distance'] == 'l2'
       or item['distance'] == 'local_correlation' and item['transform'] == 'none']
every = pytest.mark.parametrize('arguments', FEW, ids=lambda item: '-'.join(item.values()))


# ---------------------------------------------------------------- FGD
def test_fgd_focal_is_the_papers_feature_loss():
    """The point of the space, over alpha C of the paper."""
    loss_of = dict(transform='teacher_attention_mask', region='foreground_background')
    for seed in range(50):
        student, teacher = ref.random_pair(seed, (1, 2, 2, 2), (4, 6, 8, 8))
        boxes, plain = batch_of(seed, len(student))
        alpha, beta = 1e-3, 5e-4
        loss = build(boxes, background_weight=beta / alpha,
                     loss_weight=alpha * student.shape[1], **loss_of)
        expected = regions.fgd_feature_loss(*ref.arrays(student, teacher), *plain, alpha, beta)
        ref.assert_close(loss(student, teacher), expected)


def test_gradients_of_fgd_focal():
    student, teacher = ref.random_pair(0, (2, 2, 3, 4), (0, ) * 4, torch.float64)
    loss = build(batch_of(1, len(student))[0], transform='teacher_attention_mask',
                 region='foreground_background')
    assert torch.autograd.gradcheck(loss, (student, teacher))


# ---------------------------------------------------------------- compositions
def weighted(function):
    return lambda s, t, plain: function(*regions.weighted(
        s, t, regions.weights(*plain, s.shape[2:], 0.5)))


def scales_of_l2(s, t, plain):
    """The weights of a coarser scale are the means of the weights."""
    weight = regions.weights(*plain, s.shape[2:], 0.5)[:, None]

    def one(size):
        pool = (lambda x: x) if size is None else (lambda x: ref.average_pool(x, size))
        return float(np.mean(pool(weight) * (pool(s) - pool(t))**2))

    sizes = [None] + [size for size in (4, 2, 1) if size < min(s.shape[2:])]
    return sum(0.5**i * one(size) for i, size in enumerate(sizes)) / sum(
        0.5**i for i in range(len(sizes)))


def cosine_of_patches(s, t):
    """A patch of padding has weight 0 everywhere: there is nothing to compare in it."""
    return ref.local(lambda a, b: sum(1 - ref.cosine_of(x, y) for x, y in zip(a, b)
                                      if x.any()) / len(a), s, t, 2)


def pooled(function):
    return lambda s, t, plain: function(*(regions.instances(x, *plain) for x in (s, t)))


COMPOSITIONS = {
    'weighted-l2': (dict(), weighted(ref.l2)),
    'weighted-cosine': (dict(distance='cosine'), weighted(ref.cosine)),
    'weighted-attention-l2-channel': (
        dict(transform='spatial_attention', inter='channel'),
        weighted(lambda s, t: ref.l2(s, t, 'channel'))),
    'weighted-gram': (dict(inter='channel', distance='gram_l2'),
                      weighted(lambda s, t: ref.gram_l2(s, t, 'channel'))),
    'weighted-patches-cosine': (dict(intra='local', distance='cosine'),
                                weighted(cosine_of_patches)),
    'weighted-scales-l2': (dict(intra='multi_scale'), scales_of_l2),
    'instances-l2': (dict(), pooled(ref.l2)),
    'instances-attention-scales-l2': (
        dict(transform='spatial_attention', intra='multi_scale'),
        pooled(lambda s, t: ref.multi_scale(ref.l2, ref.spatial_attention(s),
                                            ref.spatial_attention(t)))),
    'instances-gram-sample': (dict(inter='sample', distance='gram_l2'),
                              pooled(lambda s, t: ref.gram_l2(s, t, 'sample'))),
    'instances-rkd': (dict(inter='sample', distance='rkd_distance'), pooled(ref.rkd_distance)),
    'instances-kl-channel': (dict(inter='channel', distance='kl', temperature=4.),
                             pooled(lambda s, t: ref.kl(s, t, 4., 'channel'))),
}


@pytest.mark.parametrize('name', COMPOSITIONS)
def test_compositions(name):
    arguments, reference = COMPOSITIONS[name]
    region = 'foreground_background' if name.startswith('weighted') else 'instances'
    compared = 0
    for seed in range(30):
        # Distances between instances that are nearly equal lose their digits in float32.
        dtype = torch.float64 if 'rkd' in name else torch.float32
        student, teacher = ref.random_pair(seed, (2, 3, 4, 4), (3, 4, 8, 8), dtype)
        boxes, plain = batch_of(seed, len(student), most=3)
        if region == 'instances' and sum(regions.on_map(box, plain[1][n], plain[2], (9, 9))
                                         is not None for n, of_image in enumerate(plain[0])
                                         for box in of_image.tolist()) < 3:
            continue
        loss = build(boxes, region=region, **arguments)
        s, t = ref.arrays(student, teacher)
        if arguments.get('transform') == 'spatial_attention' and region != 'instances':
            s, t = ref.spatial_attention(s), ref.spatial_attention(t)
        ref.assert_close(loss(student, teacher), reference(s, t, plain))
        compared += 1
    assert compared > 10


def test_all_regions_and_operations_are_here():
    weighted_losses = [item for item in LEGAL if item['region'] == 'foreground_background']
    assert {(item['inter'], item['distance']) for item in weighted_losses} == {
        ('none', 'l2'), ('none', 'cosine'), ('channel', 'l2'), ('channel', 'cosine'),
        ('channel', 'gram_l2')}
    assert {item['transform'] for item in weighted_losses} == set(TRANSFORMS) - {
        'channel_attention'}
    rest = [item for item in LEGAL if item['region'] == 'instances']
    for key, names in (('transform', TRANSFORMS), ('intra', INTRAS), ('inter', INTERS),
                       ('distance', DISTANCES)):
        assert {item[key] for item in rest} == set(names)


@every
def test_gradients_reach_the_student_only_and_nothing_is_modified(arguments):
    boxes = batch_of(0, 4)[0]
    student, teacher = features()
    teacher.requires_grad_()
    before = [x.detach().clone() for x in (student, teacher, *boxes.boxes)]
    value = build(boxes, **arguments)(student, teacher)
    value.backward()
    assert value.dim() == 0 and value.isfinite() and value >= 0
    assert student.grad.isfinite().all() and student.grad.any() and teacher.grad is None
    after = (student, teacher, *boxes.boxes)
    assert all(torch.equal(x, y) and y._version == 0 for x, y in zip(before, after))


@every
def test_zero_when_student_equals_teacher(arguments):
    student, _ = features()
    if arguments['transform'] != 'random_mask':
        loss = build(batch_of(0, 4)[0], **arguments)
        assert 0 <= loss(student, student.detach()).item() < 1e-9


@every
def test_the_order_of_the_batch_does_not_matter(arguments):
    if arguments['transform'] == 'random_mask':
        return
    boxes = batch_of(0, 4)[0]
    student, teacher = features()
    value = build(boxes, **arguments)(student, teacher).item()
    order = [2, 0, 3, 1]
    boxes = BatchBoxes(tuple(boxes.boxes[i] for i in order), tuple(boxes.images[i] for i in order),
                       boxes.batch)
    ref.assert_close(build(boxes, **arguments)(student[order], teacher[order]), value, 1e-4)


@every
def test_no_boxes_are_never_nan(arguments):
    """No instances: 0, with gradients of 0. For the weights all is background."""
    empty = BatchBoxes((torch.zeros(0, 4), ) * 4, ((20, 30), ) * 4, (40, 40))
    student, teacher = features()
    loss = build(empty, **arguments)
    value = loss(student, teacher)
    value.backward()
    assert value.isfinite() and student.grad.isfinite().all()
    assert all(parameter.grad is not None for parameter in loss.parameters())
    if arguments['region'] == 'instances':
        assert value.item() == 0 and not student.grad.any()
        assert not any(parameter.grad.any() for parameter in loss.parameters())
        broken = torch.full_like(student, float('inf')).requires_grad_()
        value = build(empty, **arguments)(broken, teacher)
        value.backward()
        assert value.item() == 0 and not broken.grad.any()
    else:
        assert value > 0 and student.grad.any()


@every
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_features(arguments, dtype):
    boxes = batch_of(0, 4)[0]
    values = []
    pair = [x.detach().to(dtype) for x in features()]
    for student, teacher in (pair, [x.float() for x in pair]):
        torch.manual_seed(0)
        loss = build(boxes, **arguments)
        torch.manual_seed(1)
        values.append(loss(student.clone().requires_grad_(), teacher))
    assert values[0].dtype == torch.float32
    ref.assert_close(values[0], values[1].item())
    student, teacher = ((x.detach().clamp(-1, 1) * 1e4).to(dtype) for x in features())
    student.requires_grad_()
    value = build(boxes, **arguments)(student, teacher)
    value.backward()
    assert value.isfinite() and student.grad.isfinite().all() and student.grad.dtype == dtype


@every
def test_autocast_and_layouts_change_nothing(arguments):
    if arguments['transform'] == 'random_mask':
        return  # its generator is a network, and runs as autocast says
    boxes = batch_of(0, 4)[0]
    student, teacher = features()
    expected = build(boxes, **arguments)(student, teacher).item()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert build(boxes, **arguments)(student, teacher).item() == expected
    last = [x.contiguous(memory_format=torch.channels_last) for x in (student, teacher)]
    ref.assert_close(build(boxes, **arguments)(*last), expected)


@pytest.mark.parametrize('region', ['foreground_background', 'instances'])
def test_gradcheck(region):
    boxes = batch_of(2, 3, most=2)[0]
    pair = ref.random_pair(0, (3, 2, 3, 4), (0, ) * 4, torch.float64)
    for inter, distance in (('none', 'l2'), ('none', 'cosine'), ('channel', 'gram_l2')):
        loss = build(boxes, region=region, inter=inter, distance=distance, intra='multi_scale')
        assert torch.autograd.gradcheck(loss, pair)


@pytest.mark.parametrize('distance, inter', [('rkd_angle', 'sample'), ('pearson', 'sample')])
@pytest.mark.parametrize('number', [1, 2])
def test_a_batch_with_too_few_boxes_for_a_relation(distance, inter, number):
    boxes = BatchBoxes((torch.tensor([[0., 0, 20, 20], [10, 10, 30, 30]])[:number], ), ((40, 40), ),
                       (40, 40))
    student, teacher = features(shape=(1, 3, 8, 8))
    loss = build(boxes, region='instances', distance=distance, inter=inter)
    with pytest.warns(DegenerateBatchWarning, match='the loss of such a batch is 0'):
        value = loss(student, teacher)
    value.backward()
    assert value.item() == 0 and not student.grad.any()


def test_all_is_no_region():
    student, teacher = features()
    assert FeatureLoss(region='all').region is None
    assert torch.equal(FeatureLoss(region='all')(student, teacher),
                       FeatureLoss()(student, teacher))


def test_a_distance_of_a_user_gets_the_weighted_features():
    boxes, plain = batch_of(3, 4)
    loss = build(boxes, region='foreground_background',
                 distance=dict(type='_WeightedAbsoluteForTests'))
    s, t = regions.weighted(*ref.arrays(*features()),
                            regions.weights(*plain, (9, 10), 0.5))
    ref.assert_close(loss(*features()), float(np.abs(s - t).mean()))


def test_a_copy_and_a_checkpoint_hold_no_boxes():
    loss = build(batch_of(0, 4)[0], region='foreground_background')
    assert not loss.state_dict()
    loss.region.forget()
    with pytest.raises(ConfigError, match='FeatureLoss.region needs the boxes of the batch'):
        copy.deepcopy(loss)(*features())


@pytest.mark.parametrize('arguments, message', [
    (dict(region='instance'), "FeatureLoss.region: 'instance' is unknown, did you mean "
                              "'instances'"),
    (dict(region=dict(type='A')), 'FeatureLoss.region: expects one of all, foreground_background, '
                                  'instances, got'),
    (dict(background_weight=0.5), 'FeatureLoss.background_weight means something only with '
                                  "region='foreground_background', got 0.5 with region='all'"),
    (dict(region='foreground_background', background_weight=-1),
     'ForegroundBackgroundTransform.background_weight must be a number of at least 0, got -1'),
    (dict(region='foreground_background', distance='kl'),
     "FeatureLoss.region: 'foreground_background' with inter='none' and distance='kl' means "
     'something else: in a softmax the root of a weight is a temperature'),
    (dict(region='foreground_background', distance='pearson', inter='channel'),
     'a correlation takes off is not a weighted one'),
    (dict(region='foreground_background', distance='gram_l2', inter='sample'),
     'two samples have their boxes in different places'),
    (dict(region='foreground_background', transform='channel_attention'),
     "'foreground_background' needs a map, but transform='channel_attention' leaves 1 x 1; use "
     "'instances' or 'all'"),
])
def test_errors_name_the_key_and_the_nearest_value(arguments, message):
    with pytest.raises(ConfigError) as error:
        FeatureLoss(**arguments)
    assert message in str(error.value) and '\n' not in str(error.value)
