import warnings

import pytest
import references as ref
import torch

from autokd_mm.errors import DegenerateBatchWarning
from autokd_mm.models.distances import (CorrelationDistance, CosineDistance, GramL2Distance,
                                        KLDistance, L2Distance, PearsonDistance, RKDAngle,
                                        RKDDistance)

ALL = [L2Distance(), L2Distance('sample'), L2Distance('channel'), CosineDistance(),
       CosineDistance('sample'), PearsonDistance(), PearsonDistance('channel'), KLDistance(4.),
       KLDistance(4., 'sample'), KLDistance(4., 'channel'), GramL2Distance('sample'),
       GramL2Distance('channel'), RKDDistance(), RKDAngle(), CorrelationDistance()]


@pytest.mark.parametrize('distance', ALL, ids=repr)
def test_stacked_patches_are_a_mean_over_patches(distance):
    patches = [ref.random_pair(seed, (4, 3, 2, 2), (4, 3, 2, 2)) for seed in range(3)]
    expected = sum(float(distance(s, t).detach()) for s, t in patches) / 3
    stacked = [torch.stack([pair[i] for pair in patches]) for i in (0, 1)]
    ref.assert_close(distance(*stacked), expected)


@pytest.mark.parametrize('distance', ALL, ids=repr)
def test_vectors_are_maps_of_one_position(distance):
    student, teacher = torch.randn(5, 7), torch.randn(5, 7)
    if distance.why_undefined(student.shape):
        with pytest.raises(ValueError, match='needs at least'):
            distance(student, teacher)
        return
    assert torch.equal(distance(student, teacher),
                       distance(student[:, :, None, None], teacher[:, :, None, None]))


def test_shapes_that_differ_ask_for_a_connector():
    with pytest.raises(ValueError, match=r'L2Distance: .*\(2, 3, 4, 4\).*\(2, 5, 4, 4\); '
                                         'a connector is missing'):
        L2Distance()(torch.randn(2, 3, 4, 4), torch.randn(2, 5, 4, 4))


@pytest.mark.parametrize('shape', [(0, 3, 4, 4), (2, 3, 0, 4), (0, 5)])
def test_empty_batch(shape):
    for distance in ALL:
        with pytest.raises(ValueError, match='got an empty batch or map, shape'):
            distance(torch.randn(shape), torch.randn(shape))


def test_other_dimensions():
    with pytest.raises(ValueError, match='expects N x C x H x W or N x D, got shape'):
        L2Distance()(torch.randn(2, 3, 4), torch.randn(2, 3, 4))


def test_unknown_inter_names_the_nearest():
    with pytest.raises(ValueError, match="L2Distance.inter: 'chanel' is unknown, did you mean "
                                         "'channel'"):
        L2Distance('chanel')
    with pytest.raises(ValueError, match="GramL2Distance.inter: 'none' is unknown"):
        GramL2Distance('none')


@pytest.mark.parametrize('distance,shape,what', [
    (KLDistance(1., 'channel'), (4, 3, 1, 1), 'positions of a channel'),
    (KLDistance(1.), (4, 1, 3, 3), 'channels at a position'),
    (KLDistance(1., 'sample'), (4, 1, 1, 1), 'values of a sample'),
    (CosineDistance(), (4, 1, 1, 1), 'values of a sample'),
    (PearsonDistance(), (4, 2, 1, 1), 'values of a sample'),
    (GramL2Distance('channel'), (4, 1, 3, 3), 'channels'),
])
def test_maps_that_can_never_be_compared_are_an_error(distance, shape, what):
    with pytest.raises(ValueError, match=f'compares the {what}.*needs at least'):
        distance(torch.randn(shape), torch.randn(shape))


@pytest.mark.parametrize('distance', [
    L2Distance('sample'), CosineDistance('sample'), PearsonDistance('sample'),
    GramL2Distance('sample'), RKDDistance(), RKDAngle(), CorrelationDistance()], ids=repr)
def test_a_batch_that_is_too_small_gives_zero_and_a_warning(distance):
    student = torch.randn(1, 3, 2, 2, requires_grad=True)
    with pytest.warns(DegenerateBatchWarning, match='the loss of such a batch is 0'):
        loss = distance(student, torch.randn(1, 3, 2, 2))
    assert loss.item() == 0 and not ref.gradients(loss, student).any()


def test_one_position_is_enough_where_it_can_be():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        for distance in ALL:
            student, teacher = torch.randn(4, 5, 1, 1, requires_grad=True), torch.randn(4, 5, 1, 1)
            if distance.why_undefined(student.shape) is None:
                loss = distance(student, teacher)
                assert loss.isfinite() and ref.gradients(loss, student).isfinite().all()


def test_the_teacher_sets_no_precision():
    student, teacher = torch.randn(3, 4, 2, 2), torch.randn(3, 4, 2, 2, dtype=torch.float64)
    assert L2Distance()(student, teacher).dtype == torch.float32


@pytest.mark.parametrize('distance, words', [
    (L2Distance('sample'), "L2Distance(inter='sample')"),
    (GramL2Distance(), "GramL2Distance(inter='sample')"),  # one of two
    (KLDistance(4), "KLDistance(temperature=4.0, inter='none')"),
    (RKDDistance(), 'RKDDistance()')])
def test_in_words(distance, words):
    assert repr(distance) == words
