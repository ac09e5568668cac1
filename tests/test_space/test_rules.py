"""The rules against numbers: nothing real is left out, nothing dead or double is offered.

Every combination of operations is evaluated on a few pairs of random tensors in float64. Two
losses are the same distiller if their values have one and the same ratio on all pairs (the weight
is a level of its own). ``random_mask`` compares like ``none``, with another student, and the
rules treat it so; connectors come before the feature. Regions see the same boxes on all pairs.
"""
import itertools
import warnings

import pytest
import torch

from autokd_mm.models.losses import FeatureLoss, LogitsLoss
from autokd_mm.models.transforms import BatchBoxes
from autokd_mm.space import DistillerSpace, Shapes, rules
from autokd_mm.space.options import BOX_TRANSFORMS, DEFAULT_OPTIONS

# N, C, H, W
USUAL = (6, 4, 8, 8)
SHAPES = [USUAL, (6, 4, 4, 4), (6, 4, 2, 2), (6, 4, 5, 7), (6, 2, 3, 3), (6, 4, 1, 1), (6, 3, 4, 1),
          (6, 1, 4, 4), (6, 1, 1, 1), (3, 1, 2, 5), (2, 4, 8, 8), (2, 1, 2, 2), (1, 4, 8, 8),
          (1, 4, 1, 2), (1, 1, 4, 4), (1, 1, 1, 1)]
WEIGHTED = 'foreground_background'
WEIGHTED_SHAPES = [USUAL, (6, 4, 2, 2), (6, 4, 5, 7), (6, 1, 4, 4), (6, 3, 4, 1), (1, 4, 8, 8)]
SAME = 1e-9
# True of features after a ReLU; those of unlike signs add jumps.
UP_TO_SIGNS = ('its rows are the feature itself', 'its rows are the batch',
               'on the one coarser scale, 1x1, it says nothing')
# True of patches of equal size; otherwise patches weight the positions a little differently.
UP_TO_PATCH_SIZE = ('the mean over patches', 'knows no patches', 'patches change nothing',
                    'l2 after normalisation')


def pairs(shape, signed, batches=4):
    generator = torch.Generator().manual_seed(sum(shape))

    def draw(*size):
        return torch.randn(*size, generator=generator, dtype=torch.float64)

    n, c, h, w = shape
    result = []
    for batch in range(batches):
        teacher = draw(n, c, h, w) * draw(n, c, 1, 1) + draw(n, c, 1, 1)
        student = teacher / 2 + draw(n, c, h, w) * draw(1, c, h, w) + 0.3 * batch
        result.append((student, teacher) if signed else (student.abs(), teacher.abs()))
    return result


def combinations(temperatures, region=None):
    """(transform, intra, patch_grid, inter, distance, temperature, region), legal or not."""
    transforms = [name for name in DEFAULT_OPTIONS['transform']
                  if name not in ('logits_only', 'random_mask')
                  and (region or name not in BOX_TRANSFORMS)]
    for transform, intra, inter, distance in itertools.product(
            transforms, *(DEFAULT_OPTIONS[level] for level in ('intra', 'inter', 'distance'))):
        for grid in DEFAULT_OPTIONS['patch_grid'] if intra == 'local' else (None, ):
            for tau in temperatures if distance == 'kl' else (None, ):
                yield transform, intra, grid, inter, distance, tau, region


def boxes_of(samples):
    generator = torch.Generator().manual_seed(samples)
    corners = torch.rand(samples, 3, 2, 2, generator=generator).mul(40).sort(2).values
    return BatchBoxes(tuple(corners.flatten(2)), ((40, 40), ) * samples, (40, 40))


def build(combination, samples):
    transform, intra, grid, inter, distance, tau, region = combination
    loss = FeatureLoss(transform, intra, inter, distance, temperature=tau, patch_grid=grid,
                       region=region or 'all')
    if region:
        loss.region.show(boxes_of(samples))
    return loss


def evaluate(combination, data):
    """Values on all pairs, or None where the loss is not defined."""
    try:
        loss = build(combination, len(data[0][0]))
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of batches that are too small
            return torch.stack([loss(student, teacher) for student, teacher in data])
    except ValueError:
        return None


def fault_of(combination, shapes):
    transform, intra, grid, inter, distance, _, region = combination
    view = rules.region_view(region, shapes)
    return (rules.transform_fault(transform, shapes)
            or rules.region_fault(region or 'all', transform, shapes)
            or rules.intra_fault(intra, transform, view)
            or (grid and rules.patch_grid_fault(grid, transform, view))
            or rules.distance_fault(distance, transform, intra, grid, inter, view, region))


def says_nothing(combination, data, values):
    """Undefined, zero, always the same, or without a gradient."""
    if values is None or not values.isfinite().all() or values.abs().max() < 1e-20 or \
            (values - values[0]).abs().max() < SAME * values[0].abs():
        return True
    student = data[0][0].clone().requires_grad_()
    build(combination, len(student))(student, data[0][1]).backward()
    return student.grad.abs().max() < 1e-9


@pytest.fixture(scope='module', params=[(shape, signed, None) for shape in SHAPES
                                        for signed in (True, False)]
                + [(shape, True, WEIGHTED) for shape in WEIGHTED_SHAPES],
                ids=lambda p: 'x'.join(map(str, p[0])) + ('-signed' if p[1] else '-relu')
                + ('-weighted' if p[2] else ''))
def measured(request):
    shape, signed, region = request.param
    data = pairs(shape, signed)
    temperatures = DEFAULT_OPTIONS['temperature'] if shape == USUAL else (1, 4)
    values = {name: evaluate(name, data) for name in combinations(temperatures, region)}
    faults = {name: fault_of(name, Shapes(*shape, boxes=bool(region))) for name in values}
    units = {name: value / value.norm() for name, value in values.items()
             if faults[name] is None}
    return shape, signed, data, values, faults, units


def test_what_is_offered_says_something(measured):
    _, _, data, values, faults, _ = measured
    offered = [name for name in values if faults[name] is None]
    assert offered and [name for name in offered
                        if says_nothing(name, data, values[name])] == []


def test_no_two_offered_losses_are_the_same(measured):
    units = measured[-1]
    assert [pair for pair in itertools.combinations(units, 2)
            if (units[pair[0]] - units[pair[1]]).norm() < SAME] == []


def test_what_repeats_is_offered_elsewhere(measured):
    shape, signed, data, values, faults, units = measured
    for name, fault in faults.items():
        if fault is None or rules.REPEATS not in fault or says_nothing(name, data, values[name]):
            continue
        unit = values[name] / values[name].norm()
        if fault in (rules.transform_fault(name[0], Shapes(*shape)),
                     rules.intra_fault(name[1], name[0], Shapes(*shape))):
            # The transform itself changes nothing: the rest has its own verdict without it.
            first = 'none' if rules.transform_fault(name[0], Shapes(*shape)) else name[0]
            plain = values[(first, 'none', None) + name[3:]]
            assert (unit - plain / plain.norm()).norm() < SAME, (name, fault)
            continue
        if any((unit - other).norm() < SAME for other in units.values()):
            continue
        if any(words in fault for words in UP_TO_SIGNS):
            assert signed, (name, fault)
            continue
        intra, grid, inter = name[1:4]
        assert intra == 'local' and inter in ('none', 'sample') and \
            (shape[2] % grid or shape[3] % grid), (name, fault)
        whole = evaluate((name[0], 'none', None) + name[3:], data)
        # A position of a patch of p positions has weight 1 / (grid^2 p), and 1 / (H W) before.
        sides = [(side // grid, -(-side // grid)) for side in shape[2:]]
        least, most = (shape[2] * shape[3] / (grid**2 * sides[0][i] * sides[1][i])
                       for i in (1, 0))
        ratio = values[name] / whole
        assert (least < ratio).all() and (ratio < most).all(), (name, fault, ratio)


def test_what_cannot_work_does_not(measured):
    _, _, data, values, faults, _ = measured
    assert [(name, faults[name]) for name in values
            if faults[name] is not None and rules.CANNOT in faults[name]
            and not says_nothing(name, data, values[name])] == []


def test_no_loss_of_one_region_is_that_of_another():
    data, units = pairs((4, 3, 8, 8), True), {}
    for region in (None, WEIGHTED, 'instances'):
        for name in combinations((1, ), region):
            if fault_of(name, Shapes(4, 3, 8, 8, boxes=True)) is None:
                values = evaluate(name, data)
                units[name] = values / values.norm()
    assert {name[6] for name in units} == {None, WEIGHTED, 'instances'}
    assert [pair for pair in itertools.combinations(units, 2)
            if (units[pair[0]] - units[pair[1]]).norm() < SAME] == []


def test_weights_that_mean_something_else_are_refused_by_the_loss_too():
    for name in combinations((1, ), WEIGHTED):
        fault = fault_of(name, Shapes(*USUAL, boxes=True))
        if fault is not None and fault.startswith(rules.OTHER):
            with pytest.raises(ValueError):
                build(name, 6)


@pytest.mark.parametrize('region, transform, shapes, fault', [
    ('all', 'none', Shapes(), None),
    ('instances', 'none', Shapes(), 'cannot work: the task has no boxes'),
    ('instances', 'channel_attention', Shapes(boxes=True), None),
    ('instances', 'none', Shapes(height=1, width=1, boxes=True),
     'cannot work: the feature has one position'),
    (WEIGHTED, 'channel_attention', Shapes(boxes=True),
     'cannot work: channel attention leaves one position'),
    (WEIGHTED, 'teacher_attention_mask', Shapes(boxes=True), None),
    ('all', 'teacher_attention_mask', Shapes(boxes=True), "means something else: the teacher's "
     'attention is that of FGD, region=foreground_background'),
])
def test_regions(region, transform, shapes, fault):
    assert rules.region_fault(region, transform, shapes) == fault


def test_instances_are_samples_of_7x7():
    view = rules.region_view('instances', Shapes(1, 16, 100, 168, boxes=True))
    assert (view.channels, view.height, view.width) == (16, 7, 7) and view.batch >= 3
    assert rules.region_view(WEIGHTED, Shapes()) == rules.region_view(None, Shapes()) == Shapes()


def test_the_default_space_has_235_feature_losses_and_16_of_the_logits():
    """All temperatures; weights, mask ratios and connectors come on top.

    They differ by numbers above; here they are counted. To the distances that
    ``test_distiller_space`` counts come three relations between samples on each view, and the
    local correlation on each grid.
    """
    offered = [name for name in combinations((1, 4, 8, 16))
               if fault_of(name, Shapes(*USUAL)) is None]
    assert offered == [name for name in combinations((1, 4, 8, 16))
                       if fault_of(name, Shapes()) is None]
    views = 3 + 3 + 2 * (3 + 1)
    assert len(offered) == 2 * (70 + views) + (40 + views) + (10 + 3) == 235
    generator = torch.Generator().manual_seed(0)
    data = [torch.randn(2, 8, 10, generator=generator, dtype=torch.float64) * 3 for _ in range(4)]
    units = []
    for distance in DEFAULT_OPTIONS['logits'][1:]:
        for tau in DEFAULT_OPTIONS['logits_temperature']:
            loss = LogitsLoss(distance, tau)
            values = torch.stack([loss(student, teacher) for student, teacher in data])
            units.append(values / values.norm())
    assert len(units) == 16
    assert all((one - two).norm() > SAME for one, two in itertools.combinations(units, 2))


@pytest.mark.parametrize('shape', SHAPES)
def test_a_random_mask_compares_as_no_transform_does(shape):
    for intra, inter, distance in itertools.product(
            *(DEFAULT_OPTIONS[level] for level in ('intra', 'inter', 'distance'))):
        for grid in (2, 4) if intra == 'local' else (None, ):
            assert rules.distance_fault(distance, 'random_mask', intra, grid, inter,
                                        Shapes(*shape)) == \
                rules.distance_fault(distance, 'none', intra, grid, inter, Shapes(*shape))


# ---------------------------------------------------------------------- connectors
def test_on_one_position_conv3x3_is_conv1x1():
    reason = rules.connector_fault('conv3x3', Shapes(8, 4, 1, 1))
    assert reason == 'repeats: on one position only the middle of the kernel counts: conv1x1'
    wide, narrow = torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.Conv2d(3, 4, 1)
    narrow.weight.data, narrow.bias.data = wide.weight.data[..., 1:2, 1:2], wide.bias.data
    feature = torch.randn(8, 3, 1, 1)
    torch.testing.assert_close(wide(feature), narrow(feature))
    assert rules.connector_fault('conv3x3', Shapes(8, 4, 1, 1, student_positions=4)) is None
    assert rules.connector_fault('conv3x3', Shapes(8, 4, 2, 1)) is None


def test_batch_normalisation_needs_two_values():
    reason = rules.connector_fault('conv1x1_bn', Shapes(1, 4, 1, 1))
    assert reason == 'cannot work: one value per channel has no variance to normalise by'
    with pytest.raises(ValueError, match='more than 1 value per channel'):
        torch.nn.BatchNorm2d(4)(torch.randn(1, 4, 1, 1))
    assert rules.connector_fault('conv1x1_bn', Shapes(1, 4, 1, 2)) is None
    assert rules.connector_fault('conv1x1_bn', Shapes(2, 4, 1, 1)) is None


def test_identity_needs_the_same_shape():
    assert rules.connector_fault('identity', Shapes()) is None
    assert rules.connector_fault('identity', Shapes(same=False)).startswith(rules.CANNOT)


# ---------------------------------------------------------------------- logits
@pytest.mark.parametrize('logits, classes, batch', [
    ('kl', 1, 8), ('pearson_intra', 1, 8), ('pearson_inter', 1, 8), ('pearson_inter', 2, 8),
    ('pearson_both', 2, 8), ('pearson_intra', 10, 2), ('pearson_both', 10, 2),
    ('kl', 2, 1), ('pearson_inter', 3, 1), ('pearson_intra', 2, 3), ('pearson_both', 3, 3)])
@pytest.mark.filterwarnings('ignore:PearsonDistance')
def test_logits_that_cannot_work(logits, classes, batch):
    """A correlation of two numbers is 1 or -1: it has no gradient."""
    fault = rules.logits_fault(logits, 'none', Shapes(batch=batch, classes=classes))
    student = torch.randn(batch, classes, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(batch, classes, dtype=torch.float64)
    try:
        LogitsLoss('pearson_inter' if logits == 'pearson_both' and classes < 3 else
                   'pearson_intra' if logits == 'pearson_both' and batch < 3 else
                   logits, 4)(student, teacher).backward()
        learns = bool(student.grad.abs().max() > 1e-9)
    except ValueError:
        learns = False
    assert (fault is None) == learns, fault
    assert fault is None or fault.startswith(rules.CANNOT)


def test_no_logits():
    without = Shapes(has_logits=False)
    assert rules.logits_fault('kl', 'none', without) == \
        'cannot work: there are no logits to compare'
    assert rules.logits_fault('none', 'none', without) is None
    assert rules.logits_fault('none', 'logits_only', Shapes()) == \
        'cannot work: nothing would be distilled'
    assert rules.transform_fault('logits_only', without).startswith(rules.CANNOT)


@pytest.mark.parametrize('size', [(8, 8), (3, 5), (2, 2), (1, 4), (1, 1)])
@pytest.mark.parametrize('boxes', [None, True])
def test_what_is_offered_for_tensors_can_work_on_them(size, boxes):
    """And what a large map allows beyond that is no fault, or cannot work."""
    few = dict(temperature=(4, ), feature_weight=(5, ), mask_ratio=(0.65, ), logits=('none', ),
               transform=('none', 'spatial_attention', 'channel_attention', 'random_mask'))
    shapes = Shapes(64, 8, *size, has_logits=False, boxes=boxes)
    here = set(DistillerSpace(few, shapes).enumerate())
    assert here and all(rules.spec_fault(spec, shapes) is None for spec in here)
    large = set(DistillerSpace(few, Shapes(64, 8, 9, 9, has_logits=False,
                                           boxes=boxes)).enumerate())
    faults = [rules.spec_fault(spec, shapes) for spec in large - here]
    assert any(faults) == (size != (8, 8))
    assert all(fault is None or fault.startswith(rules.CANNOT) for fault in faults)


def test_positions_of_dense_logits_are_samples():
    assert rules.logits_fault('pearson_intra', 'none', Shapes(batch=2)) is not None
    assert rules.logits_fault('pearson_intra', 'none', Shapes(batch=2, logits_positions=16)) is None
